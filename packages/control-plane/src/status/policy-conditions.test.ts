import { describe, expect, it } from '@jest/globals';
import { MESH_KEY } from '../sources/sources.ts';
import { createMesh } from '../ambient/test-mesh.ts';

const cluster = [
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  '{ kind: GatewayClass, metadata: { name: ingress }, spec: { controllerName: example.com/ingress } }',
  `{ kind: Gateway, metadata: { name: wp, namespace: shop }, spec: { gatewayClassName: istio-waypoint, listeners: [] }, status: { addresses: [{ value: 10.0.0.1 }] } }`,
  '{ kind: Gateway, metadata: { name: edge, namespace: shop }, spec: { gatewayClassName: ingress, listeners: [] } }',
  '{ kind: Service, metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp } }, spec: { clusterIPs: [10.96.0.1] } }',
  '{ kind: ServiceEntry, metadata: { name: api, namespace: shop, labels: { istio.io/use-waypoint: wp } }, spec: { hosts: [api.example.org], resolution: DNS, ports: [{ name: a, number: 80 }] } }',
  '{ kind: Service, metadata: { name: plain, namespace: shop }, spec: { clusterIPs: [10.96.0.2] } }',
  '{ kind: Service, metadata: { name: lost, namespace: shop, labels: { istio.io/use-waypoint: gone } }, spec: { clusterIPs: [10.96.0.3] } }',
];
const G = 'group: gateway.networking.k8s.io';
const web = '{ kind: Service, group: "", name: web }';
const plain = '{ kind: Service, name: plain }';
const policy = (spec: string, namespace = 'shop', annotations = '{}', kind = 'AuthorizationPolicy'): string =>
  `{ kind: ${kind}, metadata: { name: p, namespace: ${namespace}, annotations: ${annotations} }, spec: { ${spec} } }`;

function createCluster() {
  const mesh = createMesh();
  mesh.apply(...cluster);
  return mesh;
}

function condition(text: string): string | undefined {
  const mesh = createCluster();
  mesh.apply(text);
  const { authorizationPolicies, requestAuthentications } = mesh.conditions;
  const [found] = [...authorizationPolicies.values(), ...requestAuthentications.values()];
  return found && `${found.type} ${found.status}/${found.reason}: ${found.message}`;
}

