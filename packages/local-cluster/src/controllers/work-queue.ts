import { describeError, type Logger } from '@weft/telemetry';

export const WORKERS = 8;
export const RETRY_MIN_MS = 50;
export const RETRY_MAX_MS = 30_000;

type KeyState = 'queued' | 'running' | 'running-again';

/**
 * Keys to work on, each at most once at a time. A key added while it is being worked on is worked on once more
 * afterwards; failures come back with growing delay.
 */
export class WorkQueue {
  private readonly work: (key: string) => Promise<number | undefined>;
  private readonly logger: Logger;
  private readonly states = new Map<string, KeyState>();
  private readonly ready: string[] = [];
  private readonly timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly at: number }>();
  private readonly failures = new Map<string, number>();
  private busy = 0;
  private closed = false;

  /** `work` resolves to the delay after which the key is due again, if it is. */
  constructor(work: (key: string) => Promise<number | undefined>, logger: Logger) {
    this.work = work;
    this.logger = logger;
  }

  add(key: string): void {
    if (this.closed) return;
    const state = this.states.get(key);
    if (state === undefined) {
      this.states.set(key, 'queued');
      this.ready.push(key);
      this.dispatch();
    } else if (state === 'running') this.states.set(key, 'running-again');
  }

  close(): void {
    this.closed = true;
    for (const { timer } of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    this.ready.length = 0;
  }

  private dispatch(): void {
    while (!this.closed && this.busy < WORKERS) {
      const key = this.ready.shift();
      if (key === undefined) return;
      this.busy++;
      void this.process(key);
    }
  }

  private async process(key: string): Promise<void> {
    this.states.set(key, 'running');
    try {
      const delayMs = await this.work(key);
      this.failures.delete(key);
      if (delayMs !== undefined) this.addAfter(key, delayMs);
    } catch (error) {
      const count = this.failures.get(key) ?? 0;
      this.failures.set(key, count + 1);
      const delayMs = Math.min(RETRY_MIN_MS * 2 ** count, RETRY_MAX_MS);
      // The first failure is mostly a conflict with another writer, which the next pass resolves.
      const level = count === 0 ? 'debug' : 'warn';
      if (!this.closed) this.logger[level]('reconcile failed', { key, error: describeError(error), delayMs });
      this.addAfter(key, delayMs);
    }
    this.busy--;
    const again = this.states.get(key) === 'running-again';
    this.states.delete(key);
    if (again) this.add(key);
    this.dispatch();
  }

  private addAfter(key: string, delayMs: number): void {
    if (this.closed) return;
    const at = Date.now() + delayMs;
    const waiting = this.timers.get(key);
    if (waiting !== undefined) {
      if (waiting.at <= at) return;
      clearTimeout(waiting.timer);
    }
    const timer = setTimeout(() => {
      this.timers.delete(key);
      this.add(key);
    }, delayMs);
    this.timers.set(key, { timer, at });
  }
}
