import { DEFAULT_TRUST_DOMAIN, Label } from '@weft/api';
import { istio } from '@weft/api/workload';
import { type Labels, selects } from '@weft/collections';
import type { EndpointSliceFacts, NodeFacts, PodFacts, ServiceFacts } from '../sources/facts.ts';
import { addressBytes } from './addresses.ts';
import { type EntryService, entryServiceKey } from './entry-services.ts';
import type { Mesh } from './mesh.ts';
import { serviceHostname } from './services.ts';
import { workloadNames } from './workload-names.ts';

const { NetworkMode, TunnelProtocol, WorkloadStatus, WorkloadType } = istio.workload;
type Workload = istio.workload.Workload.$Properties;
type PortList = istio.workload.PortList.$Shape;

export interface ClusterNames {
  readonly clusterId: string;
  readonly clusterDomain: string;
}

export interface PodContext extends ClusterNames {
  readonly mesh: Mesh;
  readonly node: NodeFacts | undefined;
  /** Services of the pod's namespace whose selector may match; decided here. */
  readonly services: readonly ServiceFacts[];
  /** Selectorless Services that reach the pod through a slice which names it. */
  readonly sliceServices: readonly SliceService[];
  /** Services of ServiceEntries that select the pod. */
  readonly entries?: readonly EntryService[];
  /** `namespace/name` of the policies attached by selector, in the order in which they are to be listed. */
  readonly policies: readonly string[];
  /** Where traffic to the pod's own addresses is sent first. */
  readonly waypoint?: istio.workload.GatewayAddress.$Properties | undefined;
  /** Where other networks enter the workload's own. */
  readonly networkGateway?: istio.workload.GatewayAddress.$Properties | undefined;
  /** How a waypoint wants to learn where a connection was going. */
  readonly applicationTunnel?: istio.workload.ApplicationTunnel.$Properties | undefined;
}

export interface SliceService {
  readonly slice: EndpointSliceFacts;
  readonly service: ServiceFacts;
}

export function podUid(clusterId: string, namespace: string, name: string): string {
  return `${clusterId}//Pod/${namespace}/${name}`;
}

/** A pod as the data plane sees it; undefined while it has no address, and once it has ended. */
export function podWorkload(pod: PodFacts, context: PodContext): Workload | undefined {
  if (pod.phase === 'Succeeded' || pod.phase === 'Failed') return undefined;
  const addresses = pod.addresses.flatMap((ip) => addressBytes(ip) ?? []);
  if (addresses.length === 0) return undefined;
  const { clusterId, mesh, node } = context;
  return {
    uid: podUid(clusterId, pod.namespace, pod.name),
    name: pod.name,
    namespace: pod.namespace,
    addresses,
    network: mesh.network,
    ...tunnel(pod.labels, pod.redirected),
    ...trustDomain(mesh),
    serviceAccount: pod.serviceAccount,
    node: pod.nodeName,
    ...workloadNames(pod),
    // Always POD on the wire: the kind of the owner was dropped for compatibility.
    workloadType: WorkloadType.POD,
    services: podServices(pod, context),
    authorizationPolicies: [...context.policies],
    status: pod.healthy ? WorkloadStatus.HEALTHY : WorkloadStatus.UNHEALTHY,
    clusterId,
    ...locality(node),
    ...gateways(context),
    ...(context.applicationTunnel === undefined ? {} : { applicationTunnel: context.applicationTunnel }),
    networkMode: pod.hostNetwork ? NetworkMode.HOST_NETWORK : NetworkMode.STANDARD,
  };
}

/** The addresses of others that stand before a workload. */
export function gateways({
  waypoint,
  networkGateway,
}: Pick<PodContext, 'waypoint' | 'networkGateway'>): Pick<Workload, 'waypoint' | 'networkGateway'> {
  return {
    ...(waypoint === undefined ? {} : { waypoint }),
    ...(networkGateway === undefined ? {} : { networkGateway }),
  };
}

/** How a workload is reached. Who speaks HBONE without our help says so by a label. */
export function tunnel(
  labels: Labels,
  isRedirected: boolean,
): Pick<Workload, 'tunnelProtocol' | 'nativeTunnel'> {
  const nativeTunnel = (labels[Label.tunnel] ?? '').split(',').includes('http');
  return {
    tunnelProtocol: nativeTunnel || isRedirected ? TunnelProtocol.HBONE : TunnelProtocol.NONE,
    nativeTunnel,
  };
}

