import type { StatHistogram } from '../engine/types.ts';

/** Envoy's default upper bounds, in the unit of what is recorded (mostly milliseconds). */
export const HISTOGRAM_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** Counts by bucket: bounded memory whatever is recorded, and what Prometheus wants. */
export class Histogram implements StatHistogram {
  /** Per bound, not cumulative; the last is for what is beyond every bound. */
  private readonly counts = Array.from({ length: HISTOGRAM_BOUNDS.length + 1 }, () => 0);
  sum = 0;
  count = 0;

  record(value: number): void {
    let i = 0;
    while (i < HISTOGRAM_BOUNDS.length && value > (HISTOGRAM_BOUNDS[i] ?? Infinity)) i++;
    this.counts[i] = (this.counts[i] ?? 0) + 1;
    this.sum += value;
    this.count++;
  }

  /** Number of values at or below each bound. */
  cumulative(): readonly number[] {
    let total = 0;
    return HISTOGRAM_BOUNDS.map((_, i) => (total += this.counts[i] ?? 0));
  }

  /** Interpolated within its bucket; undefined without values. */
  quantile(q: number): number | undefined {
    if (this.count === 0) return undefined;
    const rank = q * this.count;
    let below = 0;
    for (const [i, bound] of HISTOGRAM_BOUNDS.entries()) {
      const inBucket = this.counts[i] ?? 0;
      if (below + inBucket >= rank && inBucket > 0) {
        const lower = HISTOGRAM_BOUNDS[i - 1] ?? 0;
        return lower + ((bound - lower) * Math.max(rank - below, 0)) / inBucket;
      }
      below += inBucket;
    }
    return HISTOGRAM_BOUNDS.at(-1);
  }

  reset(): void {
    this.counts.fill(0);
    this.sum = 0;
    this.count = 0;
  }
}
