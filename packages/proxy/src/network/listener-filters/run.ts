import type { Clock } from '@weft/telemetry';
import type { AcceptedStream } from '../socket-stream.ts';
import type { ListenerFilter } from './listener-filter.ts';

/** What inspectors may look at before they have to decide. */
export const MAX_INSPECTED_BYTES = 64 * 1024;

export type ListenerFilterOutcome =
  | { readonly kind: 'passed' }
  /** The client was gone before it was clear what it wanted. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'rejected'; readonly filter: string; readonly reason: string };

/** A listener filter, and for which connections it is left out. */
export interface ConditionalFilter {
  readonly filter: ListenerFilter;
  readonly disabledFor: (connection: AcceptedStream) => boolean;
}

/**
 * Runs listener filters one after the other, reading only as much as they ask for; what they didn't consume is put
 * back. Exactly one call of `done`, possibly before this returns; the connection is paused and unread then. Returns
 * what gives up: `done` isn't called then.
 */
export function runListenerFilters(o: {
  readonly connection: AcceptedStream;
  readonly filters: readonly ConditionalFilter[];
  /** 0: none. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly done: (outcome: ListenerFilterOutcome) => void;
}): () => void {
  const { connection, filters } = o;
  let bytes: Buffer = Buffer.alloc(0);
  let ended = false;
  let reading = false;
  let next = 0;
  let finished = false;
  let cancelTimer: () => void = () => undefined;

  const finish = (outcome: ListenerFilterOutcome): void => {
    if (finished) return;
    stop();
    o.done(outcome);
  };
  const stop = (): void => {
    finished = true;
    cancelTimer();
    if (!reading) return;
    connection.pause();
    connection.onData = () => undefined;
    connection.onEnd = () => undefined;
    connection.onClose = () => undefined;
    connection.unread(bytes);
  };
  const step = (): void => {
    while (!finished) {
      const entry = filters[next];
      if (entry === undefined) return finish({ kind: 'passed' });
      if (entry.disabledFor(connection)) {
        next++;
        continue;
      }
      const final = ended || bytes.length >= MAX_INSPECTED_BYTES;
      const verdict = entry.filter.inspect({ connection, bytes, final });
      if (verdict.kind === 'need-more' && !final) return read();
      if (verdict.kind === 'reject') {
        return finish({ kind: 'rejected', filter: entry.filter.name, reason: verdict.reason });
      }
      if (verdict.kind === 'continue' && verdict.consumedBytes !== undefined) {
        bytes = bytes.subarray(verdict.consumedBytes);
      }
      next++;
    }
  };
  const read = (): void => {
    if (reading) return;
    reading = true;
    connection.onData = (chunk) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      step();
    };
    connection.onEnd = () => {
      ended = true;
      step();
    };
    connection.onClose = () => {
      bytes = Buffer.alloc(0);
      finish({ kind: 'gone' });
    };
    if (o.timeoutMs > 0) {
      cancelTimer = o.clock.schedule(o.timeoutMs, () => finish({ kind: 'timeout' }));
    }
    connection.resume();
  };
  step();
  return () => {
    if (!finished) stop();
  };
}
