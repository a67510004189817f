import { WeftError } from '@weft/telemetry/errors';
import type { CancelSignal } from './cancellation.ts';
import { ErrorCode, errorCodeName } from '../http2/constants.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import type { ResponseHead } from '../http2/message-head.ts';
import type { HeaderFields } from './connect-request.ts';
import type { SessionStream } from './session-stream.ts';
import type { StreamClose } from './tunnel-stream.ts';

/** The destination answered a CONNECT with something other than 200. */
export class ConnectRefusedError extends WeftError {
  readonly status: number;

  constructor(status: number, authority: string, target: string) {
    super('WEFT1206', `${target} answered CONNECT ${authority} with ${status}`);
    this.status = status;
  }
}

export type ConnectOutcome =
  | { readonly kind: 'answered'; readonly head: ResponseHead }
  | { readonly kind: 'closed'; readonly close: StreamClose }
  | { readonly kind: 'aborted'; readonly reason: unknown };

/** `:method` and `:authority` only: peers take `:scheme` or `:path` for malformed (RFC 9113 §8.5). */
export function connectFields(authority: string, headers: HeaderFields): FlatFields {
  return [':method', 'CONNECT', ':authority', authority, ...Object.entries(headers).flat()];
}

/** Waits for the answer; an abort resets the stream. */
export function responseOf(stream: SessionStream, signal: CancelSignal | undefined): Promise<ConnectOutcome> {
  return new Promise((resolve) => {
    const onAbort = (): void => {
      stream.response = undefined;
      stream.reset(ErrorCode.CANCEL);
      resolve({ kind: 'aborted', reason: abortReason(signal) });
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (outcome: ConnectOutcome): void => {
      signal?.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const { closeReason } = stream;
    if (closeReason !== undefined) {
      settle({ kind: 'closed', close: closeReason });
      return;
    }
    stream.response = {
      onResponse: (head) => settle({ kind: 'answered', head }),
      onFailed: (close) => settle({ kind: 'closed', close }),
    };
  });
}

/**
 * Whether a CONNECT may be sent again. REFUSED_STREAM (GOAWAY too) says that nothing happened; after a lost
 * connection no byte of the application has gone yet, because the client waits for 200.
 */
export function isUnprocessed(close: StreamClose): boolean {
  return close.kind === 'lost' || (close.kind === 'reset' && close.code === ErrorCode.REFUSED_STREAM);
}

export function closeError(close: StreamClose, authority: string, target: string): WeftError {
  if (close.kind === 'lost')
    return new WeftError('WEFT1207', `CONNECT ${authority} by ${target}`, { cause: close.error });
  const how = close.kind === 'reset' ? errorCodeName(close.code) : 'ended';
  return new WeftError('WEFT1212', `CONNECT ${authority} by ${target}: ${how}`);
}

/** A coded error stays what it is. */
export function dialError(error: unknown, target: string): WeftError {
  if (WeftError.is(error)) return error;
  if (isTimeout(error)) return new WeftError('WEFT1205', `connecting to ${target}`, { cause: error });
  return new WeftError('WEFT1209', `connecting to ${target}`, { cause: error });
}

export function abortReason(signal: CancelSignal | undefined): unknown {
  return signal?.reason ?? new WeftError('WEFT1212', 'aborted');
}

/** By name or code: under jest, core errors are of another realm. */
function isTimeout(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  return (
    ('name' in error && error.name === 'TimeoutError') || ('code' in error && error.code === 'ETIMEDOUT')
  );
}
