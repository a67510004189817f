import type {
  ConnectionInfo,
  Endpoint,
  HeaderMap,
  MetadataStruct,
  StreamInfo,
  UpstreamInfo,
} from '../engine/types.ts';
import type { HttpStream, HttpStreamEvents } from './codec.ts';

/** What the router asks of clusters. Implemented by the cluster manager, replaced by a table in tests. */
export interface UpstreamClusters {
  /** The current version of a cluster, or undefined: `NC`. */
  get(name: string): HttpCluster | undefined;
}

export interface HttpCluster {
  readonly name: string;
  /** Asks a host's pool for a stream. Exactly one of the two callbacks follows, perhaps before this returns. */
  request(request: UpstreamRequest, events: UpstreamRequestEvents): PendingUpstream;
  /** 0: none. */
  readonly maxStreamDurationMs: number;
  /** Claims one retry from the circuit breaker or its retry budget; false: overflow. Give back with `retryDone`. */
  tryRetry(priority: 'default' | 'high'): boolean;
  retryDone(priority: 'default' | 'high'): void;
}

export interface UpstreamRequest {
  readonly headers: HeaderMap;
  readonly stream: StreamInfo;
  readonly downstream: ConnectionInfo;
  readonly priority: 'default' | 'high';
  /** Subset keys: metadata namespace `envoy.lb`. */
  readonly metadataMatch?: MetadataStruct;
  readonly hash?: number;
  /** Hosts of earlier attempts, to be avoided (`previous_hosts`); picks so often before it takes one anyway. */
  readonly avoid?: ReadonlySet<Endpoint>;
  readonly hostSelectionAttempts?: number;
  /** CONNECT or an upgrade. */
  readonly upgrade?: string;
}

export interface PendingUpstream {
  /** The request isn't wanted any more. Nothing is called back afterwards. */
  cancel(): void;
}

export type UpstreamFailureReason =
  | 'no-healthy-upstream'
  | 'overflow'
  | 'connection-failure'
  | 'connection-timeout'
  | 'dns-failure'
  | 'drop-overload';

export interface UpstreamFailure {
  readonly reason: UpstreamFailureReason;
  /** TLS or system error text for UPSTREAM_TRANSPORT_FAILURE_REASON. */
  readonly transportFailureReason?: string;
  readonly upstream?: UpstreamInfo;
}

export interface UpstreamRequestEvents {
  /** A connection has a place: `open` makes the stream. Called at once by the router, or never when it was cancelled. */
  onReady(upstream: ReadyUpstream): void;
  onFailure(failure: UpstreamFailure): void;
}

export interface ReadyUpstream {
  readonly upstream: UpstreamInfo;
  open(events: HttpStreamEvents): HttpStream | undefined;
  /** The outcome, for outlier detection and statistics: a status, or how the stream failed without one. */
  report(outcome: { readonly status: number } | { readonly failure: 'reset' | 'timeout' }): void;
}
