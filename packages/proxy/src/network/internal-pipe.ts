import { CloseSignal } from '../engine/close-signal.ts';
import type { ConnectionInfo } from '../engine/types.ts';
import { LINGER_MS, type AcceptedStream } from './socket-stream.ts';

const nothing = (): void => undefined;

/** The buffer of one direction where `internal_listener.buffer_size_kb` says nothing. */
export const DEFAULT_PIPE_BYTES = 1024 * 1024;

/** What a peer sees that still wrote when the other end was gone. */
class PipeResetError extends Error {
  readonly code = 'ECONNRESET';
  constructor() {
    super('internal connection reset by its other end');
    this.name = 'PipeResetError';
  }
}

/**
 * One end of an internal connection: two queues in memory between a cluster and an internal listener. Like a TCP
 * connection it has half-close, reset and a bounded buffer; delivery is always later than the call that causes it.
 *
 *   open ──both ends ended and all delivered──► closed
 *     └──reset or linger over──► closed (the other end gets ECONNRESET)
 */
export class PipeEnd implements AcceptedStream {
  readonly info: ConnectionInfo;
  onData: (chunk: Buffer) => void = nothing;
  onDrain: () => void = nothing;
  onEnd: () => void = nothing;
  private readonly closing = new CloseSignal();
  /** Set once, by `createPipe`. */
  private other: PipeEnd | undefined;
  private readonly capacityBytes: number;
  private readonly inbox: Buffer[] = [];
  private inboxBytes = 0;
  /** The other end sends no more after what is in the inbox. */
  private inboundEnded = false;
  private endDelivered = false;
  private outboundEnded = false;
  private owesDrain = false;
  private flowing = false;
  private scheduled = false;
  private abandoned = false;
  private isClosed = false;
  private linger: NodeJS.Timeout | undefined;

  /** @internal `createPipe` makes them. */
  constructor(info: ConnectionInfo, capacityBytes: number) {
    this.info = info;
    this.capacityBytes = capacityBytes;
  }

  /** @internal */
  connect(other: PipeEnd): void {
    this.other = other;
  }

  get closed(): boolean {
    return this.isClosed;
  }

  set onClose(handler: (error?: Error) => void) {
    this.closing.handler = handler;
  }
  get onClose(): (error?: Error) => void {
    return this.closing.handler;
  }

  get writableLength(): number {
    return this.other?.inboxBytes ?? 0;
  }

  write(chunk: Buffer): boolean {
    const { other } = this;
    if (other === undefined || this.outboundEnded || other.isClosed || other.abandoned) return true;
    if (chunk.length > 0) {
      other.inbox.push(chunk);
      other.inboxBytes += chunk.length;
      other.schedule();
    }
    if (other.inboxBytes < this.capacityBytes) return true;
    this.owesDrain = true;
    return false;
  }

  end(): void {
    if (this.outboundEnded) return;
    this.outboundEnded = true;
    if (this.other !== undefined) {
      this.other.inboundEnded = true;
      this.other.schedule();
    }
  }

  close(): void {
    if (this.isClosed || this.abandoned) return;
    this.end();
    this.abandon();
    this.linger = setTimeout(() => this.reset(), LINGER_MS).unref();
  }

  reset(): void {
    if (this.isClosed) return;
    this.abandon();
    this.finish();
    this.other?.cut();
  }

  pause(): void {
    this.flowing = false;
  }

  resume(): void {
    this.flowing = true;
    this.schedule();
  }

  unread(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.inbox.unshift(chunk);
    this.inboxBytes += chunk.length;
    this.endDelivered = false;
  }

  /** Input is thrown away from now on. */
  private abandon(): void {
    this.abandoned = true;
    this.inbox.length = 0;
    this.inboxBytes = 0;
    this.flowing = true;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled || this.isClosed) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  private deliver(): void {
    while (this.flowing && !this.isClosed) {
      const chunk = this.inbox.shift();
      if (chunk === undefined) break;
      this.inboxBytes -= chunk.length;
      this.onData(chunk);
    }
    if (this.isClosed) return;
    if (this.other?.owesDrain === true && this.inboxBytes <= this.capacityBytes / 2) {
      this.other.owesDrain = false;
      const { other } = this;
      queueMicrotask(() => {
        if (!other.isClosed && !other.abandoned) other.onDrain();
      });
    }
    if (this.flowing && this.inbox.length === 0 && this.inboundEnded && !this.endDelivered) {
      this.endDelivered = true;
      if (!this.abandoned) this.onEnd();
    }
    if (this.endDelivered && this.other?.endDelivered === true) {
      this.finish();
      this.other.finish();
    }
  }

  /** The other end is gone without an end of its own. */
  private cut(): void {
    if (this.isClosed) return;
    this.inbox.length = 0;
    this.inboxBytes = 0;
    this.finish(this.abandoned ? undefined : new PipeResetError());
  }

  private finish(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.linger);
    queueMicrotask(() => this.closing.fire(error));
  }
}

/** The two ends of a new internal connection. */
export function createPipe(
  client: ConnectionInfo,
  server: ConnectionInfo,
  capacityBytes = DEFAULT_PIPE_BYTES,
): { readonly client: PipeEnd; readonly server: PipeEnd } {
  const ends = { client: new PipeEnd(client, capacityBytes), server: new PipeEnd(server, capacityBytes) };
  ends.client.connect(ends.server);
  ends.server.connect(ends.client);
  return ends;
}
