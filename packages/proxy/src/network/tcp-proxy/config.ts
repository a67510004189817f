import { envoy } from '@weft/api/envoy';
import { compileAccessLogs, compileFormat, type AccessLogger } from '../../access-log/index.ts';
import type { CompileContext, MetadataStruct, StreamInfo } from '../../engine/types.ts';
import { durationMs, structToPlain } from '../../filters/message.ts';
import { InvalidValue, invalid } from '../../matching/index.ts';
import { compileConnectionHash, type ConnectionHash } from './hash-policy.ts';

type TcpProxyMessage = envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.$Properties;
type Tunneling = envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig.$Properties;

export interface WeightedCluster {
  readonly name: string;
  readonly weight: number;
  readonly metadataMatch?: MetadataStruct;
}

/** How a tunnel is asked for: the CONNECT (or POST) request that carries the bytes. */
export interface TunnelingConfig {
  readonly hostname: (info: StreamInfo) => string;
  readonly usePost: boolean;
  readonly headers: readonly { readonly name: string; readonly value: (info: StreamInfo) => string }[];
  /** The response's headers and trailers go to filter state, for access logs. */
  readonly propagateResponseHeaders: boolean;
}

export interface TcpProxyConfig {
  readonly statPrefix: string;
  readonly clusters: readonly WeightedCluster[];
  readonly totalWeight: number;
  readonly idleTimeoutMs: number;
  /** 0: none. */
  readonly maxDurationMs: number;
  readonly maxConnectAttempts: number;
  readonly tunneling: TunnelingConfig | undefined;
  readonly hash: ConnectionHash | undefined;
  readonly accessLog: AccessLogger;
}

const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;
const LOAD_BALANCER_METADATA = 'envoy.lb';

/** @throws InvalidValue, ConfigError */
export function tcpProxyConfig(message: TcpProxyMessage, context: CompileContext): TcpProxyConfig {
  if (!message.statPrefix) invalid('is required', 'stat_prefix');
  const clusters = clustersOf(message);
  const attempts = message.maxConnectAttempts?.value ?? 1;
  if (attempts < 1) invalid('must be at least 1', 'max_connect_attempts');
  return {
    statPrefix: message.statPrefix ?? '',
    clusters,
    totalWeight: clusters.reduce((sum, { weight }) => sum + weight, 0),
    idleTimeoutMs: durationMs(message.idleTimeout) ?? DEFAULT_IDLE_TIMEOUT_MS,
    maxDurationMs: durationMs(message.maxDownstreamConnectionDuration) ?? 0,
    maxConnectAttempts: attempts,
    tunneling: message.tunnelingConfig ? tunneling(message.tunnelingConfig) : undefined,
    hash: compileConnectionHash(message.hashPolicy ?? []),
    accessLog: compileAccessLogs(message.accessLog, context),
  };
}

function clustersOf(message: TcpProxyMessage): readonly WeightedCluster[] {
  const own = lbMetadata(message.metadataMatch);
  if (message.clusterSpecifier === 'cluster') {
    const name = message.cluster ?? '';
    if (name === '') invalid('must not be empty', 'cluster');
    return [{ name, weight: 1, ...(own === undefined ? {} : { metadataMatch: own }) }];
  }
  if (message.clusterSpecifier !== 'weightedClusters') return invalid('a cluster is required', 'cluster');
  const list = message.weightedClusters?.clusters ?? [];
  const weighted = list.map(({ name, weight, metadataMatch }, i): WeightedCluster => {
    if (!name) invalid('is required', `weighted_clusters.clusters[${i}].name`);
    if (!weight) invalid('must be at least 1', `weighted_clusters.clusters[${i}].weight`);
    const match = { ...own, ...lbMetadata(metadataMatch) };
    return {
      name: name ?? '',
      weight: weight ?? 0,
      ...(Object.keys(match).length === 0 ? {} : { metadataMatch: match }),
    };
  });
  if (weighted.length === 0) invalid('must not be empty', 'weighted_clusters.clusters');
  return weighted;
}

function lbMetadata(
  metadata: envoy.config.core.v3.Metadata.$Properties | null | undefined,
): MetadataStruct | undefined {
  const struct = metadata?.filterMetadata?.[LOAD_BALANCER_METADATA];
  return struct === undefined ? undefined : structToPlain(struct);
}

function tunneling(message: Tunneling): TunnelingConfig {
  if (!message.hostname) invalid('is required', 'tunneling_config.hostname');
  return {
    hostname: format(message.hostname ?? '', 'tunneling_config.hostname'),
    usePost: message.usePost ?? false,
    propagateResponseHeaders: message.propagateResponseHeaders ?? false,
    headers: (message.headersToAdd ?? []).map(({ header }, i) => {
      const path = `tunneling_config.headers_to_add[${i}].header`;
      const name = (header?.key ?? '').toLowerCase();
      if (name === '' || name.startsWith(':')) invalid(`"${name}" cannot be set`, `${path}.key`);
      return { name, value: format(header?.value ?? '', `${path}.value`) };
    }),
  };
}

function format(text: string, path: string): (info: StreamInfo) => string {
  try {
    const formatter = compileFormat(text);
    return (info) => formatter(info);
  } catch (error) {
    return invalid(error instanceof InvalidValue ? error.reason : String(error), path);
  }
}
