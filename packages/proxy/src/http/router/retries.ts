import type { Cluster, Endpoint, HeaderMap, StreamInfo, UpstreamContext } from '../../engine/types.ts';
import {
  type AttemptFailure,
  backOffMs,
  rateLimitedBackOffMs,
  retriableFailure,
  retriableResponse,
  type RetryPolicy,
} from '../route/retry-policy.ts';
import type { RouterHost } from './router-host.ts';
import { routerStats } from './upstream-stats.ts';

export interface RetriesOptions {
  readonly host: Pick<RouterHost, 'engine' | 'info'>;
  readonly policy: RetryPolicy | undefined;
  readonly cluster: Cluster;
  readonly priority: 'default' | 'high';
}

/**
 * How often one request may be tried, and what was tried.
 *
 *   claim ─► back-off ─► attempt ─► release;   refused: none left (URX), or over the cluster's budget (UO)
 */
export class Retries {
  readonly tried = new Set<Endpoint>();
  private readonly policy: RetryPolicy | undefined;
  private readonly cluster: Cluster;
  private readonly priority: 'default' | 'high';
  private readonly info: StreamInfo;
  private readonly engine: RouterHost['engine'];
  private remaining: number;
  private readonly triedPriorities = new Set<number>();
  private avoided: ReadonlySet<number> = new Set();
  private made = 0;
  /** One of the cluster's retries is ours. */
  private claimed = false;
  private cancelBackOff: () => void = () => undefined;

  constructor({ host, policy, cluster, priority }: RetriesOptions) {
    this.engine = host.engine;
    this.info = host.info;
    this.policy = policy;
    this.cluster = cluster;
    this.priority = priority;
    this.remaining = policy?.retries ?? 0;
  }

  get left(): number {
    return this.remaining;
  }

  /** Attempts after the first. */
  get count(): number {
    return this.made;
  }

  /** Priorities that had their chance. */
  get avoidedPriorities(): ReadonlySet<number> {
    return this.avoided;
  }

  get perTryIdleTimeoutMs(): number {
    return this.policy?.perTryIdleTimeoutMs ?? 0;
  }

  wantsFailure(failure: AttemptFailure | undefined): boolean {
    return this.policy !== undefined && failure !== undefined && retriableFailure(this.policy, failure);
  }

  /** @returns what is asked of the next attempt: undefined none, otherwise its delay if the response names one. */
  wantsResponse(headers: HeaderMap): { readonly delayMs: number | undefined } | undefined {
    const { policy } = this;
    if (policy === undefined || headers.status === 101 || !retriableResponse(policy, headers))
      return undefined;
    return { delayMs: rateLimitedBackOffMs(policy, headers, this.engine.clock.now()) };
  }

  /** An endpoint, if it can be one that wasn't tried. */
  pick(context: UpstreamContext): Endpoint | undefined {
    let endpoint = this.cluster.pick(context);
    if (this.policy?.avoidPreviousHosts !== true) return endpoint;
    for (let n = this.policy.hostSelectionAttempts; n > 0; n--) {
      if (endpoint === undefined || !this.tried.has(endpoint)) break;
      endpoint = this.cluster.pick(context);
    }
    return endpoint;
  }

  /** Takes one; false when there is none. */
  claim(endpoint: Endpoint): boolean {
    const stats = routerStats(this.cluster);
    if (this.remaining <= 0) {
      this.info.responseFlags.add('URX');
      stats.retryLimitExceeded.add();
      return false;
    }
    if (!this.cluster.breakers.tryRetry(this.priority)) {
      this.info.responseFlags.add('UO');
      return false;
    }
    this.claimed = true;
    this.remaining--;
    this.made++;
    stats.retry.add();
    this.tried.add(endpoint);
    this.triedPriorities.add(endpoint.priority);
    const every = this.policy?.avoidPrioritiesAfter;
    if (every !== undefined && this.made % every === 0) this.avoided = new Set(this.triedPriorities);
    return true;
  }

  /** Calls `next` after the back-off, or what the upstream asked for. */
  schedule(delayMs: number | undefined, next: () => void): void {
    const { policy, engine } = this;
    const delay = delayMs ?? (policy === undefined ? 0 : backOffMs(policy, this.made, () => engine.random()));
    this.cancelBackOff = engine.clock.schedule(delay, next);
  }

  stopWaiting(): void {
    this.cancelBackOff();
  }

  release(): void {
    if (!this.claimed) return;
    this.claimed = false;
    this.cluster.breakers.releaseRetry(this.priority);
  }
}
