import { describe, expect, it } from '@jest/globals';
import { createMesh } from '../ambient/test-mesh.ts';
import { routeParents } from './route-status.ts';

const waypoint = [
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  `{ kind: Gateway, metadata: { name: wp, namespace: infra }, status: { addresses: [{ value: 10.0.0.1 }] }, spec: { gatewayClassName: istio-waypoint,
     listeners: [{ name: mesh, port: 15008, protocol: HBONE, allowedRoutes: { namespaces: { from: All } } }] } }`,
  `{ kind: Service, metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra } },
     spec: { clusterIPs: [10.96.0.1], ports: [{ name: http, port: 80 }] } }`,
  '{ kind: Service, metadata: { name: plain, namespace: shop }, spec: { clusterIPs: [10.96.0.2], ports: [{ port: 80 }] } }',
];
const web = '{ group: "", kind: Service, name: web, namespace: shop }';
const rule = '{ backendRefs: [{ name: web, port: 80 }] }';

function conditions(parent: string, rules: string, namespace = 'shop'): Record<string, string> {
  const mesh = createMesh();
  mesh.apply(
    ...waypoint,
    `{ kind: HTTPRoute, metadata: { name: r, namespace: ${namespace} }, spec: { parentRefs: [${parent}], rules: [${rules}] } }`,
  );
  const route = mesh.sources.httpRoutes.get(`${namespace}/r`);
  if (route === undefined) throw new Error('no route');
  const [first] = routeParents(route, {
    service: (key) => mesh.sources.services.get(key),
    waypoint: (key) => mesh.ambient.serviceWaypoints.get(key),
  });
  return Object.fromEntries((first?.conditions ?? []).map((c) => [c.type, `${c.reason}: ${c.message}`]));
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

  it('tells that a Service without a waypoint takes no notice', () => {
    expect(conditions(web.replace('web', 'plain'), rule)['ResolvedWaypoints']).toContain('uses no waypoint');
    expect(conditions(web, rule)['ResolvedWaypoints']).toContain('All waypoints resolved');
  });
});
