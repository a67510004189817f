import type { SocketAddress } from './address.ts';
import type { FilterState } from './filter-state.ts';
import type { Metadata } from './metadata.ts';

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
