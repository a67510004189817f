import { describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import type { EndpointSlice, Pod, Service } from '@weft/kubernetes';
import { endpointSliceFacts, podFacts, serviceFacts, type ServiceFacts } from '../sources/facts.ts';
import { defaultMesh } from './mesh.ts';
import { yaml } from './test-objects.ts';
import { type PodContext, podWorkload, sliceWorkloads } from './workloads.ts';

const { NetworkMode, TunnelProtocol, WorkloadStatus } = istio.workload;

const context: PodContext = {
  clusterId: 'Kubernetes',
  clusterDomain: 'cluster.local',
  mesh: defaultMesh({ trustDomain: 'cluster.local', rootNamespace: 'istio-system' }),
  node: undefined,
  services: [],
  sliceServices: [],
  policies: [],
};

const web = `
metadata: { name: web-6f7d-x2x, namespace: shop, uid: u1, labels: { app: web, pod-template-hash: 6f7d } }
spec:
  nodeName: n1
  serviceAccountName: web
  containers: [{ name: c, ports: [{ name: http, containerPort: 8080 }, { name: dns, containerPort: 53, protocol: UDP }] }]
  initContainers:
    - { name: setup, ports: [{ name: setup, containerPort: 1 }] }
    - { name: sidecar, restartPolicy: Always, ports: [{ name: metrics, containerPort: 9090 }] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.5 }, { ip: "fd00::5" }], conditions: [{ type: Ready, status: "True" }] }`;

/** The workload of a pod that differs from `web` in some text. */
function workload(replacements: Readonly<Record<string, string>> = {}, given: Partial<PodContext> = {}) {
  let text = web;
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`the pod has no ${from}`);
    text = text.replace(from, to);
  }
  return podWorkload(podFacts(yaml<Pod>(text)), { ...context, ...given });
}

function service(text: string): ServiceFacts {
  const facts = serviceFacts(yaml<Service>(text));
  if (facts === undefined) throw new Error('not a service');
  return facts;
}

describe('podWorkload', () => {
  it('describes a pod', () => {
    expect(workload()).toEqual({
      uid: 'Kubernetes//Pod/shop/web-6f7d-x2x',
      name: 'web-6f7d-x2x',
      namespace: 'shop',
      addresses: [Uint8Array.of(10, 0, 0, 5), Uint8Array.from([0xfd, ...Array<number>(14).fill(0), 5])],
      network: '',
      tunnelProtocol: TunnelProtocol.NONE,
      nativeTunnel: false,
      serviceAccount: 'web',
      node: 'n1',
      workloadName: 'web-6f7d-x2x',
      canonicalName: 'web',
      canonicalRevision: 'latest',
      workloadType: istio.workload.WorkloadType.POD,
      services: {},
      authorizationPolicies: [],
      status: WorkloadStatus.HEALTHY,
      clusterId: 'Kubernetes',
      networkMode: NetworkMode.STANDARD,
    });
  });

  it.each([
    ['has succeeded', { 'phase: Running': 'phase: Succeeded' }],
    ['has failed', { 'phase: Running': 'phase: Failed' }],
    ['has no address yet', { 'podIPs: [{ ip: 10.0.0.5 }, { ip: "fd00::5" }]': 'podIPs: []' }],
  ])('leaves out a pod that %s', (_what, change) => {
    expect(workload(change)).toBeUndefined();
  });

  const labels = '{ app: web, pod-template-hash: 6f7d }';
  const owner = (kind: string, name: string): Record<string, string> => ({
    'uid: u1,': `uid: u1, ownerReferences: [{ apiVersion: v1, kind: ${kind}, name: ${name}, uid: o, controller: true }],`,
  });
  it.each([
    [
      'keeps a pending pod with an address',
      { 'phase: Running': 'phase: Pending' },
      { status: WorkloadStatus.HEALTHY },
    ],
    [
      'calls a pod that is not ready unhealthy',
      { '"True"': '"False"' },
      { status: WorkloadStatus.UNHEALTHY },
    ],
    [
      'calls a pod that is being deleted unhealthy',
      { 'uid: u1,': 'uid: u1, deletionTimestamp: "2026-01-01T00:00:00Z",' },
      { status: WorkloadStatus.UNHEALTHY },
    ],
    [
      'says HBONE once redirection works',
      { 'uid: u1,': 'uid: u1, annotations: { ambient.istio.io/redirection: enabled },' },
      { tunnelProtocol: TunnelProtocol.HBONE, nativeTunnel: false },
    ],
    [
      'does not say HBONE while redirection is pending',
      { 'uid: u1,': 'uid: u1, annotations: { ambient.istio.io/redirection: pending },' },
      { tunnelProtocol: TunnelProtocol.NONE },
    ],
    [
      'does not say HBONE for the enrolment label alone',
      { [labels]: '{ istio.io/dataplane-mode: ambient }' },
      { tunnelProtocol: TunnelProtocol.NONE },
    ],
    [
      'takes a pod that terminates HBONE itself at its word',
      { [labels]: '{ networking.istio.io/tunnel: http }' },
      { tunnelProtocol: TunnelProtocol.HBONE, nativeTunnel: true },
    ],
    [
      'marks pods on the host network',
      { 'nodeName: n1': 'nodeName: n1\n  hostNetwork: true' },
      { networkMode: NetworkMode.HOST_NETWORK },
    ],
    ['names the Deployment of a ReplicaSet', owner('ReplicaSet', 'web-6f7d'), { workloadName: 'web' }],
    ['keeps the name of a ReplicaSet of its own', owner('ReplicaSet', 'alone'), { workloadName: 'alone' }],
    ['names the CronJob of a Job', owner('Job', 'nightly-29381440'), { workloadName: 'nightly' }],
    ['keeps the name of a Job of its own', owner('Job', 'once-7'), { workloadName: 'once-7' }],
    ['names a DaemonSet', owner('DaemonSet', 'agent'), { workloadName: 'agent', canonicalName: 'web' }],
    [
      'prefers labels to owners',
      { [labels]: '{ service.istio.io/workload-name: w, service.istio.io/canonical-name: c, version: v3 }' },
      { workloadName: 'w', canonicalName: 'c', canonicalRevision: 'v3' },
    ],
  ])('%s', (_what, change, expected) => {
    expect(workload(change)).toMatchObject(expected);
  });

  it('leaves the default trust domain out and states any other', () => {
    expect(workload()).not.toHaveProperty('trustDomain');
    expect(workload({}, { mesh: { ...context.mesh, trustDomain: 'corp' } })).toMatchObject({
      trustDomain: 'corp',
    });
  });

  it('takes the locality from the node, unless it says nothing', () => {
    expect(workload({}, { node: { region: '', zone: '', subzone: '' } })).not.toHaveProperty('locality');
    expect(workload({}, { node: { region: 'r', zone: 'z', subzone: '' } })).toMatchObject({
      locality: { region: 'r', zone: 'z', subzone: '' },
    });
  });

  it('belongs to services that select it, with ports resolved by number and by name', () => {
    const services = [
      service(`
metadata: { name: web, namespace: shop }
spec:
  selector: { app: web }
  ports:
    - { name: http, port: 80, targetPort: http }
    - { name: metrics, port: 9090, targetPort: metrics }
    - { name: same, port: 7000 }
    - { name: setup, port: 2, targetPort: setup }
    - { name: dns, port: 53, targetPort: 53, protocol: UDP }`),
      service(
        '{ metadata: { name: other, namespace: shop }, spec: { selector: { app: web, tier: x }, ports: [{ port: 1 }] } }',
      ),
      service('{ metadata: { name: all, namespace: shop }, spec: { ports: [{ port: 1 }] } }'),
    ];
    expect(workload({}, { services })?.services).toEqual({
      'shop/web.shop.svc.cluster.local': {
        ports: [
          { servicePort: 80, targetPort: 8080 },
          { servicePort: 9090, targetPort: 9090 },
          { servicePort: 7000, targetPort: 7000 },
        ],
      },
    });
  });
});

