import type { ResponseFlag } from '../data/messages.ts';
import type { Service, Workload } from '../state/workload.ts';

/** What a peer says of itself in `baggage`; weaker than what the control plane says of it. */
export interface PeerDescription {
  readonly workloadName?: string | undefined;
  readonly namespace?: string | undefined;
  readonly canonicalName?: string | undefined;
  readonly canonicalRevision?: string | undefined;
  readonly clusterId?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

export interface TrafficDescription {
  readonly reporter: 'source' | 'destination';
  readonly source: Workload | undefined;
  readonly sourceBaggage?: PeerDescription | undefined;
  /** SPIFFE identity proven by TLS; undefined for plain TCP. */
  readonly sourceIdentity: string | undefined;
  readonly destination: Workload | undefined;
  /** Of the other end of a tunnel to another network, where the workload itself is not known. */
  readonly destinationBaggage?: PeerDescription | undefined;
  readonly destinationIdentity: string | undefined;
  readonly service: Service | undefined;
  readonly isMutualTls: boolean;
}

export const sourceLabelNames = [
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
] as const;

export const trafficLabelNames = [
  'reporter',
  ...sourceLabelNames,
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
] as const;

export type TrafficLabels = Readonly<Record<(typeof trafficLabelNames)[number], string>>;

export type SourceLabels = Readonly<Record<(typeof sourceLabelNames)[number], string>>;

/** The labels that Istio's dashboards group by; what isn't known is the literal `unknown`. */
export function trafficLabels(traffic: TrafficDescription, flag: ResponseFlag = '-'): TrafficLabels {
  const { source, sourceBaggage, destination, destinationBaggage, service } = traffic;
  return {
    reporter: traffic.reporter,
    ...sourceLabels(source, sourceBaggage, traffic.sourceIdentity),
    destination_service: or(service?.hostname),
    destination_service_namespace: or(service?.namespace),
    destination_service_name: or(service?.name),
    destination_workload: or(destination?.workloadName, destinationBaggage?.workloadName),
    destination_canonical_service: or(destination?.canonicalName, destinationBaggage?.canonicalName),
    destination_canonical_revision: or(destination?.canonicalRevision, destinationBaggage?.canonicalRevision),
    destination_workload_namespace: or(destination?.namespace, destinationBaggage?.namespace),
    destination_principal: or(traffic.destinationIdentity),
    destination_app: or(destination?.canonicalName, destinationBaggage?.workloadName),
    destination_version: or(destination?.canonicalRevision, destinationBaggage?.canonicalRevision),
    destination_cluster: or(destination?.clusterId, destinationBaggage?.clusterId),
    request_protocol: 'tcp',
    response_flags: flag,
    connection_security_policy: traffic.isMutualTls ? 'mutual_tls' : 'unknown',
    source_region: or(source?.locality.region, sourceBaggage?.region),
    source_zone: or(source?.locality.zone, sourceBaggage?.zone),
    destination_region: or(destination?.locality.region, destinationBaggage?.region),
    destination_zone: or(destination?.locality.zone, destinationBaggage?.zone),
  };
}

/** Who opens a connection; what isn't known is the literal `unknown`. */
export function sourceLabels(
  source: Workload | undefined,
  baggage: PeerDescription | undefined,
  identity: string | undefined,
): SourceLabels {
  return {
    source_workload: or(source?.workloadName, baggage?.workloadName),
    source_canonical_service: or(source?.canonicalName, baggage?.canonicalName),
    source_canonical_revision: or(source?.canonicalRevision, baggage?.canonicalRevision),
    source_workload_namespace: or(source?.namespace, baggage?.namespace),
    source_principal: or(identity),
    // Upstream: the canonical name from discovery, but the workload's name from baggage.
    source_app: or(source?.canonicalName, baggage?.workloadName),
    source_version: or(source?.canonicalRevision, baggage?.canonicalRevision),
    source_cluster: or(source?.clusterId, baggage?.clusterId),
  };
}

function or(...values: readonly (string | undefined)[]): string {
  return values.find((value) => value !== undefined && value !== '') ?? 'unknown';
}
