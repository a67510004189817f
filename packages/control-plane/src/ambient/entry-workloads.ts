import { Annotation, Label, Redirection } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { EntryEndpoint, EntryPort, ServiceEntryFacts, WorkloadEntryFacts } from '../sources/entries.ts';
import type { NodeFacts, ServiceFacts } from '../sources/facts.ts';
import { addressBytes } from './addresses.ts';
import { type EntryService, entryServiceKey } from './entry-services.ts';
import type { Mesh } from './mesh.ts';
import { canonicalNames } from './workload-names.ts';
import {
  type ClusterNames,
  gateways,
  locality,
  serviceKey,
  sortedRecord,
  trustDomain,
  tunnel,
} from './workloads.ts';

const { WorkloadStatus, WorkloadType } = istio.workload;
type Workload = istio.workload.Workload.$Properties;
type GatewayAddress = istio.workload.GatewayAddress.$Properties;
type PortList = istio.workload.PortList.$Shape;
type Port = istio.workload.Port.$Properties;

export interface EntryContext extends ClusterNames {
  readonly mesh: Mesh;
  readonly policies: readonly string[];
  readonly waypoint: GatewayAddress | undefined;
  /** The way into a network. */
  readonly networkGateway: (network: string) => GatewayAddress | undefined;
}

/** A machine outside of Kubernetes as the data plane sees it; undefined while nobody says where it is. */
export function workloadEntryWorkload(
  entry: WorkloadEntryFacts,
  context: EntryContext & {
    /** Kubernetes Services that select it. */
    readonly services: readonly ServiceFacts[];
    readonly entries: readonly EntryService[];
  },
): Workload | undefined {
  const { namespace, name, labels, annotations, spec } = entry;
  const workload = endpointWorkload(spec, context);
  if (workload === undefined) return undefined;
  const ports = spec.ports ?? {};
  const ofKubernetes = context.services.map((service): [string, PortList] => [
    serviceKey(service, context),
    { ports: servicePorts(service, ports) },
  ]);
  const ofEntries = context.entries.map((service): [string, PortList] => [
    entryServiceKey(service),
    { ports: entryPorts(service.ports, ports) },
  ]);
  return {
    ...workload,
    uid: `${context.clusterId}/networking.istio.io/WorkloadEntry/${namespace}/${name}`,
    name,
    namespace,
    ...tunnel(labels, annotations[Annotation.redirection] === Redirection.enabled),
    ...canonicalNames(
      labels,
      annotations[Annotation.autoRegistrationGroup] || labels[Label.workloadName] || name,
    ),
    services: sortedRecord([...ofKubernetes, ...ofEntries]),
  };
}

/**
 * What a ServiceEntry names as its endpoints; where it leaves them to DNS, the hosts themselves. Labels, and so
 * policies and waypoint, are the ServiceEntry's.
 * @param services the hosts that are this entry's to serve: without any there is nobody to be an endpoint of
 */
export function serviceEntryWorkloads(
  entry: ServiceEntryFacts,
  services: readonly EntryService[],
  context: EntryContext,
): Workload[] {
  const { namespace, name, labels, annotations } = entry;
  return entryEndpoints(entry, services).flatMap(({ endpoint, of }): Workload[] => {
    const workload = endpointWorkload(endpoint, context);
    if (workload === undefined || of.length === 0) return [];
    const ports = endpoint.ports ?? {};
    return [
      {
        ...workload,
        uid: `${context.clusterId}/networking.istio.io/ServiceEntry/${namespace}/${name}/${endpoint.address ?? ''}`,
        name,
        namespace,
        ...tunnel(labels, annotations[Annotation.redirection] === Redirection.enabled),
        ...canonicalNames(labels, labels[Label.workloadName] || name),
        services: sortedRecord(
          of.map((service) => [entryServiceKey(service), { ports: entryPorts(service.ports, ports) }]),
        ),
      },
    ];
  });
}

interface OwnedEndpoint {
  readonly endpoint: EntryEndpoint;
  readonly of: readonly EntryService[];
}

function entryEndpoints(
  { spec: { endpoints = [], workloadSelector, resolution = 'NONE' } }: ServiceEntryFacts,
  services: readonly EntryService[],
): readonly OwnedEndpoint[] {
  if (endpoints.length > 0) {
    // The address is the identity; of two with the same one the first counts.
    const byAddress = new Map<string, EntryEndpoint>();
    for (const endpoint of endpoints) {
      const { address = '' } = endpoint;
      if (!byAddress.has(address)) byAddress.set(address, endpoint);
    }
    return [...byAddress.values()].map((endpoint) => ({ endpoint, of: services }));
  }
  const isSelected = Object.keys(workloadSelector?.labels ?? {}).length > 0;
  if (isSelected || (resolution !== 'DNS' && resolution !== 'DNS_ROUND_ROBIN')) return [];
  return services
    .filter(({ hostname }) => !hostname.startsWith('*'))
    .map((service) => ({ endpoint: { address: service.hostname }, of: [service] }));
}

/** What both kinds have in common. */
function endpointWorkload(endpoint: EntryEndpoint, context: EntryContext): Workload | undefined {
  const { address = '', weight = 0, serviceAccount = '' } = endpoint;
  const { clusterId, mesh, policies, waypoint } = context;
  const network = endpoint.network || mesh.network;
  const bytes = addressBytes(address);
  const networkGateway = context.networkGateway(network);
  // Behind a gateway nobody has to know the address; paths of Unix sockets are no way to reach another machine.
  if ((address === '' && networkGateway === undefined) || address.startsWith('unix:')) return undefined;
  return {
    ...(bytes !== undefined ? { addresses: [bytes] } : address === '' ? {} : { hostname: address }),
    network,
    ...gateways({ waypoint, networkGateway }),
    ...trustDomain(mesh),
    serviceAccount,
    workloadType: WorkloadType.POD,
    authorizationPolicies: [...policies],
    // Nobody probes them.
    status: WorkloadStatus.HEALTHY,
    clusterId,
    ...locality(parseLocality(endpoint.locality)),
    ...(weight > 0 ? { capacity: { value: weight } } : {}),
  };
}

function parseLocality(text: string | undefined): NodeFacts | undefined {
  if (text === undefined || text === '') return undefined;
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}

function entryPorts(declared: readonly EntryPort[], own: Readonly<Record<string, number>>): Port[] {
  return declared.map(({ name, number, targetPort }) => ({
    servicePort: number,
    targetPort: named(own, name) ?? (targetPort || number),
  }));
}

/** A port that has a name here only is left out, as it is for pods. */
function servicePorts(service: ServiceFacts, own: Readonly<Record<string, number>>): Port[] {
  return service.ports.flatMap(({ name, port, targetPort }) => {
    const target = named(own, name) ?? (typeof targetPort === 'number' ? targetPort : named(own, targetPort));
    return target === undefined ? [] : [{ servicePort: port, targetPort: target }];
  });
}

function named(ports: Readonly<Record<string, number>>, name: string): number | undefined {
  return Object.hasOwn(ports, name) ? ports[name] : undefined;
}