describe('sliceWorkloads', () => {
  const slice = endpointSliceFacts(
    yaml<EndpointSlice>(`
metadata: { name: db-abc, namespace: shop, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
ports: [{ name: sql, port: 5432, protocol: TCP }]
endpoints:
  - { addresses: [192.0.2.1], conditions: { ready: true } }
  - { addresses: [192.0.2.2], conditions: { ready: false } }
  - { addresses: [192.0.2.3], conditions: {} }
  - { addresses: [10.0.0.9], targetRef: { kind: Pod, name: p, namespace: shop } }`),
  );
  const db = service(
    '{ metadata: { name: db, namespace: shop }, spec: { ports: [{ name: sql, port: 1, targetPort: 9 }] } }',
  );

  it('makes a workload of each endpoint that is not a pod', () => {
    if (slice === undefined) throw new Error('no slice');
    const workloads = sliceWorkloads(slice, db, context);
    expect(workloads.map(({ uid, status }) => [uid, status])).toEqual([
      ['Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-abc/192.0.2.1', WorkloadStatus.HEALTHY],
      ['Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-abc/192.0.2.2', WorkloadStatus.UNHEALTHY],
      ['Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-abc/192.0.2.3', WorkloadStatus.HEALTHY],
    ]);
    expect(workloads[0]).toMatchObject({
      networkMode: NetworkMode.HOST_NETWORK,
      services: { 'shop/db.shop.svc.cluster.local': { ports: [{ servicePort: 1, targetPort: 5432 }] } },
    });
    expect(workloads[0]).not.toHaveProperty('serviceAccount');
  });

  it.each([
    ['belongs to no service', '{ metadata: { name: x, namespace: shop }, addressType: IPv4 }'],
    [
      'holds names',
      '{ metadata: { name: x, namespace: shop, labels: { kubernetes.io/service-name: db } }, addressType: FQDN }',
    ],
  ])('ignores a slice that %s', (_what, text) => {
    expect(endpointSliceFacts(yaml<EndpointSlice>(text))).toBeUndefined();
  });
});
