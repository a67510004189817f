import type { StatCounter, StatGauge, StatHistogram, StatsScope } from '../engine/types.ts';
import { Histogram } from './histogram.ts';
import {
  childPrefix,
  join,
  rootPrefix,
  taggedName,
  type ScopePrefix,
  type Tags,
  type TagStyle,
} from './tags.ts';

/** Most statistics of one proxy; more work, but are neither kept nor exported (`stats.overflow` counts them). */
export const MAX_STATISTICS = 100_000;

export type Statistic = {
  /** Envoy's full name: `cluster.foo.upstream_rq_200`. */
  readonly fullName: string;
  /** Without what the tags say: `cluster.upstream_rq`. */
  readonly name: string;
  readonly tags: Tags;
  /** Explicit tags were given: an Istio metric, which has no `envoy_` prefix. */
  readonly custom: boolean;
} & (
  | { readonly kind: 'counter'; readonly value: Counter }
  | { readonly kind: 'gauge'; readonly value: Gauge }
  | { readonly kind: 'histogram'; readonly value: Histogram }
);

export interface StatsStoreOptions {
  readonly tagStyle?: TagStyle;
  /** Bootstrap's stats_matcher: what isn't included works, but is neither kept nor exported. */
  readonly include?: (fullName: string) => boolean;
  readonly limit?: number;
}

interface ValueOf {
  readonly counter: Counter;
  readonly gauge: Gauge;
  readonly histogram: Histogram;
}
/** One scope object, as a link to the scope that made it. */
interface ScopeUse {
  readonly parent: ScopeUse | undefined;
}
interface Entry {
  readonly statistic: Statistic;
  /** Scopes that use it; the last one that is removed takes it along. */
  readonly users: Set<ScopeUse>;
}

/** All counters, gauges and histograms of a proxy. */
export class StatsStore implements StatsScope {
  private readonly entries = new Map<string, Entry>();
  private readonly style: TagStyle;
  private readonly include: (fullName: string) => boolean;
  private readonly limit: number;
  private readonly root: StatsScope;
  overflow = 0;

  constructor(options: StatsStoreOptions = {}) {
    this.style = options.tagStyle ?? 'envoy';
    this.include = options.include ?? (() => true);
    this.limit = options.limit ?? MAX_STATISTICS;
    this.root = this.scopeAt(rootPrefix, undefined);
  }

  counter(name: string, tags?: Tags): StatCounter {
    return this.root.counter(name, tags);
  }
  gauge(name: string, tags?: Tags): StatGauge {
    return this.root.gauge(name, tags);
  }
  histogram(name: string, tags?: Tags): StatHistogram {
    return this.root.histogram(name, tags);
  }
  scope(prefix: string): StatsScope {
    return this.root.scope(prefix);
  }

  /** In order of full names. */
  all(): readonly Statistic[] {
    return [...this.entries.values()]
      .map((e) => e.statistic)
      .sort((a, b) => (a.fullName < b.fullName ? -1 : a.fullName > b.fullName ? 1 : 0));
  }

  resetCounters(): void {
    for (const { statistic } of this.entries.values()) {
      if (statistic.kind === 'counter') statistic.value.value = 0;
      else if (statistic.kind === 'histogram') statistic.value.reset();
    }
  }

  private scopeAt(prefix: ScopePrefix, parent: ScopeUse | undefined): StatsScope {
    const use: ScopeUse = { parent };
    const get = <K extends keyof ValueOf>(
      kind: K,
      name: string,
      tags: Tags | undefined,
      make: () => ValueOf[K],
    ): ValueOf[K] => {
      const fullName = join(prefix.full, name) + (tags === undefined ? '' : tagSuffix(tags));
      const key = `${kind}:${fullName}`;
      const known = this.entries.get(key);
      if (known !== undefined) {
        known.users.add(use);
        return known.statistic.value as ValueOf[K]; // the key begins with the kind
      }
      const value = make();
      if (!this.include(fullName)) return value;
      if (this.entries.size >= this.limit) {
        this.overflow++;
        return value;
      }
      const named = tags === undefined ? taggedName(prefix, name, this.style) : { name, tags };
      const statistic = { kind, value, fullName, custom: tags !== undefined, ...named };
      // Kind and value belong together by K, which a union of three can't be told.
      this.entries.set(key, { statistic: statistic as unknown as Statistic, users: new Set([use]) });
      return value;
    };
    return {
      counter: (name, tags) => get('counter', name, tags, () => new Counter()),
      gauge: (name, tags) => get('gauge', name, tags, () => new Gauge()),
      histogram: (name, tags) => get('histogram', name, tags, () => new Histogram()),
      scope: (segment) => this.scopeAt(childPrefix(prefix, segment.replace(/\.$/, ''), this.style), use),
      remove: () => this.removeScope(prefix.full, use),
    };
  }

  /** The statistics of a scope and of those below it, unless another scope of the same name still uses them. */
  private removeScope(full: string, use: ScopeUse): void {
    const below = `${full}.`;
    for (const [key, entry] of this.entries) {
      if (!entry.statistic.fullName.startsWith(below)) continue;
      for (const user of entry.users) if (descends(user, use)) entry.users.delete(user);
      if (entry.users.size === 0) this.entries.delete(key);
    }
  }
}

function descends(use: ScopeUse, from: ScopeUse): boolean {
  for (let u: ScopeUse | undefined = use; u !== undefined; u = u.parent) if (u === from) return true;
  return false;
}

class Counter implements StatCounter {
  value = 0;
  add(n = 1): void {
    this.value += n;
  }
}

class Gauge implements StatGauge {
  value = 0;
  set(value: number): void {
    this.value = value;
  }
  add(n = 1): void {
    this.value += n;
  }
  sub(n = 1): void {
    this.value -= n;
  }
}

function tagSuffix(tags: Tags): string {
  return Object.entries(tags)
    .map(([key, value]) => `.${key}.${value}`)
    .join('');
}
