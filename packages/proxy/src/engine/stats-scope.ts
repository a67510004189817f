/** Names are Envoy's full names: `cluster.foo.upstream_rq_total`. Handles are kept by their user, not looked up. */
export interface StatsScope {
  counter(name: string, tags?: Readonly<Record<string, string>>): StatCounter;
  gauge(name: string, tags?: Readonly<Record<string, string>>): StatGauge;
  histogram(name: string, tags?: Readonly<Record<string, string>>): StatHistogram;
  /** A scope whose names begin with `prefix.`. */
  scope(prefix: string): StatsScope;
  /** Drops every statistic of this scope: its cluster or listener is gone. */
  remove?(): void;
}
export interface StatCounter {
  add(n?: number): void;
  readonly value: number;
}
export interface StatGauge {
  set(value: number): void;
  add(n?: number): void;
  sub(n?: number): void;
  readonly value: number;
}
export interface StatHistogram {
  record(value: number): void;
}
