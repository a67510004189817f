import type { Clock } from '@weft/telemetry';

/** So many pieces of work at once, or so much of them; the rest waits in the order in which it came. */
export class Throttle {
  private readonly limit: number;
  private readonly waiting: { readonly weight: number; readonly admit: () => void }[] = [];
  private running = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /**
   * Resolves to what gives the place back; calling that twice is harmless.
   * @param weight what is heavier than the limit runs alone
   */
  async acquire(weight = 1): Promise<() => void> {
    if (this.waiting.length > 0 || !this.fits(weight))
      await new Promise<void>((admit) => void this.waiting.push({ weight, admit }));
    else this.running += weight;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.running -= weight;
      this.admitWaiting();
    };
  }

  private fits(weight: number): boolean {
    return this.running === 0 || this.running + weight <= this.limit;
  }

  private admitWaiting(): void {
    for (let next = this.waiting[0]; next !== undefined && this.fits(next.weight); next = this.waiting[0]) {
      this.waiting.shift();
      this.running += next.weight;
      next.admit();
    }
  }
}

/** Lets through so many a second, of which each may wait a moment for its turn. */
export class ArrivalRate {
  private readonly intervalMs: number;
  private readonly burst: number;
  private readonly maxWaitMs: number;
  private readonly clock: Clock;
  /** When the next one's turn is, if none had been saved up. */
  private nextAt = 0;

  constructor(o: { readonly perSecond: number; readonly maxWaitMs: number; readonly clock: Clock }) {
    this.intervalMs = 1_000 / o.perSecond;
    this.burst = o.perSecond;
    this.maxWaitMs = o.maxWaitMs;
    this.clock = o.clock;
  }

  /** Milliseconds until its turn, or undefined when that is too far away. */
  arrive(): number | undefined {
    const now = this.clock.now();
    const turn = Math.max(this.nextAt, now - this.burst * this.intervalMs);
    if (turn - now > this.maxWaitMs) return undefined;
    this.nextAt = turn + this.intervalMs;
    return Math.max(0, turn - now);
  }
}
