import { describe, expect, it } from '@jest/globals';
import { envoy, xds } from '@weft/api/envoy';
import { createMesh } from '../ambient/test-mesh.ts';

const entry = (namespace: string, created: string, address: string): string =>
  `{ kind: ServiceEntry, metadata: { name: e, namespace: ${namespace}, creationTimestamp: "${created}T00:00:00Z" },
     spec: { hosts: [e.example.org], addresses: [${address}], resolution: STATIC, ports: [{ name: http, number: 80, protocol: HTTP }], endpoints: [{ address: ${address} }] } }`;
const uses = (namespace: string): string =>
  `{ kind: Namespace, metadata: { name: ${namespace}, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra } } }`;

const sharedWaypoint = [
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  `{ kind: Gateway, metadata: { name: wp, namespace: infra }, status: { addresses: [{ value: 10.0.0.1 }] }, spec: { gatewayClassName: istio-waypoint,
     listeners: [{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }] } }`,
];

describe('a waypoint of several namespaces', () => {
  it('has no ServiceEntry take the address of a Service of another namespace', () => {
    const mesh = createMesh();
    mesh.apply(
      ...sharedWaypoint,
      uses('a'),
      uses('shop'),
      entry('a', '2020-01-01', '10.96.0.1'),
      '{ kind: Service, metadata: { name: web, namespace: shop }, spec: { clusterIPs: [10.96.0.1], ports: [{ name: http, port: 80 }] } }',
    );
    const bytes = mesh.networking.listeners.get('infra/wp')?.get('main_internal')?.bytes;
    const { filterChainMatcher } = envoy.config.listener.v3.Listener.decode(bytes ?? new Uint8Array());
    const byAddress = xds.type.matcher.v3.IPMatcher.decode(
      filterChainMatcher?.matcherTree?.customMatch?.typedConfig?.value ?? new Uint8Array(),
    );
    const chains = byAddress.rangeMatchers.map(({ ranges, onMatch }) => ({
      addresses: ranges?.map(({ addressPrefix }) => addressPrefix),
      chain: onMatch?.matcher?.matcherTree?.exactMatchMap?.map?.['80']?.action?.name,
    }));
    expect(chains).toEqual([
      { addresses: ['10.96.0.1'], chain: 'inbound-vip|80|http|web.shop.svc.cluster.local' },
    ]);
  });

  it('serves the canonical of the services of one name', () => {
    const mesh = createMesh();
    mesh.apply(
      ...sharedWaypoint,
      uses('a'),
      uses('b'),
      entry('a', '2026-01-02', '198.51.100.1'),
      entry('b', '2026-01-01', '198.51.100.2'),
    );
    expect(mesh.errors).toEqual([]);
    const served = () => {
      const bytes = mesh.networking.listeners.get('infra/wp')?.get('main_internal')?.bytes;
      const listener = envoy.config.listener.v3.Listener.decode(bytes ?? new Uint8Array());
      const cluster = mesh.networking.clusters.get('infra/wp')?.get('inbound-vip|80|http|e.example.org');
      const { edsClusterConfig } = envoy.config.cluster.v3.Cluster.decode(cluster?.bytes ?? new Uint8Array());
      return {
        chains: listener.filterChains.map(({ name }) => name),
        endpoints: edsClusterConfig?.serviceName,
      };
    };
    const chains = ['inbound-vip|80|http|e.example.org'];
    expect(served()).toEqual({ chains, endpoints: 'inbound-vip|80|http|e.example.org' });
    // Its end makes the other one what the name means.
    mesh.remove(entry('b', '2026-01-01', '198.51.100.2'));
    mesh.flush();
    expect(served()).toEqual({ chains, endpoints: 'inbound-vip|80|http|e.example.org' });
    const assignment = mesh.networking.endpoints.get('inbound-vip|80|http|e.example.org');
    expect(
      JSON.stringify(
        envoy.config.endpoint.v3.ClusterLoadAssignment.decode(assignment?.bytes ?? new Uint8Array()),
      ),
    ).toContain('198.51.100.1');
  });
});
