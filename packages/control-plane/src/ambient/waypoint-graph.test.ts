import { describe, expect, it } from '@jest/globals';
import { waypointBound } from '../status/waypoint-conditions.ts';
import { createMesh } from './test-mesh.ts';

const waypointClass =
  '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }';
const gateway = (status = '{}', labels = '{}'): string => `
kind: Gateway
metadata: { name: wp, namespace: shop, labels: ${labels} }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status: ${status}`;
const readyStatus = `
  addresses: [{ type: IPAddress, value: 10.96.0.9 }, { type: Hostname, value: wp.shop.svc.cluster.local }]`;
const service = (labels: string, targetPort = '8080'): string => `
kind: Service
metadata: { name: web, namespace: shop, labels: { ${labels} } }
spec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ port: 80, targetPort: ${targetPort} }] }`;
const pod = `
kind: Pod
metadata: { name: a, namespace: shop, uid: a, labels: { app: web } }
spec: { nodeName: n1, serviceAccountName: web, containers: [{ name: web, ports: [{ name: http, containerPort: 9090 }] }] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.1 }], conditions: [{ type: Ready, status: "True" }] }`;
const l7Policy =
  '{ kind: AuthorizationPolicy, metadata: { name: l7, namespace: shop }, spec: { targetRefs: [{ kind: Service, name: web }] } }';

const key = 'shop/web.shop.svc.cluster.local';
const requirement = 'shop/weft_require_waypoint_web';
const uid = 'Kubernetes//Pod/shop/a';
const byName = {
  hostname: { namespace: 'shop', hostname: 'wp.shop.svc.cluster.local' },
  hboneMtlsPort: 15008,
};
const denial = (matches: object): unknown => ({
  name: 'weft_require_waypoint_web',
  namespace: 'shop',
  scope: 2,
  action: 1,
  rules: [{ clauses: [{ matches: [matches] }] }],
});

