import { Backoff, type Clock } from '@weft/telemetry';

const RETRY_MS = { initialMs: 50, maxMs: 5_000 } as const;

/** Work by key: one piece at a time for each key, and again with back-off, for ever, where it is to succeed. */
export class StepQueue {
  private readonly clock: Clock;
  private readonly onFailure: (key: string, error: unknown, delayMs: number) => void;
  /** Tail of each key's chain. */
  private readonly tails = new Map<string, Promise<void>>();
  private readonly retries = new Map<string, { backoff: Backoff; cancel: () => void }>();
  private stopped = false;

  constructor(clock: Clock, onFailure: (key: string, error: unknown, delayMs: number) => void) {
    this.clock = clock;
    this.onFailure = onFailure;
  }

  /** Once; the caller gets the outcome. */
  once<T>(key: string, work: () => Promise<T>): Promise<T> {
    const result = (this.tails.get(key) ?? Promise.resolve()).then(work);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.tails.set(key, tail);
    void tail.then(() => {
      if (this.tails.get(key) === tail) this.tails.delete(key);
    });
    return result;
  }

  /** Until it succeeds. Resolves after the first try; a later call takes the place of what is still to be tried. */
  untilDone(key: string, work: () => Promise<void>): Promise<void> {
    if (this.stopped) return Promise.resolve();
    this.retries.get(key)?.cancel();
    return this.once(key, work).then(
      () => void this.retries.delete(key),
      (error: unknown) => this.retry(key, work, error),
    );
  }

  /** What runs now is waited for by `idle`; nothing is tried again. */
  stop(): void {
    this.stopped = true;
    for (const { cancel } of this.retries.values()) cancel();
    this.retries.clear();
  }

  async idle(): Promise<void> {
    await Promise.all(this.tails.values());
  }

  private retry(key: string, work: () => Promise<void>, error: unknown): void {
    const backoff = this.retries.get(key)?.backoff ?? new Backoff(RETRY_MS);
    const delayMs = backoff.next();
    this.onFailure(key, error, delayMs);
    if (this.stopped) return;
    const cancel = this.clock.schedule(delayMs, () => void this.untilDone(key, work));
    this.retries.set(key, { backoff, cancel });
  }
}
