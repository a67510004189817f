import type { Counter } from '@weft/telemetry';
import type { TrafficLabels } from './traffic-labels.ts';

/**
 * Label sets of traffic that are kept; each is up to five series. A node's pods talk to hundreds of peers, but some
 * labels come from the peers' own words, and any of them may call itself by a new name with every connection.
 */
export const MAX_TRAFFIC_LABEL_SETS = 10_000;

interface LabelSet {
  readonly labels: TrafficLabels;
  readonly flags: Set<TrafficLabels['response_flags']>;
  open: number;
}

/** Forgets the series of traffic that was seen longest ago. Those of open connections stay, whatever their number. */
export class TrafficSeries {
  private readonly counters: readonly Counter<keyof TrafficLabels>[];
  private readonly limit: number;
  /** Longest unused first. */
  private readonly sets = new Map<string, LabelSet>();

  constructor(counters: readonly Counter<keyof TrafficLabels>[], limit = MAX_TRAFFIC_LABEL_SETS) {
    this.counters = counters;
    this.limit = limit;
  }

  opened(labels: TrafficLabels): void {
    const key = keyOf(labels);
    const set = this.sets.get(key) ?? { labels, flags: new Set([labels.response_flags]), open: 0 };
    set.open++;
    this.sets.delete(key);
    this.sets.set(key, set);
    if (this.sets.size > this.limit) this.forgetOldest();
  }

  /** `opened` are the labels that the connection had; its flag may be another at the end. */
  closed(opened: TrafficLabels, flag: TrafficLabels['response_flags']): void {
    const set = this.sets.get(keyOf(opened));
    if (set === undefined) return;
    set.open--;
    set.flags.add(flag);
    if (this.sets.size > this.limit) this.forgetOldest();
  }

  private forgetOldest(): void {
    for (const [key, { labels, flags, open }] of this.sets) {
      if (open > 0) continue;
      this.sets.delete(key);
      for (const counter of this.counters) {
        for (const response_flags of flags) counter.remove({ ...labels, response_flags });
      }
      return;
    }
  }
}

function keyOf({ response_flags: _flags, ...labels }: TrafficLabels): string {
  return Object.values(labels).join('\n');
}
