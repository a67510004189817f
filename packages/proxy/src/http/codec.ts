import type { HeaderMap } from '../engine/types.ts';

/**
 * The border between bytes and HTTP messages, the same for HTTP/1 and HTTP/2, for servers and clients. A codec owns
 * the callbacks of its `ByteStream`, resumes it, and never throws for what a peer did.
 *
 *   ByteStream ──► codec ──► HttpStreamEvents (one per stream)
 *   ByteStream ◄── codec ◄── HttpStream
 *
 * Upgrades look the same in both versions: a request with `headers.protocol` (and method GET), answered by status 101.
 * The HTTP/2 codecs translate from and to extended CONNECT (RFC 8441). After a 101, or a 2xx to CONNECT, data are raw
 * bytes and their end is a half-close.
 */
export type HttpProtocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** Why a stream ended early. */
export type ResetReason =
  /** This side gave the stream up. */
  | 'local-reset'
  /** The peer sent RST_STREAM. */
  | 'remote-reset'
  /** The peer never processed the stream: RST_STREAM REFUSED_STREAM, or GOAWAY below it. */
  | 'refused-stream'
  /** The connection under the stream ended. */
  | 'connection-termination'
  /** The peer broke the protocol. */
  | 'protocol-error'
  /** RST_STREAM CONNECT_ERROR: the far end of a tunnel was reset. */
  | 'connect-error'
  | 'overflow';

/** One exchange of messages, as its user sends. Calls on a stream that is gone do nothing. */
export interface HttpStream {
  /** Bytes taken and not yet given to the transport. */
  readonly writableLength: number;
  sendHeaders(headers: HeaderMap, endStream: boolean): void;
  /** Takes the chunk always; false asks to wait for `onDrain`. */
  sendData(chunk: Buffer, endStream: boolean): boolean;
  sendTrailers(trailers: HeaderMap): void;
  /** Server: 100, 103. */
  sendInformational(headers: HeaderMap): void;
  /** Ends both directions; nothing is called back. HTTP/1 closes the connection. */
  reset(reason: ResetReason): void;
  /** Stops `onData`, and, through flow control, the peer. */
  pauseReading(): void;
  resumeReading(): void;
}

/** What arrives on a stream: a request at a server, a response at a client. No method may throw. */
export interface HttpStreamEvents {
  /** Client: 1xx other than 101. */
  onInformational?(headers: HeaderMap): void;
  onHeaders(headers: HeaderMap, endStream: boolean): void;
  /** The chunk belongs to the receiver. The last one may be empty. */
  onData(chunk: Buffer, endStream: boolean): void;
  /** Ends the message. */
  onTrailers(trailers: HeaderMap): void;
  /**
   * The stream is gone in both directions; nothing follows. Comes at a server until its response is sent, at a client
   * until the response is received; not for this side's own `reset`.
   */
  onReset(reason: ResetReason, details?: string): void;
  /** After `sendData` returned false: there is room again. */
  onDrain(): void;
}

export interface HttpServerStream extends HttpStream {
  readonly protocol: HttpProtocol;
  /** HTTP/1: the response will be the connection's last. */
  endConnection?(): void;
}

/** A request that the codec refuses. The user answers it with a local reply; the codec closes what must be closed. */
export interface BadRequest {
  readonly status: 400 | 404 | 408 | 426 | 431 | 501;
  /** `http1.content_length_and_chunked_not_allowed` and its kin. */
  readonly details: string;
  /** What was read of the request, for the access log. */
  readonly headers?: HeaderMap;
}

/** How a connection ended. `protocolError`: details, when the peer broke the protocol outside of any request. */
export interface ConnectionEnd {
  readonly protocolError?: string;
  readonly error?: Error;
}

export interface HttpServerEvents {
  /** A request begins; its head comes to the returned receiver next, before anything else happens. */
  onStream(stream: HttpServerStream): HttpStreamEvents;
  /** A request that can't be served: answer on `stream`. */
  onBadRequest(stream: HttpServerStream, error: BadRequest): void;
  /** The first bytes of a head are there, the rest isn't. `onStream`, `onBadRequest` or `onHeadEnd` follows. */
  onHeadBegin?(): void;
  /** HTTP/2: the head is complete. It may have been refused, or trailers. */
  onHeadEnd?(): void;
  /** The number of open streams changed: for idle timers and draining. */
  onActiveStreams(count: number): void;
  /** Once, last. Streams got `onReset` before. */
  onClose(end: ConnectionEnd): void;
}

export interface HttpServerCodec {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly activeStreams: number;
  /** No new streams: HTTP/1 says `connection: close` on the next response, HTTP/2 sends GOAWAY. Closes when idle. */
  drain(): void;
  /** Ends the connection after what was sent has left; streams are reset. */
  close(): void;
  /** Gives up a head that doesn't come to its end. HTTP/1: `onBadRequest` with 408 follows. HTTP/2: it's the end. */
  refuseHead?(): void;
}

export interface HttpClientEvents {
  /** A place for a stream became free, or the peer changed its limit: ask `canOpen`. */
  onCapacity(): void;
  /** No new streams here (GOAWAY, `connection: close`); the open ones go on. */
  onDraining(): void;
  /** Once, last. Streams got `onReset` before. */
  onClose(end: ConnectionEnd): void;
}

export interface HttpClientCodec {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly activeStreams: number;
  /** HTTP/1: 1. HTTP/2: the lower of both sides' limits. */
  readonly maxConcurrentStreams: number;
  /** Whether `openStream` works now. */
  readonly canOpen: boolean;
  /** True until the connection drains or closes. */
  readonly usable: boolean;
  /** @returns undefined when `canOpen` is false. The events come later than this call. */
  openStream(events: HttpStreamEvents): HttpStream | undefined;
  /** No new streams; closes when the last one ends. */
  drain(): void;
  /** Ends the connection; streams get `onReset` with `connection-termination`. */
  close(error?: Error): void;
}

/**
 * How HTTP/1 spells the names of fields that it sends. 'preserve-case' is for what is received: it is remembered, and
 * spelled the same by whatever codec sends it on.
 */
export type HeaderKeyFormat = 'lower-case' | 'proper-case' | 'preserve-case';

/** Options of both versions' codecs; each takes what it knows. */
export interface HttpCodecOptions {
  /** Largest head, in KiB. 60 unless told. */
  readonly maxHeadersKb?: number;
  /** Header lines. 100 unless told. */
  readonly maxHeaders?: number;
  /** Bytes waiting at which `sendData` says false. 1 MiB unless told. */
  readonly bufferLimitBytes?: number;
  readonly headerKeyFormat?: HeaderKeyFormat;
  readonly acceptHttp10?: boolean;
  readonly defaultHostForHttp10?: string;
  /** HTTP/1: trailers are received and sent; otherwise dropped. False unless told. */
  readonly enableTrailers?: boolean;
  /** content-length beside chunked: transfer-encoding wins, content-length is dropped. */
  readonly allowChunkedLength?: boolean;
  readonly underscores?: 'allow' | 'reject-request' | 'drop-header';
  /** HTTP/2: extended CONNECT. CONNECT itself is always decoded. */
  readonly allowConnect?: boolean;
  readonly maxConcurrentStreams?: number;
  readonly initialStreamWindowBytes?: number;
  readonly initialConnectionWindowBytes?: number;
  /** A malformed message costs its stream, not the connection. */
  readonly streamErrorOnInvalidMessage?: boolean;
  readonly keepalive?: { readonly intervalMs: number; readonly timeoutMs: number };
}
