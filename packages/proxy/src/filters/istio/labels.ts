import { formatFlags, grpcStatusOf } from '../../access-log/index.ts';
import type { Cluster, StreamInfo, WorkloadDirectory, WorkloadMetadata } from '../../engine/types.ts';
import { isGrpcContentType, valueAt } from '../../matching/index.ts';
import {
  DOWNSTREAM_PEER_KEY,
  LOCAL_PRINCIPAL_KEY,
  PEER_PRINCIPAL_KEY,
  peerByAddress,
  UPSTREAM_PEER_KEY,
  upstreamPeer,
} from './peer.ts';

export type Reporter = 'source' | 'destination' | 'waypoint';
export type Labels = Readonly<Record<string, string>>;

export interface LabelContext {
  readonly reporter: Reporter;
  readonly directory: WorkloadDirectory | undefined;
  /** This proxy's own workload: the other side of `source` and `destination` reports. */
  readonly self: WorkloadMetadata;
  readonly hostFallback: boolean;
  /** The route's cluster tells the service of a request that was answered before it had an upstream. */
  readonly clusterByName: (name: string) => Cluster | undefined;
}

const UNKNOWN = 'unknown';

/** Istio's standard labels, in its order; what isn't known is `unknown`. */
export function istioLabels(info: StreamInfo, context: LabelContext): Record<string, string> {
  const source = sourcePeer(info, context);
  const destination = destinationPeer(info, context);
  const service = destinationService(info, context, destination);
  const sourcePrincipal = principal(info, PEER_PRINCIPAL_KEY, info.connection.tls?.peerUriSans[0]);
  return {
    reporter: context.reporter,
    ...peerLabels('source', source, sourcePrincipal ?? source?.identity),
    ...peerLabels('destination', destination, destinationPrincipal(info, context) ?? destination?.identity),
    destination_service: service.host,
    destination_service_name: service.name,
    destination_service_namespace: service.namespace,
    request_protocol: protocolOf(info),
    ...(info.kind === 'tcp'
      ? {}
      : {
          response_code: String(info.responseCode ?? 0),
          grpc_response_status: String(grpcStatusOf(info) ?? ''),
        }),
    response_flags: formatFlags(info.responseFlags) ?? '-',
    connection_security_policy:
      context.reporter === 'source' ? UNKNOWN : sourcePrincipal === undefined ? 'none' : 'mutual_tls',
  };
}

function peerLabels(
  side: 'source' | 'destination',
  peer: WorkloadMetadata | undefined,
  identity: string | undefined,
): Labels {
  return {
    [`${side}_workload`]: peer?.name ?? UNKNOWN,
    [`${side}_canonical_service`]: peer?.canonicalName ?? UNKNOWN,
    [`${side}_canonical_revision`]: peer?.canonicalRevision ?? 'latest',
    [`${side}_workload_namespace`]: peer?.namespace ?? UNKNOWN,
    [`${side}_principal`]: identity ?? UNKNOWN,
    [`${side}_app`]: peer?.app ?? peer?.canonicalName ?? UNKNOWN,
    [`${side}_version`]: peer?.version ?? peer?.canonicalRevision ?? UNKNOWN,
    [`${side}_cluster`]: peer?.cluster ?? UNKNOWN,
  };
}

function sourcePeer(
  info: StreamInfo,
  { reporter, directory, self }: LabelContext,
): WorkloadMetadata | undefined {
  if (reporter === 'source') return self;
  return peerInState(info, DOWNSTREAM_PEER_KEY) ?? peerByAddress(directory, info.connection.remoteAddress);
}

function destinationPeer(
  info: StreamInfo,
  { reporter, directory, self }: LabelContext,
): WorkloadMetadata | undefined {
  if (reporter === 'destination') return self;
  return peerInState(info, UPSTREAM_PEER_KEY) ?? upstreamPeer(info, directory);
}

function destinationPrincipal(info: StreamInfo, { reporter }: LabelContext): string | undefined {
  if (reporter === 'destination')
    return principal(info, LOCAL_PRINCIPAL_KEY, info.connection.tls?.localUriSans[0]);
  // Behind connect_originate the certificate is the inner hop's affair; the endpoint tells what it is checked against.
  const expected = info.upstream?.endpoint?.metadata.get('weft.dev')?.['identity'];
  return info.upstream?.tls?.peerUriSans[0] ?? (typeof expected === 'string' ? expected : undefined);
}

function destinationService(
  info: StreamInfo,
  { hostFallback, clusterByName }: LabelContext,
  destination: WorkloadMetadata | undefined,
): { readonly host: string; readonly name: string; readonly namespace: string } {
  const cluster = info.upstream?.cluster ?? clusterByName(info.route?.clusterName ?? '');
  const services = valueAt(cluster?.metadata.get('istio'), ['services']);
  const service = Array.isArray(services) ? services[0] : undefined;
  const text = (key: string): string | undefined => {
    const value = valueAt(service, [key]);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const namespace = text('namespace') ?? destination?.namespace ?? UNKNOWN;
  const virtualHost = info.route?.virtualHost;
  if (virtualHost === 'block_all') return named('BlackHoleCluster', namespace);
  if (virtualHost === 'allow_any') return named('PassthroughCluster', namespace);
  const host = text('host');
  if (host !== undefined) return { host, name: text('name') ?? host.split('.', 1)[0] ?? host, namespace };
  // Clients choose the Host header; labels of their making are only for proxies that are told to.
  const authority = hostFallback ? info.requestHeaders?.authority : undefined;
  return named(authority ?? UNKNOWN, namespace);
}

function named(name: string, namespace: string) {
  return { host: name, name, namespace };
}

function peerInState(info: StreamInfo, key: string): WorkloadMetadata | undefined {
  const value = info.filterState.get(key);
  // Only peer_metadata writes these keys, and writes WorkloadMetadata.
  return typeof value === 'object' ? (value as WorkloadMetadata) : undefined;
}

function principal(info: StreamInfo, key: string, certified: string | undefined): string | undefined {
  return info.filterState.text(key) || certified;
}

function protocolOf(info: StreamInfo): 'http' | 'grpc' | 'tcp' {
  if (info.kind === 'tcp') return 'tcp';
  return isGrpcContentType(info.requestHeaders?.get('content-type')) ? 'grpc' : 'http';
}
