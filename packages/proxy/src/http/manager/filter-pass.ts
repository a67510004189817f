import type { FilterStatus, HeaderMap, HttpFilter } from '../../engine/types.ts';

export type MessageEvent =
  | { readonly kind: 'headers'; readonly headers: HeaderMap; readonly end: boolean }
  | { readonly kind: 'data'; readonly chunk: Buffer; readonly end: boolean }
  | { readonly kind: 'trailers'; readonly trailers: HeaderMap };

export type BodyPeek = (body: Buffer, complete: boolean) => void;

export interface PassOptions {
  readonly filters: readonly HttpFilter[];
  invoke(filter: HttpFilter, event: MessageEvent): FilterStatus;
  /** What came through. */
  deliver(event: MessageEvent): void;
  /** Data wait here: stop the sender, and let it go on. */
  hold(): void;
  release(): void;
  /** A filter threw. */
  onError(error: unknown): void;
}

/**
 * Leads the events of one message through the filters, one event at a time. A filter that says 'stop' keeps its event
 * and all that follow, until `resume`.
 *
 *   running ─'stop'─► stopped ─resume─► running;   any ─close─► closed
 */
export class FilterPass {
  private readonly o: PassOptions;
  private readonly queue: MessageEvent[] = [];
  private current: MessageEvent | undefined;
  private index = 0;
  private state: 'idle' | 'running' | 'stopped' | 'closed' = 'idle';
  /** `resume` was called while the filter that stops was still being asked. */
  private resumed = false;
  private holding = false;
  private collecting: { readonly limit: number; readonly onOverflow: () => void } | undefined;
  private peeking: { readonly limit: number; readonly done: BodyPeek } | undefined;
  private collected: Buffer[] = [];
  private collectedBytes = 0;

  constructor(o: PassOptions) {
    this.o = o;
  }

  get stopped(): boolean {
    return this.state === 'stopped';
  }

  push(event: MessageEvent): void {
    if (this.state === 'closed') return;
    if (this.collecting !== undefined) {
      this.collect(event);
      return;
    }
    this.queue.push(event);
    if (this.peeking === undefined) this.run();
    else this.peek(this.peeking);
  }

  resume(): void {
    if (this.state === 'running') this.resumed = true;
    if (this.state !== 'stopped') return;
    this.state = 'idle';
    this.run();
  }

  /** Keeps the body back until it is complete, then goes on by itself. */
  collectBody(limit: number, onOverflow: () => void): void {
    this.collecting ??= { limit, onOverflow };
  }

  /** A filter that stops at the head wants to see the body, or as much of it, first. */
  peekBody(limit: number, done: BodyPeek): void {
    this.peeking = { limit, done };
  }

  close(): void {
    this.state = 'closed';
    this.peeking = undefined;
    this.queue.length = 0;
    this.current = undefined;
    this.collected = [];
  }

  private peek({ limit, done }: NonNullable<FilterPass['peeking']>): void {
    const chunks = this.queue.flatMap((event) => (event.kind === 'data' ? [event.chunk] : []));
    const last = this.queue.at(-1);
    const ended = last?.kind === 'trailers' || (last?.kind === 'data' && last.end);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (!ended && bytes <= limit) return;
    this.peeking = undefined;
    const body = Buffer.concat(chunks, bytes);
    done(body.subarray(0, limit), bytes <= limit);
    if (this.state === 'stopped') this.hold();
  }

  private collect(event: MessageEvent): void {
    const { collecting } = this;
    if (collecting === undefined) return;
    if (event.kind === 'data') {
      this.collected.push(event.chunk);
      this.collectedBytes += event.chunk.length;
      if (this.collectedBytes > collecting.limit) {
        collecting.onOverflow();
        return;
      }
      if (!event.end) return;
    }
    this.collecting = undefined;
    const chunk = Buffer.concat(this.collected, this.collectedBytes);
    this.collected = [];
    this.queue.push({ kind: 'data', chunk, end: event.kind === 'data' });
    if (event.kind === 'trailers') this.queue.push(event);
    this.state = 'idle';
    this.run();
  }

  private run(): void {
    if (this.state !== 'idle') {
      if (this.state === 'stopped') this.hold();
      return;
    }
    this.state = 'running';
    const { filters } = this.o;
    for (;;) {
      this.current ??= this.queue.shift();
      const event = this.current;
      if (event === undefined) break;
      while (this.index < filters.length) {
        const filter = filters[this.index++];
        if (filter === undefined) continue;
        this.resumed = false;
        const status = this.ask(filter, event);
        if (this.isClosed()) return;
        if (status === 'stop' && !this.resumed) {
          this.state = 'stopped';
          if (this.queue.length > 0) this.hold();
          return;
        }
      }
      this.current = undefined;
      this.index = 0;
      this.o.deliver(event);
      if (this.isClosed()) return;
    }
    this.state = 'idle';
    if (this.holding) {
      this.holding = false;
      this.o.release();
    }
  }

  private ask(filter: HttpFilter, event: MessageEvent): FilterStatus {
    try {
      return this.o.invoke(filter, event);
    } catch (error) {
      this.o.onError(error);
      return 'stop';
    }
  }

  private isClosed(): boolean {
    return this.state === 'closed';
  }

  private hold(): void {
    if (this.holding || this.collecting !== undefined) return;
    this.holding = true;
    this.o.hold();
  }
}
