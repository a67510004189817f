import type { Socket } from 'node:net';
import { resetSocket } from '@weft/linux';
import type { CancelSignal } from './cancellation.ts';
import { ErrorCode } from '../http2/constants.ts';
import { ReactorSocket } from './reactor/reactor-socket.ts';
import { isCleanEnd, type TunnelStream } from './tunnel-stream.ts';

/** Bytes moved so far, as seen from the downstream end: received from it, sent to it. */
export interface ByteCounts {
  received: number;
  sent: number;
}

export type EndName = 'downstream' | 'upstream';

/** What a relay tells while it runs. */
export interface RelayRecord extends ByteCounts {
  /** The end whose failure ended it; a relay that was aborted has none. */
  failedEnd?: EndName | undefined;
}

/** How an end closed. `gone`: the peer wants nothing more, in either direction, and calls that regular. */
type EndClose =
  | { readonly kind: 'ended' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly error: unknown };

export interface EndHandler {
  onData(chunk: Buffer): void;
  onEnd(): void;
  onDrain(): void;
  /** Once, and last. */
  onClose(close: EndClose): void;
}

/** One end of a relay: an application's socket or a tunnel. */
export interface RelayEnd {
  /** What it gives to `onData` is gone after the call. */
  readonly lends: boolean;
  attach(handler: EndHandler): void;
  /** Takes the chunk, which must not change any more. False: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** The same for a chunk that is only good during the call. */
  writeLent(chunk: Buffer): boolean;
  end(): void;
  /** Delivers what was written, then closes both directions. */
  finish(): void;
  pause(): void;
  resume(): void;
  /** Ends at once, so that the peer can tell it from a regular end. */
  abort(): void;
}

/**
 * Copies both ways until both ends are closed, each direction at its own pace and with half-close. Resolves
 * after a regular end; rejects with the first failure, or the signal's reason, when the other end has been
 * aborted too.
 */
export function relay(
  downstream: RelayEnd,
  upstream: RelayEnd,
  counts: RelayRecord,
  signal: CancelSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: { readonly error: unknown } | undefined;
    let open = 2;
    const fail = (error: unknown): void => {
      if (failure !== undefined) return;
      failure = { error };
      downstream.abort();
      upstream.abort();
    };
    const cut = (): void => fail(signal.reason);
    const onClose = (end: EndName, other: RelayEnd, close: EndClose): void => {
      if (close.kind === 'failed') {
        if (failure === undefined) counts.failedEnd = end;
        fail(close.error);
      }
      if (close.kind === 'gone') other.finish();
      if (--open > 0) return;
      signal.removeEventListener('abort', cut);
      if (failure === undefined) resolve();
      else reject(failure.error);
    };
    const isLentUp = downstream.lends;
    const isLentDown = upstream.lends;
    signal.addEventListener('abort', cut, { once: true });
    downstream.attach({
      onData: (chunk) => {
        counts.received += chunk.length;
        const isTaken = isLentUp ? upstream.writeLent(chunk) : upstream.write(chunk);
        if (!isTaken) downstream.pause();
      },
      onEnd: () => upstream.end(),
      onDrain: () => upstream.resume(),
      onClose: (close) => onClose('downstream', upstream, close),
    });
    upstream.attach({
      onData: (chunk) => {
        counts.sent += chunk.length;
        const isTaken = isLentDown ? downstream.writeLent(chunk) : downstream.write(chunk);
        if (!isTaken) upstream.pause();
      },
      onEnd: () => downstream.end(),
      onDrain: () => downstream.resume(),
      onClose: (close) => onClose('upstream', downstream, close),
    });
    if (signal.aborted) cut();
  });
}

/** A TCP socket with `allowHalfOpen`, paused or not yet read. */
export function socketEnd(socket: Socket | ReactorSocket): RelayEnd {
  if (socket instanceof ReactorSocket) return socket;
  return {
    lends: false,
    attach: (handler) => {
      let error: unknown;
      socket.on('error', (e) => (error ??= e));
      socket.on('data', (chunk: Buffer) => handler.onData(chunk));
      socket.on('drain', () => handler.onDrain());
      socket.on('end', () => handler.onEnd());
      // What happened while nobody listened: an empty socket ends even when it is not read.
      if (socket.readableEnded) queueMicrotask(() => handler.onEnd());
      const closed = (): void => {
        const isRegular = socket.readableEnded && socket.writableFinished;
        if (error === undefined && isRegular) handler.onClose({ kind: 'ended' });
        else handler.onClose({ kind: 'failed', error: error ?? new Error('closed before its end') });
      };
      if (socket.closed) queueMicrotask(closed);
      else socket.once('close', closed);
      socket.resume();
    },
    // After its end or destruction a write would be an error event; what can't be delivered is dropped.
    write: (chunk) => !socket.writable || socket.write(chunk),
    writeLent: (chunk) => !socket.writable || socket.write(Buffer.from(chunk)),
    end: () => void socket.end(),
    finish: () => socket.destroySoon(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    abort: () => resetSocket(socket),
  };
}

export function tunnelEnd(stream: TunnelStream): RelayEnd {
  return {
    lends: stream.lends,
    attach: (handler) => {
      stream.attach({
        takesLoans: true,
        onData: (chunk) => handler.onData(chunk),
        onEnd: () => handler.onEnd(),
        onDrain: () => handler.onDrain(),
        onClose: (close) => {
          if (close.kind === 'ended') return handler.onClose({ kind: 'ended' });
          if (close.kind === 'lost') return handler.onClose({ kind: 'failed', error: close.error });
          if (isCleanEnd(close)) return handler.onClose({ kind: 'gone' });
          handler.onClose({ kind: 'failed', error: tunnelReset(close.by, close.code) });
        },
      });
    },
    write: (chunk) => stream.closed || stream.write(chunk),
    writeLent: (chunk) => stream.closed || stream.writeLent(chunk),
    end: () => stream.end(),
    finish: () => stream.end(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    abort: () => stream.reset(BEHIND_FAILED),
  };
}

/** RFC 9113 §8.5: how an endpoint says that the TCP connection behind a tunnel failed. */
const BEHIND_FAILED = ErrorCode.CONNECT_ERROR;

function tunnelReset(by: 'peer' | 'local', code: number): Error {
  return new Error(`tunnel reset by ${by} with code ${code}`);
}

/** What one end of a tunnel hears when the connection behind its other end has failed. */
export function failedBehindTunnel(): Error {
  return tunnelReset('peer', BEHIND_FAILED);
}