describe('the condition of a policy with targets', () => {
  it.each([
    ['a Service behind a waypoint', `[${web}]`, 'True/Accepted: bound to Service:shop/web'],
    [
      'a waypoint',
      `[{ kind: Gateway, ${G}, name: wp }]`,
      'True/Accepted: bound to Gateway.gateway.networking.k8s.io:shop/wp',
    ],
    [
      'a ServiceEntry behind a waypoint',
      '[{ kind: ServiceEntry, group: networking.istio.io, name: api }]',
      'True/Accepted: bound to ServiceEntry.networking.istio.io:shop/api',
    ],
    [
      'a ServiceEntry that is not there',
      '[{ kind: ServiceEntry, group: networking.istio.io, name: gone }]',
      'False/TargetNotFound: ServiceEntry.networking.istio.io:shop/gone not found',
    ],
    [
      'a Service without one',
      `[${plain}]`,
      'False/AncestorNotBound: Service:shop/plain is not bound to a waypoint: uses no waypoint',
    ],
    [
      'a Service whose waypoint is missing',
      '[{ kind: Service, name: lost }]',
      'False/AncestorNotBound: Service:shop/lost is not bound to a waypoint: waypoint shop/gone does not exist',
    ],
    ['no Service', '[{ kind: Service, name: none }]', 'False/TargetNotFound: Service:shop/none not found'],
    [
      'no Gateway',
      `[{ kind: Gateway, ${G}, name: none }]`,
      'False/TargetNotFound: Gateway.gateway.networking.k8s.io:shop/none not found',
    ],
    [
      'a Gateway that is no waypoint',
      `[{ kind: Gateway, ${G}, name: edge }]`,
      'False/Invalid: Gateway.gateway.networking.k8s.io:shop/edge is not a waypoint',
    ],
    [
      'one of two',
      `[${web}, ${plain}]`,
      'True/PartiallyInvalid: bound to Service:shop/web; Service:shop/plain is not bound to a waypoint: uses no waypoint',
    ],
    [
      'a class outside the root namespace',
      `[{ kind: GatewayClass, ${G}, name: istio-waypoint }]`,
      'False/Invalid: GatewayClass.gateway.networking.k8s.io:istio-waypoint can be targeted from the root namespace istio-system only',
    ],
    [
      'two that fail differently',
      `[${plain}, { kind: Service, name: none }]`,
      'False/Invalid: Service:shop/plain is not bound to a waypoint: uses no waypoint; Service:shop/none not found',
    ],
    [
      'another namespace',
      '[{ kind: Service, name: web, namespace: other }]',
      'False/Invalid: Service:shop/web is in another namespace',
    ],
    [
      'a kind that nobody serves',
      '[{ kind: Pod, name: a }]',
      'False/Invalid: Pod:shop/a is of a kind that no waypoint serves',
    ],
  ])('that is %s', (_case, targets, expected) => {
    expect(condition(policy(`targetRefs: ${targets}`))).toBe(`WaypointAccepted ${expected}`);
    expect(condition(policy(`targetRefs: ${targets}`, 'shop', '{}', 'RequestAuthentication'))).toBe(
      `WaypointAccepted ${expected}`,
    );
  });

  it('accepts the class of waypoints from the root namespace, and no other class', () => {
    const target = (name: string): string => `targetRef: { kind: GatewayClass, ${G}, name: ${name} }`;
    expect(condition(policy(target('istio-waypoint'), 'istio-system'))).toContain('True/Accepted');
    expect(condition(policy(target('ingress'), 'istio-system'))).toContain('False/Invalid');
    expect(condition(policy(target('none'), 'istio-system'))).toContain('False/TargetNotFound');
  });

  it('says what a waypoint makes of actions, and of a dry run', () => {
    const of = (spec: string, annotations?: string): string | undefined =>
      condition(policy(`targetRefs: [${web}], ${spec}`, 'shop', annotations));
    expect(of('action: AUDIT')).toContain('True/Accepted');
    expect(of('action: CUSTOM, provider: { name: opa }')).toContain('False/UnsupportedValue');
    expect(of('action: DENY', '{ istio.io/dry-run: "true" }')).toContain('True/Accepted: bound to');
    expect(of('action: DENY', '{ istio.io/dry-run: "true" }')).toContain('in dry run');
  });

  it('accepts a CUSTOM policy as soon as its provider can be asked', () => {
    const mesh = createCluster();
    const of = (): string | undefined => mesh.conditions.authorizationPolicies.get('shop/p')?.reason;
    mesh.apply(policy(`targetRefs: [${web}], action: CUSTOM, provider: { name: opa }, rules: [{}]`));
    expect(of()).toBe('UnsupportedValue');
    mesh.sources.meshConfig.set(
      MESH_KEY,
      'extensionProviders: [{ name: opa, envoyExtAuthzGrpc: { service: opa.auth.svc.cluster.local, port: 9000 } }]',
    );
    mesh.flush();
    expect(of()).toBe('UnsupportedValue');
    mesh.apply(
      '{ kind: Service, metadata: { name: opa, namespace: auth }, spec: { ports: [{ port: 9000 }] } }',
    );
    expect(of()).toBe('Accepted');
  });

  it('follows the target', () => {
    const mesh = createCluster();
    mesh.apply(policy(`targetRefs: [${plain}]`));
    expect(mesh.conditions.authorizationPolicies.get('shop/p')?.status).toBe('False');
    mesh.apply(
      '{ kind: Service, metadata: { name: plain, namespace: shop, labels: { istio.io/use-waypoint: wp } } }',
    );
    expect(mesh.conditions.authorizationPolicies.get('shop/p')?.status).toBe('True');
  });
});

describe('the condition of a policy without targets', () => {
  it('is that of ztunnel, or says that nobody reads it', () => {
    expect(condition(policy('rules: [{}]'))).toBe('ZtunnelAccepted True/Accepted: attached to ztunnel');
    expect(condition(policy('selector: {}', 'shop', '{}', 'RequestAuthentication'))).toContain(
      'WaypointAccepted False/UnsupportedValue: without targetRefs',
    );
  });
});
