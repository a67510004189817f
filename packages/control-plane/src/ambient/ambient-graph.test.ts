import { describe, expect, it } from '@jest/globals';
import { Label } from '@weft/api';
import { istio } from '@weft/api/workload';
import { MESH_KEY } from '../sources/sources.ts';
import { createMesh } from './test-mesh.ts';
import { decodeAuthorization } from './test-objects.ts';

const pod = (name: string, labels: string, more = ''): string => `
kind: Pod
metadata: { name: ${name}, namespace: shop, uid: ${name}, labels: { ${labels} } ${more} }
spec: { nodeName: n1, serviceAccountName: ${name}, containers: [] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.${name.length} }], conditions: [{ type: Ready, status: "True" }] }`;
const uid = (name: string): string => `Kubernetes//Pod/shop/${name}`;
const webService =
  'kind: Service\nmetadata: { name: web, namespace: shop }\nspec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] }';
const policy = (name: string, spec: string, namespace = 'shop'): string =>
  `{ kind: AuthorizationPolicy, metadata: { name: ${name}, namespace: ${namespace} }, spec: ${spec} }`;
const peer = (name: string, spec: string, namespace = 'shop'): string =>
  `{ kind: PeerAuthentication, metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: "2026-01-01T00:00:00Z" }, spec: ${spec} }`;

