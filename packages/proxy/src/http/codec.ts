import type { ByteStream, HeaderMap } from '../engine/types.ts';

/**
 * The border between bytes and HTTP messages, the same for HTTP/1 and HTTP/2, for servers and clients. A codec owns
 * the callbacks of its `ByteStream`; it never throws for what a peer did, and calls nothing back after `onClose`.
 *
 *   ByteStream ──► codec ──► MessageReceiver (one per stream)
 *   ByteStream ◄── codec ◄── HttpStream
 *
 * Upgrades travel as `upgrade` + `connection: upgrade` in either version: the HTTP/2 codecs translate from and to
 * extended CONNECT (RFC 8441). After a 101, or a 2xx to CONNECT, data is raw bytes and `end` is a half-close.
 */
export type HttpProtocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** Why a stream ended before its message did. */
export type StreamResetReason =
  /** The peer sent RST_STREAM. */
  | 'remote-reset'
  /** RST_STREAM REFUSED_STREAM or GOAWAY below the stream: the peer never processed it. */
  | 'remote-refused-stream'
  /** RST_STREAM CONNECT_ERROR: the other end of a tunnel was reset. */
  | 'connect-error'
  /** This side gave the stream up. */
  | 'local-reset'
  /** The connection under the stream ended. */
  | 'connection-termination'
  /** The peer broke the protocol. */
  | 'protocol-error';

export interface StreamReset {
  readonly reason: StreamResetReason;
  /** Response code details, as `http1.codec_error`. */
  readonly details?: string;
  readonly cause?: Error;
}

/** Gets one message: the request at a server, the response at a client. No method may throw. */
export interface MessageReceiver {
  /** The head. At a client: the final one, 101 included. */
  onHeaders(headers: HeaderMap, endStream: boolean): void;
  /** The chunk belongs to the receiver. The last call may have an empty chunk. */
  onData(chunk: Buffer, endStream: boolean): void;
  /** Ends the message. */
  onTrailers(trailers: HeaderMap): void;
  /** The stream is gone in both directions; nothing follows. Not called for this side's own `reset`. */
  onReset(reset: StreamReset): void;
  /** After `sendData` returned false: there is room again. */
  onDrain(): void;
}

/** Sends one message, and steers the one that is received. Calls on a stream that is gone do nothing. */
export interface HttpStream {
  readonly protocol: HttpProtocol;
  /** Bytes taken and not yet given to the transport. */
  readonly bufferedBytes: number;
  sendHeaders(headers: HeaderMap, endStream: boolean): void;
  /** The chunk belongs to the codec. False: stop until `onDrain`; the chunk is taken all the same. */
  sendData(chunk: Buffer, endStream: boolean): boolean;
  sendTrailers(trailers: HeaderMap): void;
  /** Ends the stream in both directions. HTTP/1 closes the connection. */
  reset(reason: 'cancel' | 'refused' | 'internal-error' | 'protocol-error' | 'connect-error'): void;
  /** Stops `onData`, and, through flow control, the peer. At most one window (HTTP/2) or chunk (HTTP/1) comes yet. */
  pause(): void;
  resume(): void;
}

export interface HttpServerStream extends HttpStream {
  /** An interim response: 100, 103. */
  sendInterim(headers: HeaderMap): void;
}

/** A request that the codec refuses. The user answers it with a local reply; the codec closes what must be closed. */
export interface BadRequest {
  readonly status: 400 | 426 | 431 | 501 | 404;
  /** `http1.content_length_and_chunked_not_allowed` and its kin. */
  readonly details: string;
  /** What was read of the request, for the access log. */
  readonly headers?: HeaderMap;
}

export interface HttpServerEvents {
  /** A request begins; its head comes to the receiver before anything else happens. */
  onStream(stream: HttpServerStream): MessageReceiver;
  /** A request that can't be served: answer on `stream`. */
  onBadRequest(stream: HttpServerStream, error: BadRequest): void;
  /** No stream is open (any more), or the first of several is: for idle timers. */
  onActiveStreams(count: number): void;
  /**
   * Once, last. `protocolError` holds the details when the peer broke the protocol outside of any one request (a flood,
   * say). Streams got `onReset` before.
   */
  onClose(end: { readonly protocolError?: string; readonly error?: Error }): void;
}

export interface HttpServerCodec {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly activeStreams: number;
  /** No new streams: HTTP/1 says `connection: close` on the next response, HTTP/2 sends GOAWAY. Closes when idle. */
  drain(): void;
  /** Ends the connection after what was sent has left; streams are reset. */
  close(): void;
}

export interface HttpClientEvents {
  /** A place for a stream became free, or the peer changed its limit: ask `canOpen`. */
  onCapacity(): void;
  /** No new streams here (GOAWAY, `connection: close`); the open ones go on. */
  onDraining(): void;
  /** Once, last. Streams got `onReset` before. */
  onClose(end: { readonly protocolError?: string; readonly error?: Error }): void;
}

export interface ResponseReceiver extends MessageReceiver {
  /** 100 (when `proxy100Continue`), 102, 103. */
  onInterim(headers: HeaderMap): void;
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
  /** @returns undefined when `canOpen` is false. */
  openStream(receiver: ResponseReceiver): HttpStream | undefined;
  /** No new streams; closes when the last one ends. */
  drain(): void;
  /** Ends the connection; streams get `onReset` with `connection-termination`. */
  close(error?: Error): void;
}

/** Options of both versions' codecs; each takes what it knows. */
export interface HttpCodecOptions {
  /** Largest head, in KiB. 60 unless told. */
  readonly maxHeadersKb?: number;
  readonly maxHeaders?: number;
  /** Where `sendData` says false and receiving pauses. */
  readonly bufferLimitBytes?: number;
  readonly headerKeyFormat?: 'lower-case' | 'proper-case' | 'preserve-case';
  readonly acceptHttp10?: boolean;
  readonly defaultHostForHttp10?: string;
  readonly enableTrailers?: boolean;
  readonly allowChunkedLength?: boolean;
  readonly underscores?: 'allow' | 'reject-request' | 'drop-header';
  /** HTTP/2: extended CONNECT. CONNECT itself is always decoded. */
  readonly allowConnect?: boolean;
  readonly maxConcurrentStreams?: number;
  readonly initialStreamWindowBytes?: number;
  readonly initialConnectionWindowBytes?: number;
  /** HTTP/2: a malformed message costs its stream, not the connection. */
  readonly streamErrorOnInvalidMessage?: boolean;
  readonly keepalive?: { readonly intervalMs: number; readonly timeoutMs: number };
}

export type CreateServerCodec = (
  connection: ByteStream,
  events: HttpServerEvents,
  options?: HttpCodecOptions,
) => HttpServerCodec;
export type CreateClientCodec = (
  connection: ByteStream,
  events: HttpClientEvents,
  options?: HttpCodecOptions,
) => HttpClientCodec;
