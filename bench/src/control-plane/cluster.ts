import type { KubernetesObject, Namespace, Node, Pod, Service } from '@weft/kubernetes';

/** Synthetic clusters: pods in Services of 20, ten Services a namespace, on 100 nodes. The same for the same size. */

const PODS_PER_SERVICE = 20;
const SERVICES_PER_NAMESPACE = 10;
export const NODES = 100;
/** What pods carry that the mesh has no use for: environment, volumes, managed fields. */
const BALLAST = 'x'.repeat(1_500);

export interface SyntheticCluster {
  readonly namespaces: readonly Namespace[];
  readonly nodes: readonly Node[];
  readonly services: readonly Service[];
  readonly pods: readonly Pod[];
}

export function syntheticCluster(pods: number): SyntheticCluster {
  const services = Math.max(1, Math.ceil(pods / PODS_PER_SERVICE));
  return {
    namespaces: [
      { metadata: { name: 'istio-system' } },
      ...range(Math.ceil(services / SERVICES_PER_NAMESPACE)).map((i) => ({
        metadata: { name: `ns-${i}`, labels: { 'istio.io/dataplane-mode': 'ambient' } },
      })),
    ],
    nodes: range(NODES).map((i) => ({
      metadata: {
        name: `node-${i}`,
        labels: { 'topology.kubernetes.io/region': 'r1', 'topology.kubernetes.io/zone': `z${i % 3}` },
      },
    })),
    services: range(services).map(service),
    pods: range(pods).map((i) => pod(i)),
  };
}

export function namespaceOf(service: number): string {
  return `ns-${Math.floor(service / SERVICES_PER_NAMESPACE)}`;
}

export function podName(i: number): string {
  return `app-${serviceOf(i)}-7d9f8c6b5-${i}`;
}

/** @param healthy what changes between two versions of a pod */
export function pod(i: number, healthy = true): Pod {
  const app = `app-${serviceOf(i)}`;
  return {
    metadata: {
      name: podName(i),
      namespace: namespaceOf(serviceOf(i)),
      uid: `00000000-0000-0000-0000-${String(i).padStart(12, '0')}`,
      labels: { app, version: 'v1', 'pod-template-hash': '7d9f8c6b5', 'app.kubernetes.io/part-of': 'bench' },
      annotations: { 'ambient.istio.io/redirection': 'enabled', 'example.org/ballast': BALLAST },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: `${app}-7d9f8c6b5`,
          uid: `rs-${app}`,
          controller: true,
        },
      ],
      managedFields: [{ manager: 'kubelet', fieldsV1: BALLAST }],
    },
    spec: {
      nodeName: `node-${i % NODES}`,
      serviceAccountName: app,
      containers: [{ name: 'app', image: 'app:1', ports: [{ name: 'http', containerPort: 8080 }] }],
    },
    status: {
      phase: 'Running',
      podIPs: [{ ip: `10.${64 + (i >> 16)}.${(i >> 8) & 0xff}.${i & 0xff}` }],
      conditions: [{ type: 'Ready', status: healthy ? 'True' : 'False' }],
    },
  };
}

function service(i: number): Service {
  return {
    metadata: { name: `app-${i}`, namespace: namespaceOf(i) },
    spec: {
      selector: { app: `app-${i}` },
      clusterIPs: [`10.${96 + (i >> 16)}.${(i >> 8) & 0xff}.${i & 0xff}`],
      ports: [{ name: 'http', port: 80, targetPort: 'http' }],
    },
  };
}

function serviceOf(pod: number): number {
  return Math.floor(pod / PODS_PER_SERVICE);
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

export const collectionPaths: Readonly<Record<keyof SyntheticCluster, string>> = {
  namespaces: '/api/v1/namespaces',
  nodes: '/api/v1/nodes',
  services: '/api/v1/services',
  pods: '/api/v1/pods',
};

export function objectsOf(cluster: SyntheticCluster): readonly (readonly [string, KubernetesObject])[] {
  return [
    ...cluster.namespaces.map((object) => [collectionPaths.namespaces, object] as const),
    ...cluster.nodes.map((object) => [collectionPaths.nodes, object] as const),
    ...cluster.services.map((object) => [collectionPaths.services, object] as const),
    ...cluster.pods.map((object) => [collectionPaths.pods, object] as const),
  ];
}
