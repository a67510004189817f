import type { Duplex } from 'node:stream';
import { ErrorCode } from '../http2/constants.ts';

/** How a stream ended. */
export type StreamClose =
  /** Both sides sent END_STREAM. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'reset'; readonly code: number; readonly by: 'peer' | 'local' }
  /** The connection broke under it. */
  | { readonly kind: 'lost'; readonly error: Error };

/** The user of a tunnel. No method may throw. */
export interface TunnelStreamHandler {
  /** `onData` is content with a chunk that is gone after the call, if the stream `lends`. */
  readonly takesLoans?: boolean;
  /** The chunk is the handler's from now on, unless it takes loans. To slow the peer down, call `pause()`. */
  onData(chunk: Buffer): void;
  /** The peer finished its direction. */
  onEnd(): void;
  /** After `write` returned false: there is room again. */
  onDrain(): void;
  /** Once, and last. */
  onClose(close: StreamClose): void;
}

/**
 * One CONNECT tunnel: bytes both ways, half-close both ways. Not a `Duplex`, whose per-chunk cost is most of what
 * JavaScript spends on a tunnel; `toDuplex()` makes one where that doesn't matter.
 */
export interface TunnelStream {
  readonly id: number;
  readonly closed: boolean;
  /** What it gives to a handler that takes loans is gone after the call. */
  readonly lends: boolean;
  /** Payload bytes that the peer sent and this side's handler got. */
  readonly bytesReceived: number;
  /** Payload bytes that left for the peer. */
  readonly bytesSent: number;
  /** Sets the user and starts the flow; until then, bytes wait within the stream's window. */
  attach(handler: TunnelStreamHandler): void;
  /** Takes the chunk, which must not be changed any more. False: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** The same for a chunk that is only good during the call. */
  writeLent(chunk: Buffer): boolean;
  /** Finishes this direction after what was written. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Aborts both directions. The handler's `onClose` follows. */
  reset(code?: number): void;
  /** Attaches a `Duplex` (with `allowHalfOpen`) in place of a handler. */
  toDuplex(): Duplex;
}

/** RST_STREAM with NO_ERROR or CANCEL reads as an end of file (ztunnel does the same). */
export function isCleanEnd(close: StreamClose): boolean {
  return (
    close.kind === 'ended' ||
    (close.kind === 'reset' &&
      close.by === 'peer' &&
      (close.code === ErrorCode.NO_ERROR || close.code === ErrorCode.CANCEL))
  );
}
