/** Time as a dependency, so that state machines with deadlines can be tested without sleeping. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs the task once, `delayMs` from now. Returns what cancels it; cancelling twice is harmless. */
  schedule(delayMs: number, task: () => void): () => void;
  /** Resolves after the delay, or as soon as the signal aborts: the caller's loop checks its signal anyway. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

// setTimeout fires at once for anything beyond 2^31-1.
const MAX_TIMER_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  schedule: (delayMs, task) => {
    const timer = setTimeout(task, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    return () => clearTimeout(timer);
  },
  sleep: (delayMs, signal) => sleepOn(systemClock, delayMs, signal),
};

interface Timer {
  readonly at: number;
  readonly task: () => void;
}

/** A clock that stands still until a test advances it. */
export class ManualClock implements Clock {
  private time: number;
  private readonly timers = new Set<Timer>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.time = startMs;
  }

  now(): number {
    return this.time;
  }

  /** Number of timers that have not fired: the assertion for leaks. */
  get pending(): number {
    return this.timers.size;
  }

  schedule(delayMs: number, task: () => void): () => void {
    const timer = { at: this.time + Math.max(delayMs, 0), task };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** Fires everything due within the span, in order, letting promises settle after each. */
  async advance(spanMs: number): Promise<void> {
    const end = this.time + spanMs;
    await settle();
    for (;;) {
      const due = [...this.timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.timers.delete(due);
      this.time = Math.max(this.time, due.at);
      due.task();
      await settle();
    }
    this.time = end;
  }
}

function sleepOn(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.schedule(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
