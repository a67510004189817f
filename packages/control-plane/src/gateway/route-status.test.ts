import { describe, expect, it } from '@jest/globals';
import { createMesh } from '../ambient/test-mesh.ts';

const waypoint = [
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  `{ kind: Gateway, metadata: { name: wp, namespace: infra }, status: { addresses: [{ value: 10.0.0.1 }] }, spec: { gatewayClassName: istio-waypoint,
     listeners: [{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }] } }`,
  `{ kind: Service, metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra } },
     spec: { clusterIPs: [10.96.0.1], ports: [{ name: http, port: 80 }, { name: tcp, port: 9000 }] } }`,
  '{ kind: Service, metadata: { name: headless, namespace: shop }, spec: { clusterIP: None, ports: [{ port: 80 }] } }',
  '{ kind: Service, metadata: { name: plain, namespace: shop }, spec: { clusterIPs: [10.96.0.2], ports: [{ port: 80 }] } }',
  `{ kind: ServiceEntry, metadata: { name: api, namespace: shop, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra } },
     spec: { hosts: [api.example.com], addresses: [198.51.100.1], resolution: DNS, ports: [{ name: http, number: 80, protocol: HTTP }, { name: tls, number: 443, protocol: TLS }] } }`,
  `{ kind: ServiceEntry, metadata: { name: nowhere, namespace: shop },
     spec: { hosts: [nowhere.example.com], resolution: NONE, ports: [{ name: http, number: 80, protocol: HTTP }] } }`,
  `{ kind: ServiceEntry, metadata: { name: hidden, namespace: shop },
     spec: { hosts: [hidden.example.com], addresses: [198.51.100.2], exportTo: ["~"], resolution: DNS, ports: [{ name: http, number: 80, protocol: HTTP }] } }`,
];
const entry = (name: string): string => `{ group: networking.istio.io, kind: ServiceEntry, name: ${name} }`;
const web = '{ group: "", kind: Service, name: web, namespace: shop }';
const rule = '{ backendRefs: [{ name: web, port: 80 }] }';

function conditionsOf(kind: string, parent: string, rules: string, namespace = 'shop', more: string[] = []) {
  const mesh = createMesh();
  mesh.apply(
    ...waypoint,
    ...more,
    `{ kind: ${kind}, metadata: { name: r, namespace: ${namespace} }, spec: { parentRefs: [${parent}], rules: [${rules}] } }`,
  );
  const [parents] = Object.values(mesh.gateways.routeParents).flatMap((of) => [...of.values()]);
  return Object.fromEntries(
    (parents?.[0]?.conditions ?? []).map((c) => [c.type, `${c.reason}: ${c.message}`]),
  );
}

function conditions(parent: string, rules: string, namespace = 'shop', more: string[] = []) {
  return conditionsOf('HTTPRoute', parent, rules, namespace, more);
}

