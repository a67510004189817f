import type { SocketAddress } from './address.ts';
import type { ConnectionInfo, TlsInfo } from './byte-stream.ts';
import type { FilterState } from './filter-state.ts';
import type { HeaderMap } from './header-map.ts';
import type { Metadata } from './metadata.ts';
import type { Cluster, Endpoint } from './upstream.ts';

/** Envoy's short forms (l7-proxy.md §3.10). */
export type ResponseFlag =
  | 'NR'
  | 'NC'
  | 'UH'
  | 'UF'
  | 'UC'
  | 'UR'
  | 'LR'
  | 'UO'
  | 'UT'
  | 'SI'
  | 'UMSDR'
  | 'DT'
  | 'URX'
  | 'UPE'
  | 'DPE'
  | 'DC'
  | 'DR'
  | 'LH'
  | 'DI'
  | 'FI'
  | 'RL'
  | 'RLSE'
  | 'UAEX'
  | 'IH'
  | 'OM'
  | 'DO'
  | 'UDO'
  | 'NFCF'
  | 'DF';

/** Milliseconds of a monotonic clock (`performance.now()`), undefined until it happened. */
export interface StreamTimings {
  readonly start: number;
  requestComplete?: number;
  upstreamFirstByteSent?: number;
  upstreamLastByteSent?: number;
  upstreamFirstByteReceived?: number;
  upstreamLastByteReceived?: number;
  downstreamFirstByteSent?: number;
  downstreamLastByteSent?: number;
  end?: number;
}

export interface UpstreamInfo {
  readonly cluster: Cluster;
  readonly endpoint?: Endpoint;
  localAddress?: SocketAddress;
  tls?: TlsInfo;
  /** Of the upstream connection; carries what the far side told (CONNECT response headers, peer metadata). */
  filterState?: FilterState;
  transportFailureReason?: string;
}

/** What filters and logs may know of the chosen route; the route table has more behind it. */
export interface RouteInfo {
  readonly name: string;
  readonly virtualHost: string;
  readonly virtualHostMetadata?: Metadata;
  readonly metadata?: Metadata;
  readonly decoratorOperation?: string;
  readonly clusterName?: string;
  /** Compiled typed_per_filter_config of the most specific level, by filter name. */
  filterConfig(filterName: string): unknown;
}

export interface StreamInfo {
  readonly kind: 'http' | 'tcp';
  readonly connection: ConnectionInfo;
  /** Wall clock, for START_TIME. */
  readonly startTimeMs: number;
  readonly timings: StreamTimings;
  /** `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`. */
  protocol?: string;
  /** As they are now: filters change them. */
  requestHeaders?: HeaderMap;
  responseHeaders?: HeaderMap;
  responseTrailers?: HeaderMap;
  responseCode?: number;
  responseCodeDetails?: string;
  readonly responseFlags: Set<ResponseFlag>;
  route?: RouteInfo;
  upstream?: UpstreamInfo;
  attemptCount: number;
  /** Body bytes (TCP: payload). */
  bytesReceived: number;
  bytesSent: number;
  /** The client as decided by x-forwarded-for rules; `connection.remoteAddress` unless HTTP changed it. */
  remoteAddress: SocketAddress;
  requestId?: string;
  readonly streamId: string;
  terminationDetails?: string;
  readonly filterState: FilterState;
  readonly dynamicMetadata: Metadata;
  /** Listener's or HCM's direction, for the reporter label. */
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
}
