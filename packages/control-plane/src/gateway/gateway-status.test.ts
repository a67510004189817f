import { describe, expect, it } from '@jest/globals';
import { yaml } from '../ambient/test-objects.ts';
import { serviceFacts } from '../sources/facts.ts';
import { gatewayFacts } from '../sources/gateway-objects.ts';
import { waypointStatus } from './gateway-status.ts';

const hbone = '{ name: mesh, port: 15008, protocol: HBONE }';
const written = 'addresses: [{ type: Hostname, value: wp.shop.svc.cluster.local }]';
const managed = '{ gateway.istio.io/managed: istio.io-mesh-controller }';
const service = (port = 15008, labels = managed) =>
  serviceFacts(
    yaml(
      `{ metadata: { name: wp, namespace: shop, labels: ${labels} }, spec: { clusterIPs: [10.96.0.9], ports: [{ port: ${port} }] } }`,
    ),
  );

function status(o: {
  readonly listeners?: string;
  readonly spec?: string;
  readonly status?: string;
  readonly service?: ReturnType<typeof service>;
  readonly readyPods?: number;
  readonly invalidParameters?: string;
}) {
  const gateway = gatewayFacts(
    yaml(`
metadata: { name: wp, namespace: shop }
spec: { gatewayClassName: istio-waypoint, listeners: [${o.listeners ?? hbone}] ${o.spec ?? ''} }
status: { ${o.status ?? ''} }`),
  );
  const wanted = waypointStatus(gateway, {
    service: o.service,
    readyPods: o.readyPods ?? 0,
    clusterDomain: 'cluster.local',
    invalidParameters: o.invalidParameters,
  });
  const summary = (conditions: typeof wanted.conditions): Record<string, string> =>
    Object.fromEntries(conditions.map((c) => [c.type, `${c.status}/${c.reason}`]));
  return {
    addresses: wanted.addresses.map(({ value }) => value),
    ...summary(wanted.conditions),
    listeners: wanted.listeners.map(({ conditions }) => summary(conditions)),
  };
}

describe('status of a waypoint', () => {
  it.each([
    ['has no Service yet', {}, 'False/AddressNotAssigned', []],
    ['has nobody ready yet', { service: service() }, 'False/AddressNotAssigned', []],
    [
      'is served',
      { service: service(), readyPods: 1 },
      'True/Programmed',
      ['10.96.0.9', 'wp.shop.svc.cluster.local'],
    ],
    [
      'lost its instances: the address stays, so that nothing goes around it',
      { service: service(), status: written },
      'False/Pending',
      ['10.96.0.9', 'wp.shop.svc.cluster.local'],
    ],
    ['lost its Service', { status: written }, 'False/AddressNotAssigned', ['wp.shop.svc.cluster.local']],
    [
      'has a Service without the port',
      { service: service(80), readyPods: 1 },
      'False/AddressNotUsable',
      ['10.96.0.9', 'wp.shop.svc.cluster.local'],
    ],
    [
      'has a Service in its place that is not its own',
      { service: service(15008, '{}'), readyPods: 1 },
      'False/AddressNotAssigned',
      [],
    ],
    [
      'is deployed by somebody else, who is not there',
      { spec: ', addresses: [{ type: Hostname, value: own.shop.svc.cluster.local }]' },
      'False/AddressNotUsable',
      [],
    ],
  ])('that %s', (_case, options, programmed, addresses) => {
    expect(status(options)).toMatchObject({ Accepted: 'True/Accepted', Programmed: programmed, addresses });
  });

  it('refuses listeners that are not of waypoints, the Gateway only with the last of them', () => {
    const http = '{ name: http, port: 80, protocol: HTTP }';
    const refused = { Accepted: 'False/UnsupportedProtocol', Programmed: 'False/Invalid' };
    expect(status({ listeners: http })).toMatchObject({
      Accepted: 'False/ListenersNotValid',
      listeners: [refused],
    });
    expect(status({ listeners: `${hbone}, ${http}` })).toMatchObject({
      Accepted: 'True/ListenersNotValid',
      listeners: [{ Accepted: 'True/Accepted', Conflicted: 'False/NoConflicts' }, refused],
    });
  });

  it.each([
    ['parameters that cannot be used', { invalidParameters: 'no' }, 'False/InvalidParameters'],
    [
      'an address that it cannot have',
      { spec: ', addresses: [{ value: 10.0.0.1 }]' },
      'False/UnsupportedAddress',
    ],
    ['certificates of its own', { spec: ', tls: { frontend: {} }' }, 'False/UnsupportedValue'],
  ])('refuses %s', (_case, options, accepted) => {
    expect(status(options)).toMatchObject({ Accepted: accepted });
  });

  it.each([
    ['a host name', hbone.replace('}', ', hostname: a.example }')],
    ['certificates', hbone.replace('}', ', tls: { mode: Terminate } }')],
  ])('refuses a listener with %s', (_case, listeners) => {
    expect(status({ listeners }).listeners).toMatchObject([
      { Accepted: 'False/UnsupportedValue', Programmed: 'False/Invalid', Conflicted: 'False/NoConflicts' },
    ]);
  });

  it('serves the first of two listeners for the same', () => {
    expect(status({ listeners: `${hbone}, ${hbone.replace('mesh', 'more')}` }).listeners).toMatchObject([
      { Accepted: 'True/Accepted', Conflicted: 'False/NoConflicts' },
      {
        Accepted: 'False/HostnameConflict',
        Conflicted: 'True/HostnameConflict',
        Programmed: 'False/HostnameConflict',
      },
    ]);
  });

  it('refuses route kinds, since routes attach to Services', () => {
    const listeners =
      '{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { kinds: [{ kind: HTTPRoute }] } }';
    expect(status({ listeners }).listeners).toMatchObject([{ ResolvedRefs: 'False/InvalidRouteKinds' }]);
  });
});
