import type { CompileContext } from './compile-context.ts';
import type { HeaderMap } from './header-map.ts';
import type { ResponseFlag, RouteInfo, StreamInfo } from './stream-info.ts';

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
  /**
   * For a filter that stops at the headers: `done` is given the body as soon as it is complete, or its first
   * `limitBytes` when there is more. Nothing passes until `continueRequest`.
   */
  peekRequestBody(limitBytes: number, done: (body: Buffer, complete: boolean) => void): void;
  /** Forgets the chosen route: the next look at it matches anew with the headers and metadata of now. */
  clearRouteCache(): void;
  /** The route for the headers as they are now, undefined if none. */
  route(): RouteInfo | undefined;
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
