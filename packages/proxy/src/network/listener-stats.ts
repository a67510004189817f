import type { StatCounter, StatGauge, StatsScope } from '../engine/types.ts';

/** `listener.<address>.*` */
export class ListenerStats {
  readonly total: StatCounter;
  readonly active: StatGauge;
  readonly destroyed: StatCounter;
  readonly overflow: StatCounter;
  readonly noFilterChain: StatCounter;
  readonly inspectionTimeout: StatCounter;
  readonly handshakes: StatCounter;
  private readonly scope: StatsScope;

  constructor(stats: StatsScope, prefix: string) {
    const scope = stats.scope(`listener.${prefix}`);
    this.scope = scope;
    this.total = scope.counter('downstream_cx_total');
    this.active = scope.gauge('downstream_cx_active');
    this.destroyed = scope.counter('downstream_cx_destroy');
    this.overflow = scope.counter('downstream_cx_overflow');
    this.noFilterChain = scope.counter('no_filter_chain_match');
    this.inspectionTimeout = scope.counter('downstream_pre_cx_timeout');
    this.handshakes = scope.counter('ssl.handshake');
  }

  tlsFailure(name: string): void {
    this.scope.counter(`ssl.${name}`).add();
  }

  remove(): void {
    this.scope.remove?.();
  }
}
