import { Backoff, type Clock } from '@weft/telemetry';

export interface KeyedReconcilerOptions {
  /** Makes the world right for a key, from present state; called again for as long as it throws. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<void>;
  readonly onError: (key: string, error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly concurrency?: number;
}

const CONCURRENCY = 4;
const INITIAL_RETRY_MS = 200;
const MAX_RETRY_MS = 60_000;

/**
 * Work by key, level-triggered: enqueueing a key that waits changes nothing, one in progress runs once more, and one
 * that failed is tried again later. The queue can't outgrow the number of keys.
 *
 *     idle ──enqueue──▶ waiting ──slot──▶ running ──ok──▶ idle
 *                          ▲                 │ └─enqueued meanwhile─▶ waiting
 *                          └──back-off───────┘
 */
export class KeyedReconciler {
  private readonly options: KeyedReconcilerOptions;
  private readonly waiting = new Set<string>();
  private readonly running = new Set<string>();
  private readonly backoffs = new Map<string, Backoff>();
  private readonly timers = new Set<() => void>();

  constructor(options: KeyedReconcilerOptions) {
    this.options = options;
    const cancelTimers = (): void => {
      for (const cancel of this.timers) cancel();
      this.timers.clear();
    };
    options.signal.addEventListener('abort', cancelTimers, { once: true });
  }

  enqueue(key: string): void {
    if (this.options.signal.aborted) return;
    this.waiting.add(key);
    this.start();
  }

  /** Nothing waits and nothing runs; keys in back-off count as idle. */
  get idle(): boolean {
    return this.waiting.size === 0 && this.running.size === 0;
  }

  private start(): void {
    const { concurrency = CONCURRENCY, signal } = this.options;
    for (const key of this.waiting) {
      if (this.running.size >= concurrency || signal.aborted) return;
      if (this.running.has(key)) continue;
      this.waiting.delete(key);
      this.running.add(key);
      void this.run(key);
    }
  }

  private async run(key: string): Promise<void> {
    const { reconcile, onError, signal } = this.options;
    try {
      await reconcile(key, signal);
      this.backoffs.delete(key);
    } catch (error) {
      if (!signal.aborted) {
        onError(key, error);
        this.retryLater(key);
      }
    }
    this.running.delete(key);
    this.start();
  }

  private retryLater(key: string): void {
    const backoff =
      this.backoffs.get(key) ?? new Backoff({ initialMs: INITIAL_RETRY_MS, maxMs: MAX_RETRY_MS });
    this.backoffs.set(key, backoff);
    const cancel = this.options.clock.schedule(backoff.next(), () => {
      this.timers.delete(cancel);
      this.enqueue(key);
    });
    this.timers.add(cancel);
  }
}
