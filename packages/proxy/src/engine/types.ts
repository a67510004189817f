import type { Clock, Logger } from '@weft/telemetry';
import type { FilterState } from './filter-state.ts';
import type { HttpStream, HttpStreamEvents } from '../http/codec.ts';
import type { HeaderMap } from './header-map.ts';

export { ConfigError } from './config-error.ts';
export { FilterState, type FilterStateSharing, type FilterStateValue } from './filter-state.ts';
export { HeaderMap } from './header-map.ts';
export type { HttpStream, HttpStreamEvents, ResetReason } from '../http/codec.ts';

// ─── Addresses, metadata ────────────────────────────────────────────────────────────────────────────────────────

/** `internal`: an internal listener by name; `endpointId` tells its endpoints apart. */
export type SocketAddress =
  | { readonly kind: 'ip'; readonly ip: string; readonly port: number }
  | { readonly kind: 'internal'; readonly listener: string; readonly endpointId: string };

/** `10.0.0.1:80`, `[::1]:80`, `envoy://connect_originate/10.0.0.1:80`. */
export function formatAddress(address: SocketAddress): string {
  if (address.kind === 'internal') return `envoy://${address.listener}/${address.endpointId}`;
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

export function sameAddress(a: SocketAddress, b: SocketAddress): boolean {
  return formatAddress(a) === formatAddress(b);
}

/** A google.protobuf.Struct as plain data. */
export type MetadataValue = null | boolean | number | string | readonly MetadataValue[] | MetadataStruct;
export interface MetadataStruct {
  readonly [key: string]: MetadataValue;
}
/** By namespace, which is a filter's name or a reverse domain. Mutable: filters add during a stream. */
export type Metadata = Map<string, MetadataStruct>;

// ─── Byte streams: what carries a connection ────────────────────────────────────────────────────────────────────

export interface TlsInfo {
  readonly peerUriSans: readonly string[];
  readonly peerDnsSans: readonly string[];
  readonly localUriSans: readonly string[];
  readonly localDnsSans: readonly string[];
  readonly subjectPeer?: string;
  readonly subjectLocal?: string;
  readonly sni?: string;
  readonly alpn?: string;
  /** As Envoy prints it: `TLSv1.3`. */
  readonly version?: string;
  readonly cipher?: string;
  readonly peerCertificatePem?: string;
  /** SHA-256 of the peer's DER certificate, lower-case hex. */
  readonly peerFingerprint?: string;
  readonly peerSerial?: string;
  /** The peer's certificate verified against the validation context. */
  readonly peerValidated: boolean;
}

/** What is known of a connection. Listener filters and TLS fill it in before a filter chain sees it. */
export interface ConnectionInfo {
  readonly id: number;
  /** The client, as restored by listener filters; `directRemoteAddress` is the peer of the socket. */
  remoteAddress: SocketAddress;
  readonly directRemoteAddress: SocketAddress;
  /** Where the client meant to go, once restored; `directLocalAddress` is the socket's own. */
  localAddress: SocketAddress;
  readonly directLocalAddress: SocketAddress;
  localAddressRestored: boolean;
  tls?: TlsInfo;
  transportProtocol: 'tls' | 'raw_buffer';
  /** From tls_inspector (ALPN offered) or http_inspector (`http/1.1`, `h2c`). */
  applicationProtocols: readonly string[];
  requestedServerName?: string;
  readonly filterState: FilterState;
  readonly dynamicMetadata: Metadata;
  readonly startTimeMs: number;
  /** For access logs: why a filter or the proxy ended the connection. */
  terminationDetails?: string;
  transportFailureReason?: string;
}

/**
 * One byte connection, downstream or upstream: TCP, TLS, the pipe of an internal listener, or a CONNECT stream.
 * The owner sets the handlers; nothing arrives before `resume()` (a stream starts paused) and nothing synchronously
 * within a call of `write`, `resume` or `end`.
 *
 * onEnd: the peer will send no more (half-close); the stream still takes writes. onClose: exactly once, last;
 * without an error when both directions ended.
 */
export interface ByteStream {
  readonly info: ConnectionInfo;
  /** Takes the chunk always; false asks to wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** Ends our direction after what was written. */
  end(): void;
  /** Drops both directions at once: TCP RST where possible. */
  reset(): void;
  /** Graceful close of both directions: flushes what was written, then closes, whatever the peer still sends. */
  close(): void;
  pause(): void;
  resume(): void;
  onData: (chunk: Buffer) => void;
  onDrain: () => void;
  onEnd: () => void;
  onClose: (error?: Error) => void;
  readonly writableLength: number;
  readonly closed: boolean;
}

// ─── Stream info: one HTTP request or one TCP session, for filters, logs and statistics ─────────────────────────

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

// ─── HTTP filters ───────────────────────────────────────────────────────────────────────────────────────────────

/**
 * 'continue' passes the event to the next filter. 'stop' holds it, and everything after it in that direction, until
 * `continueRequest()` / `continueResponse()`: held data stay in the sender by back-pressure up to the buffer limit.
 */
export type FilterStatus = 'continue' | 'stop';

export interface LocalReply {
  readonly status: number;
  readonly body?: string;
  /** RESPONSE_CODE_DETAILS. */
  readonly details: string;
  readonly flag?: ResponseFlag;
  readonly headers?: readonly (readonly [string, string])[];
  /** The header changes of the route don't apply. */
  readonly unrouted?: true;
  /** Overrides the mapping from `status` for gRPC requests. */
  readonly grpcStatus?: number;
}

/** What a filter may do to its stream. Calls after the stream ended do nothing. */
export interface StreamCallbacks {
  readonly info: StreamInfo;
  continueRequest(): void;
  continueResponse(): void;
  /** Answers in place of the upstream; encoder filters still run. Ends the request. */
  sendLocalReply(reply: LocalReply): void;
  /** Collects the request's body until its end, then passes headers and body on; beyond `limitBytes` answers 413. */
  bufferRequestBody(limitBytes: number): void;
  /** Forgets the chosen route: the next look at it matches anew with the headers and metadata of now. */
  clearRouteCache(): void;
  /** The route for the headers as they are now, undefined if none. */
  route(): RouteInfo | undefined;
  /** Adds data at the end of this direction; for filters that change bodies. */
  addRequestData?(chunk: Buffer): void;
  resetStream(): void;
}

/**
 * One filter on one request. Every method is optional and synchronous. Request events go through the chain in order,
 * response events in reverse. A body chunk may be replaced by returning it in `data`. Never throws; what it throws
 * anyway is answered by 500.
 */
export interface HttpFilter {
  onRequestHeaders?(headers: HeaderMap, endStream: boolean, callbacks: StreamCallbacks): FilterStatus;
  onRequestData?(chunk: Buffer, endStream: boolean, callbacks: StreamCallbacks): FilterStatus;
  onRequestTrailers?(trailers: HeaderMap, callbacks: StreamCallbacks): FilterStatus;
  onResponseHeaders?(headers: HeaderMap, endStream: boolean, callbacks: StreamCallbacks): FilterStatus;
  onResponseData?(chunk: Buffer, endStream: boolean, callbacks: StreamCallbacks): FilterStatus;
  onResponseTrailers?(trailers: HeaderMap, callbacks: StreamCallbacks): FilterStatus;
  /** The stream is over and its info final (access logs are written after it): for statistics. */
  onComplete?(info: StreamInfo): void;
  /** The stream is over: timers and fetches of the filter must end. */
  onDestroy?(): void;
}

export interface CompiledHttpFilter {
  /**
   * A filter for one request, or undefined to stay out of it. The route may be unknown still: per-route
   * configuration is looked up by `callbacks.route()?.filterConfig(name)` when needed.
   */
  create(info: StreamInfo): HttpFilter | undefined;
  /** Ends what the compiled configuration owns: JWKS refresh, timers. */
  close?(): void;
}

export interface HttpFilterFactory {
  /** Canonical extension name: `envoy.filters.http.rbac`. */
  readonly name: string;
  /** Full type URLs of its messages, `type.googleapis.com/…`. */
  readonly typeUrls: readonly string[];
  /** `config`: bytes of the message (a TypedStruct has been converted). Throws by `context.fail`. */
  compile(config: Uint8Array, context: CompileContext, typeUrl: string): CompiledHttpFilter;
  /** For typed_per_filter_config; `routeTypeUrls` lists its messages. */
  readonly routeTypeUrls?: readonly string[];
  compileRoute?(config: Uint8Array, context: CompileContext, typeUrl: string): unknown;
}

// ─── Network filters ────────────────────────────────────────────────────────────────────────────────────────────

/** Runs before the terminal filter of a chain. */
export interface NetworkFilter {
  /** At the accepted, decrypted connection. 'close' ends it. */
  onNewConnection(connection: ByteStream, info: StreamInfo): 'continue' | 'close';
  /** The connection is over, `info` is final. */
  onComplete?(info: StreamInfo): void;
}

export type CompiledNetworkFilter =
  | { readonly kind: 'filter'; create(): NetworkFilter; close?(): void }
  | {
      readonly kind: 'terminal';
      /** Takes the connection over: sets its handlers and resumes it. Calls `done` once it is closed. */
      accept(connection: ByteStream, info: StreamInfo, done: () => void): void;
      close?(): void;
    };

export interface NetworkFilterFactory {
  readonly name: string;
  readonly typeUrls: readonly string[];
  compile(config: Uint8Array, context: CompileContext, typeUrl: string): CompiledNetworkFilter;
}

// ─── Compilation ────────────────────────────────────────────────────────────────────────────────────────────────

/** google.protobuf.Any with its TypedStruct forms resolved. */
export interface TypedConfig {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Where a piece of configuration is compiled: its place, for errors, and the engine around it. */
export interface CompileContext {
  readonly engine: Engine;
  /** Name of the resource. */
  readonly resource: string;
  readonly path: string;
  /** The same with a longer path: `at('filters[1]')`. */
  at(segment: string): CompileContext;
  /** Throws a ConfigError of this place. */
  fail(reason: string, cause?: unknown): never;
  /**
   * The resource isn't used before the returned function was called (RDS, SDS or EDS has come, or its
   * initial_fetch_timeout passed). Only during compilation.
   */
  warmUp(what: string): () => void;
  /** Of the listener that is being compiled. */
  readonly listener?: ListenerScope;
  /** Of the HTTP connection manager whose filters are compiled: their statistics begin with it (`http.ingress`). */
  readonly statPrefix?: string;
  /** `http_filters[].name` of the filter that is compiled: the key of its per-route configuration. */
  readonly filterName?: string;
}

/** What filters of a listener share. */
export interface ListenerScope {
  readonly name: string;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  readonly bufferLimitBytes: number;
  /** Draining since the listener (or the whole proxy) was asked to; never goes back. */
  readonly drain: DrainSignal;
}

export interface DrainSignal {
  readonly draining: boolean;
  /** Runs the task when draining begins, at once if it has. Returns what forgets it. */
  onDrain(task: () => void): () => void;
}

// ─── The engine's parts, as the others see them ─────────────────────────────────────────────────────────────────

/** What everything compiled may use. One per proxy. */
export interface Engine {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsScope;
  readonly clusters: ClusterManager;
  readonly secrets: SecretProvider;
  readonly routes: RouteProvider;
  readonly endpoints: EndpointProvider;
  readonly internalListeners: InternalListeners;
  readonly node: NodeInfo;
  /** Uniform in [0, 1). */
  random(): number;
  /** The whole proxy drains. */
  readonly drain: DrainSignal;
  httpFilter(typeUrl: string): HttpFilterFactory | undefined;
  networkFilter(typeUrl: string): NetworkFilterFactory | undefined;
  /** Feature flags of the bootstrap's layered runtime. */
  runtime(key: string): MetadataValue | undefined;
  /** Who is behind an address, when the process knows (`Embedding.workloads`). */
  readonly workloads?: WorkloadDirectory;
}

/** The workload API, for peers' names in metrics and logs; never for policy. */
export interface WorkloadDirectory {
  byAddress(ip: string): WorkloadMetadata | undefined;
}
/** What Istio's metrics say of either side; absent fields are printed `unknown` (revision: `latest`). */
export interface WorkloadMetadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly cluster?: string;
  readonly canonicalName?: string;
  readonly canonicalRevision?: string;
  readonly app?: string;
  readonly version?: string;
  /** `spiffe://…` */
  readonly identity?: string;
}

export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: MetadataStruct;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/** Names are Envoy's full names: `cluster.foo.upstream_rq_total`. Handles are kept by their user, not looked up. */
export interface StatsScope {
  counter(name: string, tags?: Readonly<Record<string, string>>): StatCounter;
  gauge(name: string, tags?: Readonly<Record<string, string>>): StatGauge;
  histogram(name: string, tags?: Readonly<Record<string, string>>): StatHistogram;
  /** A scope whose names begin with `prefix.`. */
  scope(prefix: string): StatsScope;
  /** Drops every statistic of this scope: its cluster or listener is gone. */
  remove?(): void;
}
export interface StatCounter {
  add(n?: number): void;
  readonly value: number;
}
export interface StatGauge {
  set(value: number): void;
  add(n?: number): void;
  sub(n?: number): void;
  readonly value: number;
}
export interface StatHistogram {
  record(value: number): void;
}

/** SDS and static secrets. */
export interface SecretProvider {
  /**
   * Calls `onChange` with the secret now (if known) and at each change, later than this call returns never earlier.
   * `name` must be static, or `sds` tells where to ask. Returns what ends the subscription.
   */
  watch(reference: SecretReference, onChange: (secret: Secret) => void, onMissing?: () => void): () => void;
}
export interface SecretReference {
  readonly name: string;
  /** envoy.config.core.v3.ConfigSource bytes; absent: a static secret of the bootstrap. */
  readonly sdsConfig?: Uint8Array;
}
export type Secret =
  | { readonly kind: 'certificate'; readonly chainPem: string; readonly keyPem: string }
  /** Bytes of an extensions.transport_sockets.tls.v3.CertificateValidationContext. */
  | { readonly kind: 'validation'; readonly context: Uint8Array }
  | { readonly kind: 'generic'; readonly value: Buffer };

/** RDS and static route tables, compiled by the HTTP part. */
export interface RouteProvider {
  /** `onChange` gets the bytes of the RouteConfiguration at each version; may throw ConfigError to reject it. */
  watch(o: {
    readonly name: string;
    readonly configSource: Uint8Array;
    readonly check: (routeConfiguration: Uint8Array) => void;
    readonly onChange: (routeConfiguration: Uint8Array) => void;
    readonly onMissing: () => void;
  }): () => void;
}

/** EDS. Like `RouteProvider`, for ClusterLoadAssignment. */
export interface EndpointProvider {
  watch(o: {
    /** service_name of eds_cluster_config, else the cluster's name. */
    readonly name: string;
    readonly configSource: Uint8Array;
    readonly check: (assignment: Uint8Array) => void;
    readonly onChange: (assignment: Uint8Array) => void;
    /** initial_fetch_timeout passed. */
    readonly onMissing: () => void;
  }): () => void;
}

/** Internal listeners by name: what `connect_originate`-like addresses of endpoints lead to. */
export interface InternalListeners {
  /** The client end of a new connection, or undefined when no such listener exists. */
  connect(o: {
    readonly listener: string;
    readonly endpointId: string;
    /** What the new downstream connection begins with. */
    readonly filterState: FilterState;
    readonly dynamicMetadata: Metadata;
    /** The peer that the listener sees. */
    readonly remoteAddress: SocketAddress;
  }): ByteStream | undefined;
}

// ─── Upstream ───────────────────────────────────────────────────────────────────────────────────────────────────

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
