import type { Clock } from '@weft/telemetry';
import type { ByteStream } from '../engine/types.ts';

export interface RelayOptions {
  readonly clock: Clock;
  /** Without a byte in either direction for so long, both ends are closed. 0: never. */
  readonly idleTimeoutMs: number;
  onReceived(bytes: number): void;
  onSent(bytes: number): void;
  /** Once, when both ends are closed. */
  onDone(end: RelayEnd): void;
}

/** Who ended it. An error of one end was passed to the other as a reset. */
export type RelayEnd =
  | { readonly kind: 'ended' }
  | { readonly kind: 'idle' }
  | { readonly kind: 'cut' }
  | { readonly kind: 'failed'; readonly side: 'downstream' | 'upstream'; readonly error: Error };

/**
 * Copies both ways until both ends are closed. A write buffer that is full stops the reading of the other end; a
 * half-close is passed on; a reset of one end resets the other. Takes the handlers of both. Returns what cuts it.
 */
export function relay(downstream: ByteStream, upstream: ByteStream, options: RelayOptions): () => void {
  const { clock, idleTimeoutMs } = options;
  let end: RelayEnd = { kind: 'ended' };
  let open = 2;
  let lastActivity = clock.now();
  let cancelTimer = (): void => undefined;

  const watch = (delayMs: number): void => {
    cancelTimer = clock.schedule(delayMs, () => {
      const idleMs = clock.now() - lastActivity;
      if (idleMs < idleTimeoutMs) return watch(idleTimeoutMs - idleMs);
      end = { kind: 'idle' };
      downstream.close();
      upstream.close();
    });
  };
  const onClose = (side: 'downstream' | 'upstream', other: ByteStream, error: Error | undefined): void => {
    if (error !== undefined && end.kind === 'ended') {
      end = { kind: 'failed', side, error };
      other.reset();
    } else if (!other.closed) other.close();
    if (--open > 0) return;
    cancelTimer();
    options.onDone(end);
  };
  downstream.onData = (chunk) => {
    lastActivity = clock.now();
    options.onReceived(chunk.length);
    if (!upstream.write(chunk)) downstream.pause();
  };
  upstream.onData = (chunk) => {
    lastActivity = clock.now();
    options.onSent(chunk.length);
    if (!downstream.write(chunk)) upstream.pause();
  };
  downstream.onDrain = () => upstream.resume();
  upstream.onDrain = () => downstream.resume();
  downstream.onEnd = () => upstream.end();
  upstream.onEnd = () => downstream.end();
  downstream.onClose = (error) => onClose('downstream', upstream, error);
  upstream.onClose = (error) => onClose('upstream', downstream, error);
  if (idleTimeoutMs > 0) watch(idleTimeoutMs);
  downstream.resume();
  upstream.resume();
  return () => {
    if (open === 0) return;
    end = { kind: 'cut' };
    downstream.reset();
    upstream.reset();
  };
}
