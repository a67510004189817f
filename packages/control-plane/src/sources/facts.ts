import { Annotation, Label, Redirection } from '@weft/api';
import type { Labels } from '@weft/collections';
import type { Condition, EndpointSlice, Namespace, Node, Pod, Service } from '@weft/kubernetes';

/**
 * What the mesh needs of a Kubernetes object, and no more: a cluster's pods are most of our memory, and what isn't
 * here can change without anybody being recomputed.
 */

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly nodeName: string;
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  readonly phase: string;
  readonly addresses: readonly string[];
  /** Ready, and not being deleted. */
  readonly healthy: boolean;
  /** The CNI agent says that traffic really is redirected; the enrolment label only says that it should be. */
  readonly redirected: boolean;
  readonly controller:
    | { readonly kind: string; readonly apiVersion: string; readonly name: string }
    | undefined;
  /** TCP ports by name, of containers first, then of sidecars. */
  readonly namedPorts: Readonly<Record<string, number>>;
}

export interface ServicePortFacts {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number | string;
  readonly appProtocol: string | undefined;
}

export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly selector: Labels;
  /** Without `None`. */
  readonly clusterIps: readonly string[];
  readonly ipFamilies: readonly string[];
  readonly ports: readonly ServicePortFacts[];
  readonly internalTrafficPolicy: string | undefined;
  readonly trafficDistribution: string | undefined;
  readonly trafficDistributionAnnotation: string | undefined;
  readonly publishNotReadyAddresses: boolean;
  /** As written, beside the label that names a canary waypoint. */
  readonly canaryWeight: string | undefined;
  /** As read back from status, to see whether ours has to be written. */
  readonly conditions: readonly Condition[];
}

export interface EndpointFacts {
  readonly address: string;
  readonly ready: boolean;
  /** The pod behind it, in the slice's namespace. */
  readonly podName: string | undefined;
}

export interface EndpointSliceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly serviceName: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly endpoints: readonly EndpointFacts[];
}

export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Labels;
  readonly trafficDistribution: string | undefined;
  readonly canaryWeight: string | undefined;
  readonly terminating: boolean;
}

export interface NodeFacts {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

const noLabels: Labels = {};

export function podFacts(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  const owner = metadata.ownerReferences?.find((reference) => reference.controller === true);
  const ready = status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    labels: metadata.labels ?? noLabels,
    nodeName: spec?.nodeName ?? '',
    serviceAccount: spec?.serviceAccountName ?? 'default',
    hostNetwork: spec?.hostNetwork ?? false,
    phase: status?.phase ?? 'Pending',
    addresses: status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP === undefined ? [] : [status.podIP]),
    healthy: ready && metadata.deletionTimestamp === undefined,
    redirected: metadata.annotations?.[Annotation.redirection] === Redirection.enabled,
    controller:
      owner === undefined ? undefined : { kind: owner.kind, apiVersion: owner.apiVersion, name: owner.name },
    namedPorts: namedPorts(pod),
  };
}

function namedPorts({ spec }: Pod): Record<string, number> {
  const ports: Record<string, number> = {};
  const sidecars = spec?.initContainers?.filter((container) => container.restartPolicy === 'Always') ?? [];
  for (const container of [...(spec?.containers ?? []), ...sidecars]) {
    for (const { name, containerPort, protocol = 'TCP' } of container.ports ?? []) {
      if (name !== undefined && protocol === 'TCP' && !Object.hasOwn(ports, name))
        ports[name] = containerPort;
    }
  }
  return ports;
}

/** Undefined for ExternalName, which has neither an address nor endpoints of its own. */
export function serviceFacts({ metadata, spec = {}, status }: Service): ServiceFacts | undefined {
  if (spec.type === 'ExternalName') return undefined;
  const ips = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    labels: metadata.labels ?? noLabels,
    selector: spec.selector ?? noLabels,
    clusterIps: ips.filter((ip) => ip !== 'None' && ip !== ''),
    ipFamilies: spec.ipFamilies ?? [],
    ports: (spec.ports ?? [])
      .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
      .map(({ name = '', port, targetPort = port, appProtocol }) => ({
        name,
        port,
        targetPort,
        appProtocol,
      })),
    internalTrafficPolicy: spec.internalTrafficPolicy,
    trafficDistribution: spec.trafficDistribution,
    trafficDistributionAnnotation: metadata.annotations?.[Annotation.trafficDistribution],
    publishNotReadyAddresses: spec.publishNotReadyAddresses ?? false,
    canaryWeight: metadata.annotations?.[Annotation.canaryWeight],
    conditions: status?.conditions ?? [],
  };
}

/** Undefined for slices that belong to no Service or hold names instead of addresses. */
export function endpointSliceFacts(slice: EndpointSlice): EndpointSliceFacts | undefined {
  const { metadata, addressType } = slice;
  const serviceName = metadata.labels?.[Label.serviceName];
  if (serviceName === undefined || serviceName === '' || addressType === 'FQDN') return undefined;
  const ports: Record<string, number> = {};
  for (const { name = '', port, protocol = 'TCP' } of slice.ports ?? []) {
    if (port !== undefined && protocol === 'TCP') ports[name] = port;
  }
  const endpoints: EndpointFacts[] = [];
  for (const { addresses, conditions, targetRef } of slice.endpoints ?? []) {
    const [address] = addresses;
    if (address === undefined) continue;
    const podName = targetRef?.kind === 'Pod' ? targetRef.name : undefined;
    endpoints.push({ address, ready: conditions?.ready ?? true, podName });
  }
  return { namespace: metadata.namespace ?? '', name: metadata.name ?? '', serviceName, ports, endpoints };
}

export function namespaceFacts({ metadata, status }: Namespace): NamespaceFacts {
  return {
    name: metadata.name ?? '',
    labels: metadata.labels ?? noLabels,
    trafficDistribution: metadata.annotations?.[Annotation.trafficDistribution],
    canaryWeight: metadata.annotations?.[Annotation.canaryWeight],
    terminating: status?.phase === 'Terminating' || metadata.deletionTimestamp !== undefined,
  };
}

export function nodeFacts({ metadata: { labels = noLabels } }: Node): NodeFacts {
  return {
    region: labels[Label.region] ?? '',
    zone: labels[Label.zone] ?? '',
    subzone: labels[Label.subzone] ?? '',
  };
}
