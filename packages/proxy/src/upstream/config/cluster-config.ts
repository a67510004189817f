import { isIP } from 'node:net';
import { envoy } from '@weft/api/envoy';
import type { CompileContext, Metadata, MetadataStruct } from '../../engine/types.ts';
import { compileMessage, compileMetadata, durationMs, structToPlain } from '../../filters/message.ts';
import { at, invalid } from '../../matching/index.ts';
import type { CircuitBreakerThresholds, RoutingPriority } from '../circuit-breaker.ts';
import type { OutlierDetectionConfig } from '../outlier-config.ts';
import type { IpAddress } from '../connect/tcp.ts';
import { compileEndpoints, type Endpoints } from './endpoints.ts';
import { compileHttpOptions, type HttpConfig } from './http-options.ts';
import { compileOutlierDetection, compileThresholds } from './limits.ts';
import { compileLoadBalancing, type LoadBalancingConfig } from './load-balancing.ts';
import { compileTransportSocket, type TransportSocketConfig } from './transport-socket.ts';

type ClusterMessage = envoy.config.cluster.v3.Cluster.$Properties;
const { DiscoveryType, DnsLookupFamily } = envoy.config.cluster.v3.Cluster;

/** Where the hosts of a cluster come from. */
export type DiscoveryConfig =
  | { readonly kind: 'static'; readonly endpoints: Endpoints }
  | { readonly kind: 'eds'; readonly serviceName: string; readonly configSource: Uint8Array }
  | {
      readonly kind: 'dns';
      /** Every address is a host, or all of them are one host. */
      readonly addresses: 'all' | 'first';
      readonly endpoints: Endpoints;
      readonly refreshMs: number;
      readonly failureRefreshMs: number;
      readonly family: DnsFamily;
    }
  | { readonly kind: 'original-dst'; readonly originalDst: OriginalDstConfig }
  | { readonly kind: 'dynamic-forward'; readonly dynamicForward: DynamicForwardConfig };

export type DnsFamily = 'auto' | 'v4-only' | 'v6-only' | 'v4-preferred' | 'all';

export interface OriginalDstConfig {
  readonly header: string | undefined;
  readonly metadataKey: { readonly namespace: string; readonly path: readonly string[] } | undefined;
  readonly portOverride: number | undefined;
  readonly cleanupIntervalMs: number;
}

export interface DynamicForwardConfig {
  readonly family: DnsFamily;
  readonly maxHosts: number;
  readonly cleanupIntervalMs: number;
  /** Where the client names none. */
  readonly defaultPort: number;
}

export interface SocketMatch {
  readonly name: string;
  readonly match: MetadataStruct;
  readonly socket: TransportSocketConfig;
}

