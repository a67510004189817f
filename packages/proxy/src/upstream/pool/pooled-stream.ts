import type { HeaderMap } from '../../engine/types.ts';
import type { HttpStream, HttpStreamEvents, ResetReason } from '../../http/codec.ts';

/** How an exchange on a pooled connection ended. */
export type ExchangeEnd = 'complete' | 'local-reset' | 'remote-reset' | 'connection-lost';

/**
 * A request on a pooled connection: hands everything through, and notices when the exchange is over, which is what
 * circuit breakers and load balancing count.
 *
 *   open ──both directions ended──► over
 *     └── reset from either side ──► over
 */
export class PooledStream implements HttpStream, HttpStreamEvents {
  /** The codec's stream; set right after it exists. */
  codecStream: HttpStream | undefined;
  /** Who asked for the stream. */
  user: HttpStreamEvents | undefined;
  private readonly onOver: (end: ExchangeEnd) => void;
  private sent = false;
  private received = false;
  private over = false;

  constructor(onOver: (end: ExchangeEnd) => void) {
    this.onOver = onOver;
  }

  get writableLength(): number {
    return this.codecStream?.writableLength ?? 0;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    this.codecStream?.sendHeaders(headers, endStream);
    if (endStream) this.requestEnded();
  }

  sendData(chunk: Buffer, endStream: boolean): boolean {
    const more = this.codecStream?.sendData(chunk, endStream) ?? true;
    if (endStream) this.requestEnded();
    return more;
  }

  sendTrailers(trailers: HeaderMap): void {
    this.codecStream?.sendTrailers(trailers);
    this.requestEnded();
  }

  sendInformational(headers: HeaderMap): void {
    this.codecStream?.sendInformational(headers);
  }

  reset(reason: ResetReason): void {
    this.codecStream?.reset(reason);
    this.finish('local-reset');
  }

  pauseReading(): void {
    this.codecStream?.pauseReading();
  }

  resumeReading(): void {
    this.codecStream?.resumeReading();
  }

  onInformational(headers: HeaderMap): void {
    this.user?.onInformational?.(headers);
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (endStream) this.responseEnded();
    this.user?.onHeaders(headers, endStream);
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (endStream) this.responseEnded();
    this.user?.onData(chunk, endStream);
  }

  onTrailers(trailers: HeaderMap): void {
    this.responseEnded();
    this.user?.onTrailers(trailers);
  }

  onReset(reason: ResetReason, details?: string): void {
    this.finish(reason === 'connection-termination' ? 'connection-lost' : 'remote-reset');
    this.user?.onReset(reason, details);
  }

  onDrain(): void {
    this.user?.onDrain();
  }

  /** The connection is gone, whatever the codec said of this stream. */
  abandon(): void {
    this.finish('connection-lost');
  }

  private requestEnded(): void {
    this.sent = true;
    if (this.received) this.finish('complete');
  }

  private responseEnded(): void {
    this.received = true;
    if (this.sent) this.finish('complete');
  }

  private finish(end: ExchangeEnd): void {
    if (this.over) return;
    this.over = true;
    this.onOver(end);
  }
}
