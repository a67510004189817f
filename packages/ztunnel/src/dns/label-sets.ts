/** A metric of which the series of some labels can be dropped. */
interface Removable<L> {
  remove(labels: L): void;
}

/** Bounds the label sets of some metrics by dropping the series of those that were used longest ago. */
export class LabelSets<L extends Readonly<Record<string, string>>> {
  private readonly metrics: readonly Removable<L>[];
  private readonly limit: number;
  /** Longest unused first. */
  private readonly sets = new Map<string, L>();

  constructor(metrics: readonly Removable<L>[], limit: number) {
    this.metrics = metrics;
    this.limit = limit;
  }

  /** To be called before the labels are used. */
  use(labels: L): void {
    const key = Object.values(labels).join('\n');
    this.sets.delete(key);
    this.sets.set(key, labels);
    if (this.sets.size <= this.limit) return;
    for (const [oldest, old] of this.sets) {
      this.sets.delete(oldest);
      for (const metric of this.metrics) metric.remove(old);
      return;
    }
  }
}