/** A Cluster resource, checked and with its defaults. */
export interface ClusterConfig {
  readonly name: string;
  readonly statName: string;
  readonly discovery: DiscoveryConfig;
  readonly connectTimeoutMs: number;
  readonly bufferLimitBytes: number;
  readonly balancing: LoadBalancingConfig;
  readonly thresholds: Readonly<Record<RoutingPriority, CircuitBreakerThresholds>>;
  readonly outlierDetection: OutlierDetectionConfig | undefined;
  readonly socket: TransportSocketConfig;
  readonly socketMatches: readonly SocketMatch[];
  readonly http: HttpConfig;
  readonly metadata: Metadata;
  /** Seconds of silence before TCP asks whether the peer is there. */
  readonly keepaliveTimeS: number | undefined;
  /** What connections come from; empty: what the kernel chooses. */
  readonly sources: readonly IpAddress[];
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const DEFAULT_BUFFER_LIMIT_BYTES = 1024 * 1024;
const DEFAULT_CLEANUP_INTERVAL_MS = 5_000;
const DEFAULT_DNS_REFRESH_MS = 5_000;
const DEFAULT_KEEPALIVE_TIME_S = 7_200;

/** @throws ConfigError with the resource's name and the field's path */
export function compileCluster(bytes: Uint8Array, context: CompileContext): ClusterConfig {
  return compileMessage(envoy.config.cluster.v3.Cluster, bytes, context, (message) => {
    return clusterConfig(message);
  });
}

function clusterConfig(message: ClusterMessage): ClusterConfig {
  const name = message.name ?? '';
  if (name === '') invalid('is required', 'name');
  const discovery = discoveryOf(message, name);
  const balancing = compileLoadBalancing(message);
  const choosesItself = discovery.kind === 'original-dst' || discovery.kind === 'dynamic-forward';
  const isProvided = balancing.policy.kind === 'cluster-provided';
  if (isProvided && !choosesItself) {
    invalid('CLUSTER_PROVIDED is for ORIGINAL_DST clusters and those of dynamic_forward_proxy', 'lb_policy');
  }
  if (choosesItself && !isProvided) {
    const kind = discovery.kind === 'original-dst' ? 'ORIGINAL_DST' : 'dynamic_forward_proxy';
    invalid(`${kind} needs CLUSTER_PROVIDED`, 'lb_policy');
  }
  const keepalive = message.upstreamConnectionOptions?.tcpKeepalive;
  return {
    name,
    statName: message.altStatName || name,
    discovery,
    connectTimeoutMs:
      at('connect_timeout', () => durationMs(message.connectTimeout)) ?? DEFAULT_CONNECT_TIMEOUT_MS,
    bufferLimitBytes: message.perConnectionBufferLimitBytes?.value ?? DEFAULT_BUFFER_LIMIT_BYTES,
    balancing,
    thresholds: compileThresholds(message.circuitBreakers),
    outlierDetection: at('outlier_detection', () => compileOutlierDetection(message.outlierDetection)),
    socket: at('transport_socket', () => compileTransportSocket(message.transportSocket)),
    socketMatches: (message.transportSocketMatches ?? []).map((m, i) =>
      at(`transport_socket_matches[${i}]`, () => ({
        name: m.name ?? '',
        match: structToPlain(m.match ?? {}),
        socket: at('transport_socket', () => compileTransportSocket(m.transportSocket)),
      })),
    ),
    http: compileHttpOptions(message),
    metadata: compileMetadata(message.metadata),
    keepaliveTimeS: keepalive ? (keepalive.keepaliveTime?.value ?? DEFAULT_KEEPALIVE_TIME_S) : undefined,
    sources: at('upstream_bind_config', () => sourcesOf(message.upstreamBindConfig)),
  };
}

function sourcesOf(
  config: envoy.config.core.v3.BindConfig.$Properties | null | undefined,
): readonly IpAddress[] {
  const { sourceAddress, extraSourceAddresses = [] } = config ?? {};
  return [sourceAddress, ...(extraSourceAddresses ?? []).map(({ address }) => address)].flatMap((address) => {
    if (!address) return [];
    const ip = address.address ?? '';
    if (isIP(ip) === 0) invalid(`"${ip}" is no IP address`, 'source_address.address');
    return [{ kind: 'ip', ip, port: address.portValue ?? 0 } as const];
  });
}

function discoveryOf(message: ClusterMessage, name: string): DiscoveryConfig {
  if (message.clusterDiscoveryType === 'clusterType') {
    return at('cluster_type', () => extensionType(message));
  }
  const endpoints = (form: 'ip' | 'name'): Endpoints =>
    at('load_assignment', () => compileEndpoints(message.loadAssignment ?? {}, form));
  switch (message.type ?? DiscoveryType.STATIC) {
    case DiscoveryType.STATIC:
      return { kind: 'static', endpoints: endpoints('ip') };
    case DiscoveryType.EDS: {
      const { edsConfig, serviceName } = message.edsClusterConfig ?? {};
      if (!edsConfig) return invalid('is required', 'eds_cluster_config.eds_config');
      const configSource = envoy.config.core.v3.ConfigSource.encode(edsConfig).finish();
      return { kind: 'eds', serviceName: serviceName || name, configSource };
    }
    case DiscoveryType.STRICT_DNS:
    case DiscoveryType.LOGICAL_DNS: {
      const addresses = message.type === DiscoveryType.LOGICAL_DNS ? 'first' : 'all';
      const assigned = endpoints('name');
      if (addresses === 'first' && assigned.specs.length !== 1) {
        invalid('LOGICAL_DNS needs exactly one endpoint', 'load_assignment');
      }
      const refreshMs =
        at('dns_refresh_rate', () => durationMs(message.dnsRefreshRate)) || DEFAULT_DNS_REFRESH_MS;
      const failureRefreshMs = durationMs(message.dnsFailureRefreshRate?.baseInterval) || refreshMs;
      return {
        kind: 'dns',
        addresses,
        endpoints: assigned,
        refreshMs,
        failureRefreshMs,
        family: dnsFamily(message),
      };
    }
    case DiscoveryType.ORIGINAL_DST:
      return { kind: 'original-dst', originalDst: originalDst(message) };
    default:
      return invalid(`unknown type ${message.type}`, 'type');
  }
}

function originalDst(message: ClusterMessage): OriginalDstConfig {
  const config = message.originalDstLbConfig ?? {};
  const portOverride = config.upstreamPortOverride?.value ?? undefined;
  if (portOverride !== undefined && portOverride > 65_535) {
    invalid('at most 65535', 'original_dst_lb_config.upstream_port_override');
  }
  const { metadataKey } = config;
  return {
    header: config.useHttpHeader === true ? config.httpHeaderName || 'x-envoy-original-dst-host' : undefined,
    metadataKey: metadataKey
      ? {
          namespace: metadataKey.key ?? '',
          path: (metadataKey.path ?? []).map((segment) => segment.key ?? ''),
        }
      : undefined,
    portOverride,
    cleanupIntervalMs:
      at('cleanup_interval', () => durationMs(message.cleanupInterval)) || DEFAULT_CLEANUP_INTERVAL_MS,
  };
}

const DYNAMIC_FORWARD =
  'type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';
const DEFAULT_HOST_TTL_MS = 300_000;
const DEFAULT_MAX_DYNAMIC_HOSTS = 1_024;

function extensionType({ clusterType, transportSocket }: ClusterMessage): DiscoveryConfig {
  const { type_url: typeUrl, value } = clusterType?.typedConfig ?? {};
  if (typeUrl !== DYNAMIC_FORWARD) return invalid(`cluster type ${clusterType?.name ?? ''} is not supported`);
  const message = envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig.decode(
    value ?? new Uint8Array(),
  );
  const { dnsCacheConfig } = message;
  if (!dnsCacheConfig) return invalid('is required', 'typed_config.dns_cache_config');
  const isTls = transportSocket?.name === 'envoy.transport_sockets.tls';
  return {
    kind: 'dynamic-forward',
    dynamicForward: {
      family: dnsFamily(dnsCacheConfig),
      maxHosts: dnsCacheConfig.maxHosts?.value || DEFAULT_MAX_DYNAMIC_HOSTS,
      cleanupIntervalMs:
        at('typed_config.dns_cache_config.host_ttl', () => durationMs(dnsCacheConfig.hostTtl)) ||
        DEFAULT_HOST_TTL_MS,
      defaultPort: isTls ? 443 : 80,
    },
  };
}

function dnsFamily(message: Pick<ClusterMessage, 'dnsLookupFamily'>): DnsFamily {
  switch (message.dnsLookupFamily ?? DnsLookupFamily.AUTO) {
    case DnsLookupFamily.V4_ONLY:
      return 'v4-only';
    case DnsLookupFamily.V6_ONLY:
      return 'v6-only';
    case DnsLookupFamily.V4_PREFERRED:
      return 'v4-preferred';
    case DnsLookupFamily.ALL:
      return 'all';
    default:
      return 'auto';
  }
}
