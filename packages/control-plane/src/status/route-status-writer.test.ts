import { setMaxListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { KubernetesObject, ResourceType, UntypedObject } from '@weft/kubernetes';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { parse } from 'yaml';
import { createMesh } from '../ambient/test-mesh.ts';
import { routeKinds } from './route-kinds.ts';
import { writeRouteStatuses } from './route-status-writer.ts';

const cluster = [
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  `{ kind: Gateway, metadata: { name: wp, namespace: shop }, spec: { gatewayClassName: istio-waypoint, listeners: [] }, status: { addresses: [{ value: 10.0.0.1 }] } }`,
  `{ kind: Service, metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp } },
     spec: { clusterIPs: [10.96.0.1], ports: [{ name: http, port: 80 }] } }`,
];
const foreign = '{ controllerName: example.com/c, parentRef: { kind: Gateway, name: edge }, conditions: [] }';

/** Writes the statuses of one object; each status that was written, in order. What is written comes back, as in life. */
async function write(text: string) {
  const mesh = createMesh();
  let object = parse(text) as UntypedObject & KubernetesObject; // the test vouches for it
  const written: unknown[] = [];
  const stop = new AbortController();
  setMaxListeners(20, stop.signal); // two for each kind
  const client = {
    get: (_type: ResourceType) => Promise.resolve(object as never), // as generic as the client's own
    replaceStatus: (_type: ResourceType, changed: UntypedObject) => {
      written.push(changed.status);
      object = changed;
      mesh.apply(JSON.stringify(changed));
      return Promise.resolve(changed as never); // likewise
    },
  };
  mesh.apply(...cluster, text);
  writeRouteStatuses({
    ...mesh,
    client,
    kinds: routeKinds(mesh.sources, mesh.gateways),
    clock: new ManualClock(),
    logger: silentLogger,
    signal: stop.signal,
  });
  const settle = async (): Promise<unknown[]> => {
    for (let i = 0; i < 20; i++) await turn();
    return written.splice(0);
  };
  const edit = (spec: unknown): void => {
    object = { ...object, spec };
    mesh.apply(JSON.stringify(object));
  };
  return { edit, settle };
}

const route = (rules: string, parents = ''): string => `
kind: HTTPRoute
metadata: { name: r, namespace: shop, generation: 1 }
spec: { parentRefs: [{ group: "", kind: Service, name: web, port: 80 }], rules: [${rules}] }
status: { parents: [${parents}] }`;

describe('statuses of routes', () => {
  it('are written once, beside those of other controllers, and again when something is no longer so', async () => {
    const { edit, settle } = await write(route('{ sessionPersistence: {} }', foreign));
    const types = (statuses: unknown[]): unknown =>
      (statuses as { parents: { controllerName: string; conditions: { type: string }[] }[] }[]).map(
        ({ parents }) => parents.map((p) => [p.controllerName, ...p.conditions.map(({ type }) => type)]),
      );
    const common = ['ResolvedRefs', 'ResolvedWaypoints'];
    expect(types(await settle())).toEqual([
      [['example.com/c'], ['istio.io/gateway-controller', 'Accepted', 'PartiallyInvalid', ...common]],
    ]);
    edit({ parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 80 }], rules: [{}] });
    expect(types(await settle())).toEqual([
      [['example.com/c'], ['istio.io/gateway-controller', 'Accepted', ...common]],
    ]);
  });

  it('are of ancestors where the kind has them', async () => {
    const { settle } = await write(`
kind: BackendTLSPolicy
metadata: { name: p, namespace: shop, generation: 1 }
spec: { targetRefs: [{ group: "", kind: Service, name: web }] }`);
    expect(await settle()).toEqual([
      {
        ancestors: [
          {
            ancestorRef: { group: '', kind: 'Service', namespace: 'shop', name: 'web' },
            controllerName: 'istio.io/mesh-controller',
            conditions: [
              expect.objectContaining({ type: 'Accepted', status: 'False', observedGeneration: 1 }),
            ],
          },
        ],
      },
    ]);
  });
});
