import { expect, it } from '@jest/globals';
import type { KubernetesObject } from '@weft/kubernetes';
import fc from 'fast-check';
import type { EncodedResource } from './resources.ts';
import { createMesh } from './test-mesh.ts';
import { yaml } from './test-objects.ts';

/**
 * The mesh after any history equals the mesh made at once from what is left, and whoever follows the change sets has
 * exactly that. Few names and values, so that everything collides: hosts, addresses, selectors, gateways.
 */

const label = fc.constantFrom(
  'app: a',
  'app: b',
  'app: a, tier: x',
  'istio.io/use-waypoint: wp',
  'istio.io/use-waypoint: wp, weft.dev/require-waypoint: "true"',
  '',
);
const namespace = fc.constantFrom('n1', 'n2', 'istio-system');
const name = fc.constantFrom('x', 'y');
const age = fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z');
const host = fc.constantFrom('x.n1.svc.cluster.local', 'a.example.org', 'b.example.org');
const meta = fc
  .record({ namespace, name, labels: label, age })
  .map(
    (m) =>
      `name: ${m.name}, namespace: ${m.namespace}, labels: { ${m.labels} }, creationTimestamp: "${m.age}"`,
  );
const object = fc.oneof(
  fc
    .tuple(meta, fc.integer({ min: 1, max: 3 }), fc.boolean())
    .map(
      ([m, ip, hbone]) =>
        `{ kind: Pod, metadata: { ${m}, annotations: { ambient.istio.io/redirection: ${hbone ? 'enabled' : 'pending'} } }, spec: { nodeName: node, containers: [] }, status: { phase: Running, podIPs: [{ ip: 10.0.0.${ip} }] } }`,
    ),
  fc
    .tuple(meta, label)
    .map(
      ([m, selector]) =>
        `{ kind: Service, metadata: { ${m} }, spec: { clusterIPs: [10.96.0.1], selector: { ${selector} }, ports: [{ port: 80 }] } }`,
    ),
  fc
    .tuple(
      meta,
      host,
      label,
      fc.constantFrom('DNS', 'STATIC', 'NONE', 'DYNAMIC_DNS'),
      fc.constantFrom('[]', '["."]'),
    )
    .map(
      ([m, h, selector, resolution, exportTo]) =>
        `{ kind: ServiceEntry, metadata: { ${m} }, spec: { hosts: [${h}], addresses: [198.51.100.1], resolution: ${resolution}, exportTo: ${exportTo}, workloadSelector: { labels: { ${selector} } }, ports: [{ name: a, number: 80 }] } }`,
    ),
  fc
    .tuple(meta, fc.constantFrom('', 'there'))
    .map(
      ([m, network]) =>
        `{ kind: WorkloadEntry, metadata: { ${m} }, spec: { address: 192.0.2.1, network: "${network}" } }`,
    ),
  fc
    .tuple(meta, label)
    .map(
      ([m, selector]) =>
        `{ kind: AuthorizationPolicy, metadata: { ${m} }, spec: { selector: { matchLabels: { ${selector} } }, rules: [{}] } }`,
    ),
  fc
    .tuple(meta, label, fc.constantFrom('STRICT', 'PERMISSIVE'))
    .map(
      ([m, selector, mode]) =>
        `{ kind: PeerAuthentication, metadata: { ${m} }, spec: { selector: { matchLabels: { ${selector} } }, mtls: { mode: ${mode} }, portLevelMtls: { "80": { mode: PERMISSIVE } } } }`,
    ),
  fc
    .tuple(meta, fc.constantFrom('Service', 'ServiceEntry'), name)
    .map(
      ([m, kind, target]) =>
        `{ kind: AuthorizationPolicy, metadata: { ${m} }, spec: { targetRefs: [{ kind: ${kind}, name: ${target} }], rules: [{}] } }`,
    ),
  fc
    .tuple(
      meta,
      fc.constantFrom('group: "", kind: Service', 'group: networking.istio.io, kind: ServiceEntry'),
      name,
      host,
    )
    .map(
      ([m, parent, target, backend]) =>
        `{ kind: HTTPRoute, metadata: { ${m} }, spec: { parentRefs: [{ ${parent}, name: ${target} }], rules: [{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: ${backend}, port: 80 }] }] } }`,
    ),
  fc
    .tuple(namespace, label)
    .map(([n, labels]) => `{ kind: Namespace, metadata: { name: ${n}, labels: { ${labels} } } }`),
  fc
    .tuple(namespace, fc.constantFrom('istio-waypoint', 'istio-east-west'), fc.boolean())
    .map(
      ([n, gatewayClass, ready]) =>
        `{ kind: Gateway, metadata: { name: wp, namespace: ${n}, labels: { topology.istio.io/network: there } }, spec: { gatewayClassName: ${gatewayClass}, listeners: [{ name: h, port: 15008, protocol: HBONE }] }, status: { addresses: ${ready ? '[{ value: 10.96.0.9 }]' : '[]'} } }`,
    ),
  fc
    .constantFrom(
      'trustDomain: corp',
      'trustDomainAliases: [old]',
      'rootNamespace: n1',
      'serviceEntryVisibility: { defaultVisibility: NAMESPACE }',
      '{ accessLogFile: /dev/stdout, connectTimeout: 1s, pathNormalization: { normalization: NONE } }',
    )
    .map(
      (mesh) =>
        `{ kind: ConfigMap, metadata: { name: istio, namespace: istio-system }, data: { mesh: "${mesh}" } }`,
    ),
);
const step = fc.oneof({ weight: 4, arbitrary: object }, { weight: 1, arbitrary: fc.nat(20) });

