import type { Clock } from '@weft/telemetry';
import type { EndpointResult } from '../engine/types.ts';
import type { Random } from './load-balancer/index.ts';
import type { OutlierDetectionConfig } from './outlier-config.ts';

export type EjectionReason =
  | 'consecutive_5xx'
  | 'consecutive_gateway_failure'
  | 'consecutive_local_origin_failure'
  | 'success_rate'
  | 'failure_percentage';

export interface OutlierEvents {
  /** A detector found an outlier; whether it was ejected. */
  onDetected(reason: EjectionReason, outcome: 'ejected' | 'not-enforced' | 'overflow'): void;
  /** The set of ejected hosts changed. */
  onChange(): void;
}

/**
 * Passive health checking of one cluster's hosts.
 *
 *   in ──detector fires, enforced, below the ejection limit──► ejected
 *   ejected ──at an interval, after base time × ejections──► in
 *
 * One timer per cluster, running only while there are hosts.
 */
export class OutlierDetector {
  readonly config: OutlierDetectionConfig;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly events: OutlierEvents;
  private monitors: ReadonlySet<OutlierMonitor> = new Set();
  private cancelTimer: (() => void) | undefined;

  constructor(o: {
    readonly config: OutlierDetectionConfig;
    readonly clock: Clock;
    readonly random: Random;
    readonly events: OutlierEvents;
  }) {
    this.config = o.config;
    this.clock = o.clock;
    this.random = o.random;
    this.events = o.events;
  }

  createMonitor(): OutlierMonitor {
    return new OutlierMonitor(this.config, (monitor, reason) => this.tryEject(monitor, reason));
  }

  get ejectedHosts(): number {
    let count = 0;
    for (const monitor of this.monitors) if (monitor.isEjected) count++;
    return count;
  }

  /** The hosts of the cluster as they are from now on. */
  setMonitors(monitors: Iterable<OutlierMonitor>): void {
    this.monitors = new Set(monitors);
    if (this.monitors.size === 0) this.close();
    else this.cancelTimer ??= this.clock.schedule(this.config.intervalMs, this.onInterval);
  }

  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  private readonly onInterval = (): void => {
    this.cancelTimer = this.clock.schedule(this.config.intervalMs, this.onInterval);
    this.returnEjected();
    this.judgeInterval();
  };

  private returnEjected(): void {
    const now = this.clock.now();
    let changed = false;
    for (const monitor of this.monitors) changed = monitor.tick(now) || changed;
    if (changed) this.events.onChange();
  }

  private tryEject(monitor: OutlierMonitor, reason: EjectionReason): void {
    if (monitor.isEjected) return;
    if (this.random() * 100 >= enforcingPercent(this.config, reason)) {
      this.events.onDetected(reason, 'not-enforced');
      return;
    }
    const { maxEjectionPercent, alwaysEjectOneHost } = this.config;
    const ejected = this.ejectedHosts;
    // As Envoy: the share is that after this ejection, so 10% of two hosts is none.
    const share = ((ejected + 1) / Math.max(this.monitors.size, 1)) * 100;
    if (share > maxEjectionPercent && !(alwaysEjectOneHost && ejected === 0)) {
      this.events.onDetected(reason, 'overflow');
      return;
    }
    monitor.eject(this.clock.now(), this.random);
    this.events.onDetected(reason, 'ejected');
    this.events.onChange();
  }

  /** Compares the hosts of the cluster with each other over the interval that just ended. */
  private judgeInterval(): void {
    const { config } = this;
    const rates = [...this.monitors].map((monitor) => ({ monitor, ...monitor.takeInterval() }));
    const byRate = rates.filter((rate) => rate.total >= Math.max(1, config.successRateRequestVolume));
    if (byRate.length > 0 && byRate.length >= config.successRateMinimumHosts) {
      const mean = byRate.reduce((sum, rate) => sum + rate.percent, 0) / byRate.length;
      const variance = byRate.reduce((sum, rate) => sum + (rate.percent - mean) ** 2, 0) / byRate.length;
      const threshold = mean - (Math.sqrt(variance) * config.successRateStdevFactor) / 1000;
      for (const rate of byRate) if (rate.percent < threshold) this.tryEject(rate.monitor, 'success_rate');
    }
    const byFailure = rates.filter(
      (rate) => rate.total >= Math.max(1, config.failurePercentageRequestVolume),
    );
    if (byFailure.length > 0 && byFailure.length >= config.failurePercentageMinimumHosts) {
      for (const rate of byFailure) {
        if (100 - rate.percent >= config.failurePercentageThreshold) {
          this.tryEject(rate.monitor, 'failure_percentage');
        }
      }
    }
  }
}

