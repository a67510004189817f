import { Duplex } from 'node:stream';
import { ErrorCode, errorCodeName } from '../http2/constants.ts';
import { isCleanEnd, type StreamClose, type TunnelStream } from './tunnel-stream.ts';

/** A Node stream over a tunnel, for what needs one: TLS inside a tunnel, and tests. */
export function streamDuplex(stream: TunnelStream): Duplex {
  let pendingWrite: ((error?: Error | null) => void) | undefined;
  const settleWrite = (error?: Error): void => {
    const callback = pendingWrite;
    pendingWrite = undefined;
    callback?.(error);
  };
  let finished = false;
  let peerEnded = false;
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => stream.resume(),
    write: (chunk: Buffer, _encoding, callback) => {
      if (stream.write(chunk)) callback();
      else if (stream.closed) callback(new Error('the tunnel is closed'));
      else pendingWrite = callback;
    },
    final: (callback) => {
      finished = true;
      stream.end();
      callback();
    },
    destroy: (error, callback) => {
      // After a regular end in both directions Node destroys by itself, and the last frames may still be under way.
      const regular = error === null && finished && peerEnded;
      if (!stream.closed && !regular)
        stream.reset(error === null ? ErrorCode.CANCEL : ErrorCode.INTERNAL_ERROR);
      callback(error);
    },
  });
  stream.attach({
    onData: (chunk) => {
      if (!duplex.push(chunk)) stream.pause();
    },
    onEnd: () => {
      peerEnded = true;
      duplex.push(null);
    },
    onDrain: () => settleWrite(),
    onClose: (close) => {
      settleWrite(close.kind === 'ended' ? undefined : closeError(close));
      if (close.kind === 'ended') return;
      if (isCleanEnd(close)) duplex.push(null);
      else duplex.destroy(closeError(close));
    },
  });
  return duplex;
}

function closeError(close: StreamClose): Error {
  if (close.kind === 'lost') return close.error;
  return new Error(
    close.kind === 'reset' ? `tunnel reset: ${errorCodeName(close.code)}` : 'the tunnel is closed',
  );
}
