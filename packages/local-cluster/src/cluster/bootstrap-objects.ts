import {
  isAlreadyExists,
  resources,
  type EndpointSlice,
  type KubernetesClient,
  type KubernetesObject,
  type ResourceType,
  type Service,
} from '@weft/kubernetes';
import { bootstrapRoles } from './bootstrap-roles.ts';
import type { Topology } from './topology.ts';

export interface BootstrapObject {
  readonly type: ResourceType;
  readonly object: KubernetesObject;
}

const systemNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'] as const;

/** What a new cluster holds before anybody uses it; namespaces come first. */
export function bootstrapObjects(topology: Topology): readonly BootstrapObject[] {
  return [
    ...systemNamespaces.map((name) => ({ type: resources.namespaces, object: { metadata: { name } } })),
    ...bootstrapRoles(),
    priorityClass(
      'system-node-critical',
      2_000_001_000,
      'Used for system critical pods that must not be moved.',
    ),
    priorityClass(
      'system-cluster-critical',
      2_000_000_000,
      'Used for system critical pods that must run in the cluster.',
    ),
    ...serviceOf({
      name: 'kubernetes',
      namespace: 'default',
      clusterIp: topology.kubernetesServiceIp,
      labels: { component: 'apiserver', provider: 'kubernetes' },
      address: topology.bridge.address,
      ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: topology.apiServerPort }],
    }),
    ...serviceOf({
      name: 'kube-dns',
      namespace: 'kube-system',
      clusterIp: topology.dnsServiceIp,
      labels: {
        'k8s-app': 'kube-dns',
        'kubernetes.io/name': 'CoreDNS',
        'kubernetes.io/cluster-service': 'true',
      },
      address: topology.bridge.address,
      ports: [
        { name: 'dns', protocol: 'UDP', port: 53, targetPort: 53 },
        { name: 'dns-tcp', protocol: 'TCP', port: 53, targetPort: 53 },
      ],
    }),
  ];
}

/** Creates what isn't there yet, and leaves alone what is: its owner may have changed it. */
export async function bootstrap(
  client: KubernetesClient,
  topology: Topology,
  signal: AbortSignal,
): Promise<void> {
  const create = async ({ type, object }: BootstrapObject) => {
    try {
      await client.create(type, object, { signal, fieldManager: 'bootstrap' });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  };
  const objects = bootstrapObjects(topology);
  const isNamespace = ({ type }: BootstrapObject) => type === resources.namespaces;
  await Promise.all(objects.filter(isNamespace).map(create));
  await Promise.all(objects.filter((object) => !isNamespace(object)).map(create));
}

function priorityClass(name: string, value: number, description: string): BootstrapObject {
  const object = {
    metadata: { name },
    value,
    description,
    globalDefault: false,
    preemptionPolicy: 'PreemptLowerPriority',
  };
  return { type: resources.priorityClasses, object };
}

/** A Service without selector, and the slice that leads it out of the pod network. */
function serviceOf(o: {
  readonly name: string;
  readonly namespace: string;
  readonly clusterIp: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly address: string;
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly port: number;
    readonly targetPort: number;
  }[];
}): readonly BootstrapObject[] {
  const service: Service = {
    metadata: { name: o.name, namespace: o.namespace, labels: o.labels },
    spec: {
      type: 'ClusterIP',
      clusterIP: o.clusterIp,
      clusterIPs: [o.clusterIp],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: o.ports,
    },
  };
  const slice: EndpointSlice = {
    metadata: {
      name: o.name,
      namespace: o.namespace,
      labels: {
        'kubernetes.io/service-name': o.name,
        'endpointslice.kubernetes.io/managed-by': 'weft-local-cluster',
      },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [o.address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: o.ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: targetPort })),
  };
  return [
    { type: resources.services, object: service },
    { type: resources.endpointSlices, object: slice },
  ];
}