describe('ambient graph', () => {
  it('changes exactly the resources that a change concerns', () => {
    const mesh = createMesh();
    expect(mesh.apply(pod('a', 'app: web'), pod('bb', 'app: web'), pod('ccc', 'app: db'))).toEqual([
      uid('a'),
      uid('bb'),
      uid('ccc'),
    ]);
    expect(mesh.apply(webService)).toEqual([uid('a'), uid('bb'), 'shop/web.shop.svc.cluster.local']);
    expect(mesh.apply(pod('a', 'app: db'))).toEqual([uid('a')]);
    expect(mesh.apply(pod('a', 'app: db'))).toEqual([]);
    mesh.sources.pods.delete('shop/bb');
    expect(mesh.flush()).toEqual([`-${uid('bb')}`]);
    expect(
      mesh.apply('{ kind: Node, metadata: { name: n1, labels: { topology.kubernetes.io/zone: z } } }'),
    ).toEqual([uid('a'), uid('ccc')]);
    expect(
      mesh.apply(
        '{ kind: Node, metadata: { name: n1, labels: { topology.kubernetes.io/zone: z, heartbeat: x } } }',
      ),
    ).toEqual([]);
  });

  it('attaches policies by selector, own namespace and root, before those derived from PeerAuthentications', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'), pod('bb', 'app: db'));
    const selector = 'selector: { matchLabels: { app: web } }';
    expect(
      mesh.apply(
        policy('z', `{ ${selector} }`),
        policy('everywhere', `{ ${selector} }`, 'istio-system'),
        policy('elsewhere', `{ ${selector} }`, 'other'),
        policy('whole-namespace', '{}'),
        policy('l7', `{ targetRefs: [{ kind: Service, name: web }] }`),
        policy('audit', `{ ${selector}, action: AUDIT }`),
        peer('strict', '{ mtls: { mode: STRICT } }'),
      ),
    ).toEqual([
      uid('a'),
      uid('bb'),
      'istio-system/everywhere',
      'istio-system/istio_converted_static_strict',
      'other/elsewhere',
      'shop/whole-namespace',
      'shop/z',
    ]);
    expect(mesh.workload('a')?.authorizationPolicies).toEqual([
      'istio-system/everywhere',
      'shop/z',
      'istio-system/istio_converted_static_strict',
    ]);
    expect(mesh.workload('bb')?.authorizationPolicies).toEqual([
      'istio-system/istio_converted_static_strict',
    ]);
  });

  it('does not touch workloads when only the rules of a policy change', () => {
    const mesh = createMesh();
    const selector = 'selector: { matchLabels: { app: web } }';
    mesh.apply(pod('a', 'app: web'), policy('p', `{ ${selector} }`));
    expect(mesh.apply(policy('p', `{ ${selector}, rules: [{}] }`))).toEqual(['shop/p']);
    expect(mesh.apply(policy('p', '{ selector: { matchLabels: { app: db } }, rules: [{}] }'))).toEqual([
      uid('a'),
    ]);
  });

  it('publishes the static policy while there is any PeerAuthentication', () => {
    const mesh = createMesh();
    const key = 'istio-system/istio_converted_static_strict';
    expect(mesh.apply(peer('p', '{}'))).toEqual([key]);
    const resource = mesh.ambient.authorizations.get(key);
    expect(resource && decodeAuthorization(resource)).toEqual({
      name: 'istio_converted_static_strict',
      namespace: 'istio-system',
      scope: istio.security.Scope.WORKLOAD_SELECTOR,
      action: istio.security.Action.DENY,
      rules: [{ clauses: [{ matches: [{ notPrincipals: [{ presence: {} }] }] }] }],
    });
    mesh.sources.peerAuthentications.delete('shop/p');
    expect(mesh.flush()).toEqual([`-${key}`]);
  });

  it('converts port exceptions, and follows the levels above', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'));
    const converted = 'shop/converted_peer_authentication_p';
    const strictEverywhere = peer('root', '{ mtls: { mode: STRICT } }', 'istio-system');
    mesh.apply(strictEverywhere);
    const own = '{ selector: { matchLabels: { app: web } }, portLevelMtls: { "80": { mode: DISABLE } } }';
    expect(mesh.apply(peer('p', own))).toEqual([uid('a'), converted]);
    expect(mesh.workload('a')?.authorizationPolicies).toEqual([converted]);
    mesh.sources.peerAuthentications.delete('istio-system/root');
    expect(mesh.flush()).toEqual([`-${converted}`, uid('a')].sort());
    expect(mesh.workload('a')?.authorizationPolicies).toEqual([]);
  });

  it('ignores a PeerAuthentication with a selector in the root namespace', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'));
    const spec = '{ selector: { matchLabels: { app: web } }, mtls: { mode: STRICT } }';
    expect(mesh.apply(peer('p', spec, 'istio-system'))).toEqual([
      'istio-system/istio_converted_static_strict',
    ]);
  });

  it('reaches pods of a service without selector through slices that name them', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'));
    const slice = `
kind: EndpointSlice
metadata: { name: s, namespace: shop, labels: { kubernetes.io/service-name: manual } }
addressType: IPv4
ports: [{ name: "", port: 8080 }]
endpoints: [{ addresses: [10.0.0.1], targetRef: { kind: Pod, name: a } }, { addresses: [192.0.2.9] }]`;
    const manual =
      '{ kind: Service, metadata: { name: manual, namespace: shop }, spec: { ports: [{ port: 80 }] } }';
    expect(mesh.apply(slice)).toEqual([]);
    expect(mesh.apply(manual)).toEqual([
      uid('a'),
      'Kubernetes/discovery.k8s.io/EndpointSlice/shop/s/192.0.2.9',
      'shop/manual.shop.svc.cluster.local',
    ]);
    const ports = mesh.workload('a')?.services['shop/manual.shop.svc.cluster.local']?.ports;
    expect(ports?.map(({ servicePort, targetPort }) => [servicePort, targetPort])).toEqual([[80, 8080]]);
  });

  it('takes trust domain and root namespace from the mesh configuration, keeping the last valid one', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'), policy('p', '{ rules: [{}] }', 'root'));
    mesh.sources.meshConfig.set(MESH_KEY, 'trustDomain: corp\nrootNamespace: root\n');
    expect(mesh.flush()).toEqual([uid('a'), 'root/p']);
    expect(mesh.workload('a')?.trustDomain).toBe('corp');
    mesh.sources.meshConfig.set(MESH_KEY, 'trustDomain: [not, text]');
    expect(mesh.flush()).toEqual([]);
    expect(mesh.errors).toEqual(['meshSettings/mesh']);
    mesh.sources.meshConfig.set(MESH_KEY, '');
    expect(mesh.flush()).toEqual([uid('a'), 'root/p']);
  });

  it('follows the aliases of the trust domain, and refuses what is none', () => {
    const mesh = createMesh();
    mesh.apply(policy('p', '{ rules: [{ from: [{ source: { principals: [old/ns/shop/sa/a] } }] }] }'));
    mesh.apply(policy('q', '{ rules: [{ from: [{ source: { principals: [other/ns/shop/sa/a] } }] }] }'));
    mesh.sources.meshConfig.set(MESH_KEY, 'trustDomainAliases: [old]');
    expect(mesh.flush()).toEqual(['shop/p']);
    mesh.sources.meshConfig.set(MESH_KEY, 'trustDomainAliases: [old/ns/shop]');
    expect(mesh.flush()).toEqual([]);
    expect(mesh.errors).toEqual(['meshSettings/mesh']);
    mesh.sources.meshConfig.set(MESH_KEY, '');
    expect(mesh.flush()).toEqual(['shop/p']);
  });

  it('puts everything into the network that labels the system namespace', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'), webService);
    const labels = `{ ${Label.network}: east }`;
    const changed = mesh.apply(`{ kind: Namespace, metadata: { name: istio-system, labels: ${labels} } }`);
    expect(changed).toEqual([uid('a'), 'shop/web.shop.svc.cluster.local']);
    expect(mesh.workload('a')?.network).toBe('east');
  });

  it('gives equal content equal versions, whatever happened before', () => {
    const first = createMesh();
    first.apply(pod('a', 'app: web'), webService, policy('p', '{ selector: { matchLabels: { app: web } } }'));
    const second = createMesh();
    second.apply(policy('p', '{ selector: { matchLabels: { app: web } } }'), webService, pod('a', 'app: db'));
    second.apply(pod('a', 'app: web'));
    const versions = (mesh: typeof first): unknown =>
      [...mesh.ambient.addresses.values()].map((r) => `${r.name} ${r.version}`).sort();
    expect(versions(second)).toEqual(versions(first));
  });

  it('explains a workload by its pod and its service', () => {
    const mesh = createMesh();
    mesh.apply(pod('a', 'app: web'), webService);
    const text = JSON.stringify(mesh.graph.lineage('addresses', uid('a')));
    expect(text).toContain('"collection":"pods","key":"shop/a"');
    expect(text).toContain('"collection":"services","key":"shop/web"');
  });

  it('tells ztunnels of policies in dry run, and has workloads allow their waypoints, when told to', () => {
    const objects = [
      '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
      '{ kind: Gateway, metadata: { name: wp, namespace: shop }, spec: { gatewayClassName: istio-waypoint, listeners: [] }, status: { addresses: [{ value: 10.96.0.9 }] } }',
      '{ kind: Service, metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp } }, spec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] } }',
      '{ kind: AuthorizationPolicy, metadata: { name: p, namespace: shop, annotations: { istio.io/dry-run: "true" } }, spec: { selector: { matchLabels: { app: web } }, action: DENY, rules: [{}] } }',
      pod('a', 'app: web'),
    ];
    const quiet = createMesh();
    quiet.apply(...objects);
    expect(quiet.workload('a')?.authorizationPolicies).toEqual([]);
    const mesh = createMesh({ allowWaypoints: true, sendDryRun: true });
    mesh.apply(...objects);
    expect(mesh.workload('a')?.authorizationPolicies).toEqual([
      'shop/p',
      'shop/istio_allow_waypoint_shop_wp',
    ]);
    expect(mesh.authorization('shop/p')).toMatchObject({ dryRun: true, action: 1 });
    expect(mesh.authorization('shop/istio_allow_waypoint_shop_wp')).toMatchObject({
      scope: 2,
      rules: [{ clauses: [{ matches: [{ principals: [{ exact: 'cluster.local/ns/shop/sa/wp' }] }] }] }],
    });
    expect(mesh.conditions.authorizationPolicies.get('shop/p')).toMatchObject({
      reason: 'Accepted',
      message: 'attached to ztunnel, in dry run: what it would do is not done',
    });
  });
});
