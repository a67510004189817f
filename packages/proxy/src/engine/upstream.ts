import type { HttpStream, HttpStreamEvents } from '../http/codec.ts';
import type { SocketAddress } from './address.ts';
import type { ByteStream } from './byte-stream.ts';
import type { Metadata, MetadataStruct } from './metadata.ts';
import type { StatsScope } from './stats-scope.ts';
import type { StreamInfo, UpstreamInfo } from './stream-info.ts';

export interface ClusterManager {
  get(name: string): Cluster | undefined;
  /** Active clusters. */
  all(): Iterable<Cluster>;
}

/** What load balancing and connecting may depend on. */
export interface UpstreamContext {
  readonly info: StreamInfo;
  /** Merged metadata_match criteria of namespace `envoy.lb`. */
  readonly metadataMatch?: MetadataStruct;
  /** 64 bits, of the route's or tcp_proxy's hash policy. */
  readonly hash?: bigint;
  /** Endpoints that were tried already (retry predicate previous_hosts). */
  readonly excluded?: ReadonlySet<Endpoint>;
  /** Priorities that were tried (retry_priority previous_priorities): others get their traffic, if there are any. */
  readonly avoidedPriorities?: ReadonlySet<number>;
  readonly priority?: 'default' | 'high';
  /** Of the request (`HTTP/1.1` or `HTTP/2`), for use_downstream_protocol. */
  readonly downstreamProtocol?: 'http1' | 'http2';
}

export interface Endpoint {
  readonly address: SocketAddress;
  /** Of STRICT_DNS and `hostname` in EDS: for auto_host_rewrite. */
  readonly hostname: string;
  readonly metadata: Metadata;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly priority: number;
  readonly weight: number;
  /** Requests (or TCP sessions) in progress. */
  activeRequests: number;
  /** Tells outlier detection. */
  reportResult(result: EndpointResult): void;
}
export type EndpointResult =
  | { readonly kind: 'response'; readonly status: number }
  | { readonly kind: 'local-origin'; readonly success: boolean };

/** Why there is no upstream connection or stream. */
export type UpstreamFailure =
  | { readonly kind: 'overflow' }
  | { readonly kind: 'no-healthy-upstream' }
  | { readonly kind: 'dns-failure' }
  /** `reason`: for UPSTREAM_TRANSPORT_FAILURE_REASON, may be empty. */
  | { readonly kind: 'connect-failure'; readonly reason: string }
  | { readonly kind: 'connect-timeout' };

/** The current version of a cluster, as the router and tcp_proxy see it. */
export interface Cluster {
  readonly name: string;
  /** alt_stat_name, else name. */
  readonly statName: string;
  readonly metadata: Metadata;
  readonly stats: StatsScope;
  readonly breakers: CircuitBreakers;
  /** Of HttpProtocolOptions / the cluster: 0 = none. */
  readonly maxStreamDurationMs: number;
  pick(context: UpstreamContext): Endpoint | undefined;
  /** A connection of its own through the cluster's transport socket, for TCP. Exactly one handler is called, later. */
  connect(
    endpoint: Endpoint,
    context: UpstreamContext,
    handlers: {
      onConnected(stream: ByteStream, upstream: UpstreamInfo): void;
      onFailure(failure: UpstreamFailure): void;
    },
  ): { cancel(): void };
  /**
   * A request stream from the pools. Exactly one handler is called, perhaps before this returns, and none after
   * `cancel`; `onReady` returns who gets the stream's events. The pool counts the request until the stream ends;
   * its outcome goes to `endpoint.reportResult`, except that a connection failed, which the cluster reports itself.
   */
  openStream(
    endpoint: Endpoint,
    context: UpstreamContext,
    handlers: {
      onReady(stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents;
      onFailure(failure: UpstreamFailure): void;
    },
  ): { cancel(): void };
}

export interface CircuitBreakers {
  /** Takes one of the retries; false when over the limit or budget. `releaseRetry` gives it back. */
  tryRetry(priority: 'default' | 'high'): boolean;
  releaseRetry(priority: 'default' | 'high'): void;
}