describe('waypoints in the workload API', () => {
  it('appear when the Gateway has an address, and only in what changes by it', () => {
    const mesh = createMesh();
    mesh.apply(waypointClass, gateway(), service('istio.io/use-waypoint: wp'), pod);
    expect(mesh.service(key)).not.toHaveProperty('waypoint');
    expect(mesh.apply(gateway(readyStatus))).toEqual([key]);
    expect(mesh.service(key)).toMatchObject({ waypoint: byName });
  });

  it('serve pods when the Gateway says so, but never the pods of a waypoint', () => {
    const mesh = createMesh();
    const labels = '{ istio.io/waypoint-for: workload }';
    const namespace = '{ kind: Namespace, metadata: { name: shop, labels: { istio.io/use-waypoint: wp } } }';
    mesh.apply(waypointClass, gateway(readyStatus, labels), service(''), pod, namespace);
    expect(mesh.workload('a')?.waypoint).toMatchObject(byName);
    expect(mesh.service(key)).not.toHaveProperty('waypoint');
    mesh.apply(pod.replace('app: web', 'app: web, gateway.networking.k8s.io/gateway-name: wp'));
    expect(mesh.workload('a')?.waypoint).toBeNull();
  });

  it('come with a policy, named before they exist, where they are required', () => {
    const mesh = createMesh();
    const labels = 'istio.io/use-waypoint: wp, weft.dev/require-waypoint: "true"';
    expect(mesh.apply(waypointClass, service(labels), pod)).toEqual([uid, key, requirement]);
    expect(mesh.service(key)).toMatchObject({
      waypoint: byName,
      extensions: [{ name: 'weft.dev/require-waypoint' }],
    });
    expect(mesh.workload('a')?.authorizationPolicies).toEqual([requirement]);
    expect(mesh.authorization(requirement)).toEqual(
      denial({ notPrincipals: [{ exact: 'cluster.local/ns/shop/sa/wp' }], destinationPorts: [8080] }),
    );
    // Coming and going of the waypoint changes nothing: there is no moment without it.
    expect(mesh.apply(gateway())).toEqual([]);
    expect(mesh.apply(gateway(readyStatus))).toEqual([]);
    mesh.sources.gateways.delete('shop/wp');
    expect(mesh.flush()).toEqual([]);
  });

  it('are required of a Service that an L7 policy targets, and never resolve while it has none', () => {
    const mesh = createMesh();
    mesh.apply(waypointClass, service(''), pod);
    expect(mesh.apply(l7Policy)).toEqual([uid, key, requirement]);
    expect(mesh.service(key)).toMatchObject({
      waypoint: {
        hostname: { namespace: 'shop', hostname: 'no-waypoint.shop.weft.invalid' },
        hboneMtlsPort: 15008,
      },
    });
    expect(mesh.authorization(requirement)).toEqual(denial({ destinationPorts: [8080] }));
    mesh.sources.authorizationPolicies.delete('shop/l7');
    expect(mesh.flush()).toEqual([`-${requirement}`, uid, key].sort());
  });

  it.each([
    ['its waypoint', 'AuthorizationPolicy', 'shop', 'Gateway, name: wp', '', true],
    ['its waypoint, about tokens', 'RequestAuthentication', 'shop', 'Gateway, name: wp', '', true],
    ['all waypoints', 'AuthorizationPolicy', 'istio-system', 'GatewayClass, name: istio-waypoint', '', true],
    ['another waypoint', 'AuthorizationPolicy', 'shop', 'Gateway, name: other', '', false],
    [
      'its waypoint, in an audit',
      'AuthorizationPolicy',
      'shop',
      'Gateway, name: wp',
      'action: AUDIT,',
      false,
    ],
  ])(
    'are required of a Service when a policy targets %s',
    (_case, kind, namespace, target, spec, required) => {
      const mesh = createMesh();
      mesh.apply(waypointClass, service('istio.io/use-waypoint: wp'), pod);
      mesh.apply(
        `{ kind: ${kind}, metadata: { name: l7, namespace: ${namespace} }, spec: { ${spec} targetRefs: [{ kind: ${target} }] } }`,
      );
      expect(mesh.ambient.serviceWaypoints.get('shop/web')?.required).toBe(required);
    },
  );

  it('are not required by a dry run, nor of a Service that uses none by a policy for waypoints', () => {
    const mesh = createMesh();
    mesh.apply(waypointClass, service(''), pod);
    mesh.apply(l7Policy.replace('name: l7,', 'name: l7, annotations: { istio.io/dry-run: "true" },'));
    mesh.apply(
      '{ kind: AuthorizationPolicy, metadata: { name: all, namespace: istio-system }, spec: { targetRefs: [{ kind: GatewayClass, name: istio-waypoint }] } }',
    );
    expect(mesh.ambient.serviceWaypoints.get('shop/web')?.required).toBe(false);
  });

  it('are required on the ports that names stand for in the pods', () => {
    const mesh = createMesh();
    mesh.apply(service('weft.dev/require-waypoint: "true"', 'http'), pod);
    expect(mesh.authorization(requirement)).toEqual(denial({ destinationPorts: [9090] }));
  });

  it('may be two, of which the second takes a share', () => {
    const mesh = createMesh();
    const canary = gateway(readyStatus.replaceAll('wp.shop', 'wp2.shop')).replace('name: wp,', 'name: wp2,');
    const labels =
      'istio.io/use-waypoint: wp, istio.io/use-waypoint-canary: wp2, weft.dev/require-waypoint: "true"';
    const weighted = service(labels).replace(
      'name: web,',
      'name: web, annotations: { istio.io/use-waypoint-canary-weight: "10" },',
    );
    mesh.apply(waypointClass, gateway(readyStatus), weighted, pod);
    // Nothing is sent to a canary before it is there.
    expect(mesh.service(key)).not.toHaveProperty('weightedWaypoints');
    const bound = (): unknown => {
      const found = mesh.ambient.serviceWaypoints.get('shop/web');
      const { status, reason, message } = (found && waypointBound('Service', found)) ?? {};
      return `${status} ${reason}: ${message}`;
    };
    expect(bound()).toBe(
      'False WaypointIsNotReady: waypoint shop/wp2 does not exist; everything goes to waypoint shop/wp',
    );
    mesh.apply(canary);
    expect(bound()).toContain(
      'True WaypointAccepted: Successfully attached to waypoint shop/wp; 10% to canary',
    );
    expect(mesh.service(key)).toMatchObject({
      waypoint: byName,
      weightedWaypoints: [
        { destination: byName, weight: 90 },
        { destination: { hostname: { hostname: 'wp2.shop.svc.cluster.local' } }, weight: 10 },
      ],
    });
    const principals = ['wp', 'wp2'].map((name) => ({ exact: `cluster.local/ns/shop/sa/${name}` }));
    expect(mesh.authorization(requirement)).toEqual(
      denial({ notPrincipals: principals, destinationPorts: [8080] }),
    );
    for (const waypoint of ['shop/wp', 'shop/wp2']) {
      expect([...(mesh.networking.clusters.get(waypoint)?.keys() ?? [])]).toContain(
        'inbound-vip|80|http|web.shop.svc.cluster.local',
      );
    }
  });

  it('may be whoever runs a Gateway that the mesh did not deploy', () => {
    const mesh = createMesh();
    const foreign = gateway(readyStatus).replace(
      'spec: {',
      'spec: { addresses: [{ type: Hostname, value: wp.shop.svc.cluster.local }],',
    );
    const labels = 'istio.io/use-waypoint: wp, weft.dev/require-waypoint: "true"';
    const proxy = pod
      .replace('name: a,', 'name: proxy,')
      .replace('app: web', 'gateway.networking.k8s.io/gateway-name: wp')
      .replace('serviceAccountName: web', 'serviceAccountName: own');
    mesh.apply(waypointClass, foreign, service(labels), proxy);
    expect(mesh.authorization(requirement)).toEqual(
      denial({ notPrincipals: [{ exact: 'cluster.local/ns/shop/sa/own' }], destinationPorts: [8080] }),
    );
  });
});
