import type { Cluster, StatCounter, StatHistogram, StatsScope } from '../../engine/types.ts';

/** What the router counts for a cluster. */
export class RouterClusterStats {
  readonly completed: StatCounter;
  readonly timeout: StatCounter;
  readonly perTryTimeout: StatCounter;
  readonly retry: StatCounter;
  readonly retrySuccess: StatCounter;
  readonly retryLimitExceeded: StatCounter;
  readonly retryOverflow: StatCounter;
  private readonly time: StatHistogram;
  private readonly scope: StatsScope;
  private readonly byStatus = new Map<number, StatCounter>();
  private readonly byClass = new Map<number, StatCounter>();

  constructor(scope: StatsScope) {
    this.scope = scope;
    this.completed = scope.counter('upstream_rq_completed');
    this.timeout = scope.counter('upstream_rq_timeout');
    this.perTryTimeout = scope.counter('upstream_rq_per_try_timeout');
    this.retry = scope.counter('upstream_rq_retry');
    this.retrySuccess = scope.counter('upstream_rq_retry_success');
    this.retryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded');
    this.retryOverflow = scope.counter('upstream_rq_retry_overflow');
    this.time = scope.histogram('upstream_rq_time');
  }

  response(status: number, ms: number | undefined): void {
    this.completed.add();
    let counter = this.byStatus.get(status);
    if (counter === undefined) {
      counter = this.scope.counter(`upstream_rq_${status}`);
      this.byStatus.set(status, counter);
    }
    counter.add();
    const kind = Math.floor(status / 100);
    let ofClass = this.byClass.get(kind);
    if (ofClass === undefined) {
      ofClass = this.scope.counter(`upstream_rq_${kind}xx`);
      this.byClass.set(kind, ofClass);
    }
    ofClass.add();
    if (ms !== undefined) this.time.record(ms);
  }
}

const statsOf = new WeakMap<StatsScope, RouterClusterStats>();

export function routerStats(cluster: Cluster): RouterClusterStats {
  let stats = statsOf.get(cluster.stats);
  if (stats === undefined) {
    stats = new RouterClusterStats(cluster.stats);
    statsOf.set(cluster.stats, stats);
  }
  return stats;
}