describe('status of a route in the mesh', () => {
  it.each([
    ['a Service', web, rule, 'shop', 'Accepted: Route was valid'],
    ['a Service, from the namespace of its waypoint', web, '{}', 'infra', 'Accepted: Route was valid'],
    [
      'no Service',
      web.replace('web', 'gone'),
      rule,
      'shop',
      'NoMatchingParent: parent service: "shop/gone" not found',
    ],
    [
      'a port that it does not have',
      web.replace('}', ', port: 81 }'),
      rule,
      'shop',
      'NoMatchingParent: port 81 not found',
    ],
    [
      'a section that it does not have',
      web.replace('}', ', sectionName: grpc }'),
      rule,
      'shop',
      'NoMatchingParent: sectionName "grpc" not found',
    ],
    ['a section', web.replace('}', ', sectionName: http }'), rule, 'shop', 'Accepted: Route was valid'],
    [
      'a port that carries no HTTP',
      web.replace('}', ', sectionName: tcp }'),
      rule,
      'shop',
      'UnsupportedValue: no port of service "shop/web" that the route attaches to carries HTTP',
    ],
    [
      'a headless Service',
      web.replace('web', 'headless'),
      rule,
      'shop',
      'UnsupportedValue: parent service "shop/headless" is headless: requests go to its pods, and no route sees them',
    ],
    [
      'the waypoint itself',
      '{ name: wp, namespace: infra }',
      rule,
      'shop',
      'NotAllowedByListeners: routes attach to the Services that use a waypoint, not to its listeners',
    ],
    ['a ServiceEntry', entry('api'), rule, 'shop', 'Accepted: Route was valid'],
    [
      'no ServiceEntry',
      entry('gone'),
      rule,
      'shop',
      'NoMatchingParent: parent service entry: "shop/gone" not found',
    ],
    [
      'a ServiceEntry that has no address',
      entry('nowhere'),
      rule,
      'shop',
      'UnsupportedValue: parent service entry "shop/nowhere" has no address: nothing tells that a request is for it',
    ],
    [
      'a port of a ServiceEntry that carries no HTTP',
      entry('api').replace('}', ', port: 443 }'),
      rule,
      'shop',
      'UnsupportedValue: no port of service entry "shop/api" that the route attaches to carries HTTP',
    ],
    [
      'a ServiceEntry of another namespace',
      entry('api').replace('}', ', namespace: shop }'),
      '{}',
      'elsewhere',
      'UnsupportedValue: a waypoint applies routes of the namespaces of the ServiceEntry and of the waypoint, not of elsewhere',
    ],
    [
      'a ServiceEntry that nobody sees',
      entry('hidden'),
      rule,
      'shop',
      'NoMatchingParent: parent service entry: "shop/hidden" not found',
    ],
    ["somebody else's Gateway", '{ name: edge }', rule, 'shop', undefined],
    [
      'a Service of another namespace',
      web,
      '{}',
      'elsewhere',
      'UnsupportedValue: a waypoint applies routes of the namespaces of the Service and of the waypoint, not of elsewhere',
    ],
  ])('attached to %s', (_case, parent, rules, namespace, expected) => {
    expect(conditions(parent, rules, namespace)['Accepted']).toBe(expected);
  });

  it.each([
    ['a backend', rule, 'ResolvedRefs: All references resolved'],
    [
      'no such backend',
      '{ backendRefs: [{ name: gone, port: 80 }] }',
      'BackendNotFound: backend(shop/gone) not found',
    ],
    [
      'a backend without the port',
      '{ backendRefs: [{ name: web, port: 81 }] }',
      'BackendNotFound: backend(shop/web) has no port 81',
    ],
    [
      'a backend of another kind',
      '{ backendRefs: [{ kind: X, group: g, name: web, port: 80 }] }',
      'InvalidKind: referencing unsupported backendRef: group "g" kind "X"',
    ],
    [
      'a host of a ServiceEntry',
      '{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80 }] }',
      'ResolvedRefs: All references resolved',
    ],
    [
      'a host that no ServiceEntry has',
      '{ backendRefs: [{ group: networking.istio.io, kind: Hostname, name: x.example.com, port: 80 }] }',
      'BackendNotFound: backend(x.example.com) not found',
    ],
    [
      'a host of another namespace',
      '{ backendRefs: [{ group: networking.istio.io, kind: Hostname, namespace: shop, name: api.example.com, port: 80 }] }',
      'InvalidKind: referencing unsupported backendRef: group "networking.istio.io" kind "Hostname"',
    ],
    [
      'an unknown filter',
      '{ filters: [{ type: ExtensionRef }] }',
      'InvalidFilter: unsupported filter type "ExtensionRef"',
    ],
    [
      'a mirror that is not there',
      '{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: gone, port: 80 } } }] }',
      'BackendNotFound: backend(shop/gone) not found',
    ],
  ])('referring to %s', (_case, rules, expected) => {
    expect(conditions(web, rules)['ResolvedRefs']).toBe(expected);
  });

  it.each([
    [
      'without leave',
      '',
      'RefNotPermitted: backendRef far/elsewhere not accessible to a HTTPRoute in namespace "shop" (missing a ReferenceGrant?)',
    ],
    ['with leave', '{ group: "", kind: Service }', 'ResolvedRefs: All references resolved'],
    ['with leave for it', '{ group: "", kind: Service, name: far }', 'ResolvedRefs: All references resolved'],
    ['with leave for another', '{ group: "", kind: Service, name: near }', 'RefNotPermitted'],
    ['with leave for Secrets', '{ group: "", kind: Secret }', 'RefNotPermitted'],
  ])('referring to a Service of another namespace %s', (_case, to, expected) => {
    const more = [
      '{ kind: Service, metadata: { name: far, namespace: elsewhere }, spec: { clusterIPs: [10.96.0.9], ports: [{ port: 80 }] } }',
      `{ kind: ReferenceGrant, metadata: { name: g, namespace: elsewhere }, spec: { to: [${to}],
          from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop }] } }`,
    ];
    const found = conditions(
      web,
      '{ backendRefs: [{ name: far, namespace: elsewhere, port: 80 }] }',
      'shop',
      more,
    );
    expect(found['ResolvedRefs']).toContain(expected);
  });

  it('needs no leave to send to its parent what was on the way there', () => {
    const own = '{ backendRefs: [{ name: web, namespace: shop, port: 80 }] }';
    expect(conditions(web, own, 'infra')['ResolvedRefs']).toContain('All references resolved');
  });

  it.each([
    [
      'a filter that nobody knows, in its only rule',
      '{ filters: [{ type: ExtensionRef }] }',
      'UnsupportedValue: rules[0].filters[0]: unsupported filter type "ExtensionRef"; requests that the rule matches are answered 500',
      undefined,
    ],
    [
      'a filter that nobody knows, in one of two rules',
      `${rule}, { filters: [{ type: ExternalAuth }] }`,
      'Accepted: Route was valid',
      'UnsupportedValue: rules[1].filters[0]: unsupported filter type "ExternalAuth"; requests that the rule matches are answered 500',
    ],
    [
      'filters that exclude each other',
      '{ filters: [{ type: RequestRedirect, requestRedirect: {} }, { type: URLRewrite, urlRewrite: {} }] }',
      'IncompatibleFilters: rules[0].filters: RequestRedirect and URLRewrite exclude each other; requests that the rule matches are answered 500',
      undefined,
    ],
    [
      'a session to keep',
      '{ sessionPersistence: { sessionName: s } }',
      'Accepted: Route was valid',
      'UnsupportedValue: rules[0].sessionPersistence: is not supported: sessions do not stick to an endpoint',
    ],
    [
      'an expression that is none',
      `${rule}, { matches: [{ path: { type: RegularExpression, value: "/(?=a)" } }] }`,
      'Accepted: Route was valid',
      expect.stringContaining('UnsupportedValue: Dropped Rule rules[1].matches[0].path.value'),
    ],
    [
      'a time that is none',
      '{ timeouts: { request: soon } }',
      'Accepted: Route was valid',
      'UnsupportedValue: rules[0].timeouts.request: "soon" is not a duration',
    ],
  ])('with %s', (_case, rules, accepted, partially) => {
    const found = conditions(web, rules);
    expect(found['Accepted']).toBe(accepted);
    expect(found['PartiallyInvalid']).toEqual(partially);
  });

  it.each(['TCPRoute'])('of kind %s says that nothing comes of it', (kind) => {
    expect(conditionsOf(kind, web, '{}')).toEqual({
      Accepted: `UnsupportedValue: waypoints do not serve ${kind}s: this route has no effect`,
    });
  });

  it('says of a BackendTLSPolicy that nothing comes of it, where the target is behind a waypoint', () => {
    const mesh = createMesh();
    const target = (name: string): string => `{ group: "", kind: Service, name: ${name} }`;
    const targets = [target('web'), target('plain'), '{ group: g, kind: K, name: web }'].join(', ');
    mesh.apply(
      ...waypoint,
      `{ kind: BackendTLSPolicy, metadata: { name: p, namespace: shop }, spec: { targetRefs: [${targets}] } }`,
    );
    expect(mesh.gateways.backendTlsAncestors.get('shop/p')).toEqual([
      {
        parentRef: { group: '', kind: 'Service', namespace: 'shop', name: 'web' },
        controllerName: 'istio.io/mesh-controller',
        conditions: [expect.objectContaining({ type: 'Accepted', status: 'False', reason: 'Invalid' })],
      },
    ]);
  });

  it('tells that a Service without a waypoint takes no notice', () => {
    expect(conditions(web.replace('web', 'plain'), rule)['ResolvedWaypoints']).toContain('uses no waypoint');
    expect(conditions(web, rule)['ResolvedWaypoints']).toContain('All waypoints resolved');
    expect(conditions(entry('nowhere'), rule)['ResolvedWaypoints']).toContain('uses no waypoint');
    expect(conditions(entry('api'), rule)['ResolvedWaypoints']).toContain('All waypoints resolved');
  });
});
