import { expect, it } from '@jest/globals';
import type { Node } from '@weft/xds';
import { createMesh } from '../ambient/test-mesh.ts';
import { ServedTypes } from './served-types.ts';

const fields = (values: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(values).map(([key, stringValue]) => [key, { stringValue }]));
const waypoint = (gateway: string): Node => ({
  id: `waypoint~10.0.0.1~${gateway}.shop~shop.svc.cluster.local`,
  metadata: {
    fields: {
      ...fields({ NAMESPACE: 'shop' }),
      LABELS: { structValue: { fields: fields({ 'gateway.networking.k8s.io/gateway-name': gateway }) } },
    },
  },
});
const grpc = (namespace: string): Node => ({
  id: 'grpc',
  metadata: { fields: fields({ GENERATOR: 'grpc', NAMESPACE: namespace }) },
});

function serve() {
  const mesh = createMesh();
  mesh.apply(
    '{ kind: Namespace, metadata: { name: shop } }',
    '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
    '{ kind: Gateway, metadata: { name: wp, namespace: shop }, spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }, status: { addresses: [{ type: IPAddress, value: 10.96.0.9 }] } }',
  );
  const { graph, ambient, networking, sources } = mesh;
  const { namespaces, pods, services } = sources;
  const types = new ServedTypes({
    graph,
    ambient,
    networking,
    namespaces,
    pods,
    services,
    clusterDomain: 'cluster.local',
  });
  /** Whether two proxies that call themselves the same share what they are offered, which is then kept. */
  return (node: Node): boolean => {
    const [one, other] = [types.of(node, undefined), types.of(node, undefined)];
    const own = (offered: typeof one) => offered.map(({ source }) => source);
    expect(own(one).map(({ typeUrl }) => typeUrl)).toEqual(own(other).map(({ typeUrl }) => typeUrl));
    return own(one).every((source) => own(other).includes(source));
  };
}

it('shares what waypoints of one Gateway are offered, and keeps nothing for Gateways that are not there', () => {
  const isShared = serve();
  expect(isShared(waypoint('wp'))).toBe(true);
  expect(isShared(waypoint('made-up'))).toBe(false);
});

it('shares what gRPC clients of one namespace are offered, and keeps nothing for namespaces that are not there', () => {
  const isShared = serve();
  expect(isShared(grpc('shop'))).toBe(true);
  expect(isShared(grpc('made-up'))).toBe(false);
});
