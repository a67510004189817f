/** Names that the resources of one waypoint share: they refer to each other by them. */

export const Name = {
  connectTerminate: 'connect_terminate',
  mainInternal: 'main_internal',
  connectOriginate: 'connect_originate',
  encap: 'encap',
  passthrough: 'PassthroughCluster',
  sdsCluster: 'sds-grpc',
  /** A cluster that doesn't exist, on purpose: routes to it answer 500. */
  unknownService: 'UnknownService',
} as const;

/** Filter state and metadata through which the parts of a waypoint talk. */
export const State = {
  originalDestination: 'envoy.filters.listener.original_dst.local_ip',
  originalSource: 'envoy.filters.listener.original_dst.remote_ip',
  connectAuthority: 'io.istio.connect_authority',
  peerPrincipal: 'io.istio.peer_principal',
  localPrincipal: 'io.istio.local_principal',
  upstreamSubjectNames: 'envoy.network.upstream_subject_alt_names',
} as const;

export const Metadata = {
  originalDestination: 'envoy.filters.listener.original_dst',
  istio: 'istio',
  /** `identity`: whom the tunnel's other end has to be. */
  weft: 'weft.dev',
} as const;

export type Layer = 'http' | 'tcp';

/** A Service's port, as the waypoint that serves it sees it. */
export function inboundCluster(port: number, layer: Layer, hostname: string): string {
  return `inbound-vip|${port}|${layer}|${hostname}`;
}

/** Another Service's port, to which a route sends requests. */
export function outboundCluster(port: number, hostname: string): string {
  return `outbound|${port}||${hostname}`;
}

/** What the endpoints of a cluster are asked for by: names of hosts are one namespace's, or else say whose. */
export function assignmentName(
  cluster: string,
  service: { readonly namespace: string; readonly canonical: boolean },
): string {
  return service.canonical ? cluster : `${cluster}~${service.namespace}`;
}

export function clusterOfAssignment(name: string): string {
  const end = name.indexOf('~');
  return end === -1 ? name : name.slice(0, end);
}
