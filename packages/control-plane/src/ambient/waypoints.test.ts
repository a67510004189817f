import { describe, expect, it } from '@jest/globals';
import { gatewayClassFacts, gatewayFacts } from '../sources/gateway-objects.ts';
import { yaml } from './test-objects.ts';
import { waypointOf } from './waypoints.ts';

function waypoint(o: {
  readonly labels?: string;
  readonly classLabels?: string;
  readonly listeners?: string;
  readonly status?: string;
  readonly controller?: string;
}) {
  const { labels = '{}', classLabels = '{}', listeners = '', status = '{}' } = o;
  const gateway = gatewayFacts(
    yaml(`
metadata: { name: wp, namespace: shop, labels: ${labels} }
spec: { gatewayClassName: istio-waypoint, listeners: [${listeners}] }
status: ${status}`),
  );
  const controllerName = o.controller ?? 'istio.io/mesh-controller';
  const gatewayClass = gatewayClassFacts(
    yaml(
      `{ metadata: { name: istio-waypoint, labels: ${classLabels} }, spec: { controllerName: ${controllerName} } }`,
    ),
  );
  return waypointOf(gateway, gatewayClass);
}

const FOR = 'istio.io/waypoint-for';
const mesh = (namespaces: string): string =>
  `{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { namespaces: ${namespaces} } }`;

describe('a Gateway as a waypoint', () => {
  it.each([
    ['for Services', {}, 'service'],
    ['for workloads', { labels: `{ ${FOR}: workload }` }, 'workload'],
    ['for all', { labels: `{ ${FOR}: all }` }, 'all'],
    ['for nobody', { labels: `{ ${FOR}: none }` }, 'none'],
    ['for what its class is', { classLabels: `{ ${FOR}: all }` }, 'all'],
    [
      'for what it says, not its class',
      { labels: `{ ${FOR}: service }`, classLabels: `{ ${FOR}: all }` },
      'service',
    ],
    ['for Services when its label is misspelt', { labels: `{ ${FOR}: servise }` }, 'service'],
  ])('is there %s', (_case, options, serves) => {
    expect(waypoint(options)?.serves).toBe(serves);
  });

  it.each([
    ['its own namespace', '', { kind: 'same' }],
    ['its own, said in words', mesh('{ from: Same }'), { kind: 'same' }],
    ['all', mesh('{ from: All }'), { kind: 'all' }],
    [
      'some',
      mesh('{ from: Selector, selector: { matchLabels: { team: a } } }'),
      { kind: 'selector', selector: { matchLabels: { team: 'a' } } },
    ],
    ['none, by a selector that is missing', mesh('{ from: Selector }'), { kind: 'same' }],
    [
      'its own, whatever another listener says',
      mesh('{ from: All }').replace('15008', '80'),
      { kind: 'same' },
    ],
  ])('may be used from %s', (_case, listeners, attachment) => {
    expect(waypoint({ listeners })?.attachment).toEqual(attachment);
  });

  it('is reached by name, else by address, once its status has one', () => {
    const ip = '{ type: IPAddress, value: 10.0.0.1 }';
    const name = '{ type: Hostname, value: wp.example }';
    expect(waypoint({})?.address).toBeUndefined();
    expect(waypoint({ status: `{ addresses: [${ip}] }` })?.address).toEqual({ kind: 'ip', ip: '10.0.0.1' });
    expect(waypoint({ status: `{ addresses: [${ip}, ${name}] }` })?.address).toEqual({
      kind: 'hostname',
      hostname: 'wp.example',
    });
  });

  it("is none where its class is somebody else's", () => {
    expect(waypoint({ controller: 'example.com/other' })).toBeUndefined();
  });
});