const contents = (resources: Iterable<[string, EncodedResource]>): Map<string, string> =>
  new Map(
    [...resources].map(([key, { version }]) => [key, version] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  );

/** What waypoints are told, and what routes say. */
const waypointContents = ({ networking, gateways }: ReturnType<typeof createMesh>): unknown => {
  const { listeners, clusters, endpoints } = networking;
  return {
    endpoints: contents(endpoints.entries()),
    sets: [listeners, clusters].map(
      (of) => new Map([...of.entries()].map(([key, set]) => [key, contents(set)])),
    ),
    routes: new Map(gateways.routeParents.HTTPRoute.entries()),
  };
};

const identity = (text: string): string => {
  const { kind, metadata } = yaml<KubernetesObject>(text);
  return `${kind} ${metadata.namespace}/${metadata.name}`;
};

it('is the same after any history as made at once from what is left, and so is what its observers saw', () => {
  const gatewayClass =
    '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }';
  fc.assert(
    fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 8 }), (ticks) => {
      const mesh = createMesh();
      mesh.apply(gatewayClass);
      const { addresses, authorizations } = mesh.ambient;
      const seen = new Map<string, string>();
      mesh.graph.subscribe((changes) => {
        for (const collection of [addresses, authorizations]) {
          for (const [key, { before, after }] of changes.of(collection)) {
            expect(seen.get(key)).toBe(before?.version);
            if (after === undefined) seen.delete(key);
            else seen.set(key, after.version);
          }
        }
      });
      const present = new Map<string, string>();
      for (const tick of ticks) {
        for (const change of tick) {
          const [victim] = typeof change === 'number' ? [...present.values()].slice(change) : [change];
          if (victim === undefined) continue;
          if (typeof change === 'number') {
            present.delete(identity(victim));
            mesh.remove(victim);
          } else {
            present.set(identity(victim), victim);
            mesh.stage(victim);
          }
        }
        mesh.flush();
        const fresh = createMesh();
        fresh.apply(gatewayClass, ...present.values());
        const expected = new Map([
          ...contents(fresh.ambient.addresses.entries()),
          ...contents(fresh.ambient.authorizations.entries()),
        ]);
        expect(new Map([...contents(addresses.entries()), ...contents(authorizations.entries())])).toEqual(
          expected,
        );
        expect(seen).toEqual(expected);
        expect(mesh.errors).toEqual([]);
        expect(waypointContents(mesh)).toEqual(waypointContents(fresh));
      }
    }),
    { numRuns: 120 },
  );
});
