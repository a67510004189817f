import { CloseSignal } from '../../engine/close-signal.ts';
import type { ByteStream, ConnectionInfo } from '../../engine/types.ts';
import type { ClusterStats } from '../cluster-stats.ts';

/** An upstream connection whose bytes and end are counted; otherwise the stream it wraps. */
export class ObservedStream implements ByteStream {
  onData: (chunk: Buffer) => void = nothing;
  onDrain: () => void = nothing;
  onEnd: () => void = nothing;
  private readonly closing = new CloseSignal();
  private readonly inner: ByteStream;
  private readonly stats: ClusterStats;
  private endedHere = false;

  /** `onFinished` comes once, before `onClose`; `side` is who ended the connection first. */
  constructor(inner: ByteStream, stats: ClusterStats, onFinished: (side: 'local' | 'remote') => void) {
    this.inner = inner;
    this.stats = stats;
    inner.onData = (chunk) => {
      stats.cxRxBytes.add(chunk.length);
      this.onData(chunk);
    };
    inner.onDrain = () => this.onDrain();
    inner.onEnd = () => this.onEnd();
    inner.onClose = (error) => {
      onFinished(this.endedHere ? 'local' : 'remote');
      this.closing.fire(error);
    };
  }

  set onClose(handler: (error?: Error) => void) {
    this.closing.handler = handler;
  }
  get onClose(): (error?: Error) => void {
    return this.closing.handler;
  }

  get info(): ConnectionInfo {
    return this.inner.info;
  }

  get writableLength(): number {
    return this.inner.writableLength;
  }

  get closed(): boolean {
    return this.inner.closed;
  }

  write(chunk: Buffer): boolean {
    this.stats.cxTxBytes.add(chunk.length);
    return this.inner.write(chunk);
  }

  end(): void {
    this.inner.end();
  }

  reset(): void {
    this.endedHere = true;
    this.inner.reset();
  }

  close(): void {
    this.endedHere = true;
    this.inner.close();
  }

  pause(): void {
    this.inner.pause();
  }

  resume(): void {
    this.inner.resume();
  }
}

function nothing(): void {
  // Until the owner sets its handlers.
}