/** The counters of one host. They survive endpoint updates, as the host does. */
export class OutlierMonitor {
  private readonly config: OutlierDetectionConfig;
  private readonly onOutlier: (monitor: OutlierMonitor, reason: EjectionReason) => void;
  private consecutive5xx = 0;
  private consecutiveGateway = 0;
  private consecutiveLocal = 0;
  private successes = 0;
  private total = 0;
  private returnsAt: number | undefined;
  private ejections = 0;

  constructor(
    config: OutlierDetectionConfig,
    onOutlier: (monitor: OutlierMonitor, reason: EjectionReason) => void,
  ) {
    this.config = config;
    this.onOutlier = onOutlier;
  }

  get isEjected(): boolean {
    return this.returnsAt !== undefined;
  }

  /** Multiplier of the next ejection's length. */
  get ejectionCount(): number {
    return this.ejections;
  }

  report(result: EndpointResult): void {
    if (result.kind === 'response') this.responded(result.status);
    else if (this.config.splitExternalLocalOriginErrors) this.localOrigin(result.success);
    // Not split, what happens on this side counts like the response it would become.
    else if (!result.success) this.responded(503);
  }

  /** @internal Ends an ejection that is over; true when it did. */
  tick(now: number): boolean {
    if (this.returnsAt === undefined) {
      if (this.ejections > 0) this.ejections--;
      return false;
    }
    if (now < this.returnsAt) return false;
    this.returnsAt = undefined;
    this.consecutive5xx = 0;
    this.consecutiveGateway = 0;
    this.consecutiveLocal = 0;
    return true;
  }

  /** @internal */
  eject(now: number, random: Random): void {
    const { baseEjectionTimeMs, maxEjectionTimeMs, maxEjectionTimeJitterMs } = this.config;
    const longest = Math.max(baseEjectionTimeMs, maxEjectionTimeMs);
    if (baseEjectionTimeMs * this.ejections < longest) this.ejections++;
    const length = Math.min(baseEjectionTimeMs * this.ejections, longest);
    this.returnsAt = now + length + random() * maxEjectionTimeJitterMs;
  }

  /** @internal What came since the last call. */
  takeInterval(): { readonly total: number /** 0 to 100 */; readonly percent: number } {
    const { total, successes } = this;
    this.total = 0;
    this.successes = 0;
    return { total, percent: total === 0 ? 100 : (successes * 100) / total };
  }

  private responded(status: number): void {
    this.total++;
    if (status < 500) {
      this.successes++;
      this.consecutive5xx = 0;
      this.consecutiveGateway = 0;
      return;
    }
    if (status >= 502 && status <= 504) {
      if (++this.consecutiveGateway >= this.config.consecutiveGatewayFailure) {
        this.consecutiveGateway = 0;
        this.onOutlier(this, 'consecutive_gateway_failure');
      }
    } else this.consecutiveGateway = 0;
    if (++this.consecutive5xx >= this.config.consecutive5xx) {
      this.consecutive5xx = 0;
      this.onOutlier(this, 'consecutive_5xx');
    }
  }

  private localOrigin(success: boolean): void {
    if (success) {
      this.consecutiveLocal = 0;
      return;
    }
    if (++this.consecutiveLocal < this.config.consecutiveLocalOriginFailure) return;
    this.consecutiveLocal = 0;
    this.onOutlier(this, 'consecutive_local_origin_failure');
  }
}

function enforcingPercent(config: OutlierDetectionConfig, reason: EjectionReason): number {
  switch (reason) {
    case 'consecutive_5xx':
      return config.enforcingConsecutive5xx;
    case 'consecutive_gateway_failure':
      return config.enforcingConsecutiveGatewayFailure;
    case 'consecutive_local_origin_failure':
      return config.enforcingConsecutiveLocalOriginFailure;
    case 'success_rate':
      return config.enforcingSuccessRate;
    case 'failure_percentage':
      return config.enforcingFailurePercentage;
  }
}