/** Left out where it is the default, as clients expect. */
export function trustDomain(mesh: Mesh): Pick<Workload, 'trustDomain'> {
  return mesh.trustDomain === DEFAULT_TRUST_DOMAIN ? {} : { trustDomain: mesh.trustDomain };
}

export function locality(node: NodeFacts | undefined): Pick<Workload, 'locality'> {
  if (node === undefined || (node.region === '' && node.zone === '' && node.subzone === '')) return {};
  return { locality: { ...node } };
}

function podServices(pod: PodFacts, context: PodContext): Record<string, PortList> {
  const found: [string, PortList][] = [];
  for (const service of context.services) {
    if (Object.keys(service.selector).length === 0 || !selects(service.selector, pod.labels)) continue;
    const ports = service.ports.flatMap(({ port, targetPort }) => {
      const target = typeof targetPort === 'number' ? targetPort : numericPort(targetPort, pod);
      return target === undefined ? [] : [{ servicePort: port, targetPort: target }];
    });
    found.push([serviceKey(service, context), { ports }]);
  }
  for (const { slice, service } of context.sliceServices) {
    found.push([serviceKey(service, context), slicePorts(service, slice)]);
  }
  for (const entry of context.entries ?? []) {
    const ports = entry.ports.map(({ name, number, targetPort }) => {
      const named = Object.hasOwn(pod.namedPorts, name) ? pod.namedPorts[name] : undefined;
      return { servicePort: number, targetPort: named ?? (targetPort || number) };
    });
    found.push([entryServiceKey(entry), { ports }]);
  }
  return sortedRecord(found);
}

/** Kubernetes also takes a number written as a string; a name must be one of the pod's. */
function numericPort(name: string, pod: PodFacts): number | undefined {
  if (/^\d{1,5}$/.test(name)) return Number(name);
  return Object.hasOwn(pod.namedPorts, name) ? pod.namedPorts[name] : undefined;
}

function slicePorts(service: ServiceFacts, slice: EndpointSliceFacts): PortList {
  return {
    ports: service.ports.flatMap(({ name, port }) => {
      const targetPort = Object.hasOwn(slice.ports, name) ? slice.ports[name] : undefined;
      return targetPort === undefined ? [] : [{ servicePort: port, targetPort }];
    }),
  };
}

export function serviceKey({ namespace, name }: ServiceFacts, { clusterDomain }: ClusterNames): string {
  return `${namespace}/${serviceHostname(name, namespace, clusterDomain)}`;
}

/** Sorted, so that equal content has equal bytes, and so one version, on every replica. */
export function sortedRecord(entries: readonly (readonly [string, PortList])[]): Record<string, PortList> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Endpoints that are not pods: machines beside the cluster, the API server, host processes. */
export function sliceWorkloads(
  slice: EndpointSliceFacts,
  service: ServiceFacts,
  context: ClusterNames & Pick<PodContext, 'mesh' | 'networkGateway'>,
): Workload[] {
  const { clusterId, mesh } = context;
  const ports = slicePorts(service, slice);
  return slice.endpoints.flatMap((endpoint): Workload[] => {
    const address = addressBytes(endpoint.address);
    if (endpoint.podName !== undefined || address === undefined) return [];
    return [
      {
        uid: `${clusterId}/discovery.k8s.io/EndpointSlice/${slice.namespace}/${slice.name}/${endpoint.address}`,
        name: slice.name,
        namespace: slice.namespace,
        addresses: [address],
        network: mesh.network,
        ...gateways({ networkGateway: context.networkGateway }),
        tunnelProtocol: TunnelProtocol.NONE,
        workloadName: slice.name,
        canonicalName: slice.name,
        canonicalRevision: 'latest',
        workloadType: WorkloadType.POD,
        services: { [serviceKey(service, context)]: ports },
        status: endpoint.ready ? WorkloadStatus.HEALTHY : WorkloadStatus.UNHEALTHY,
        clusterId,
        // Other endpoints may share the address, so it must not be taken for this one's own.
        networkMode: NetworkMode.HOST_NETWORK,
      },
    ];
  });
}
