export type RoutingPriority = 'default' | 'high';

export interface CircuitBreakerThresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly maxConnectionPools: number;
  /** Replaces `maxRetries` where it is set. */
  readonly retryBudget?:
    | { /** 0 to 100. */ readonly budgetPercent: number; readonly minRetryConcurrency: number }
    | undefined;
}

export const defaultThresholds: CircuitBreakerThresholds = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  maxConnectionPools: Number.POSITIVE_INFINITY,
};

/** One counted resource with its limit. */
export class Breaker {
  private readonly limit: () => number;
  private count = 0;

  constructor(limit: () => number) {
    this.limit = limit;
  }

  get current(): number {
    return this.count;
  }

  get max(): number {
    return this.limit();
  }

  /** At its limit: what comes next is refused. */
  get isOpen(): boolean {
    return this.count >= this.limit();
  }

  /** Takes one, or returns false when the breaker is open. */
  tryAcquire(): boolean {
    if (this.isOpen) return false;
    this.count++;
    return true;
  }

  /** Takes one beyond the limit if need be: for what exists already. */
  acquire(): void {
    this.count++;
  }

  release(): void {
    if (this.count === 0) throw new Error('a circuit breaker was released more often than acquired');
    this.count--;
  }
}

/** The limits of one cluster at one routing priority, shared by all of its hosts. */
export class CircuitBreaker {
  readonly thresholds: CircuitBreakerThresholds;
  readonly connections: Breaker;
  readonly pendingRequests: Breaker;
  readonly requests: Breaker;
  readonly retries: Breaker;
  readonly connectionPools: Breaker;

  constructor(thresholds: CircuitBreakerThresholds = defaultThresholds) {
    this.thresholds = thresholds;
    this.connections = new Breaker(() => thresholds.maxConnections);
    this.pendingRequests = new Breaker(() => thresholds.maxPendingRequests);
    this.requests = new Breaker(() => thresholds.maxRequests);
    this.retries = new Breaker(() => this.maxRetries());
    this.connectionPools = new Breaker(() => thresholds.maxConnectionPools);
  }

  private maxRetries(): number {
    const { retryBudget, maxRetries } = this.thresholds;
    if (retryBudget === undefined) return maxRetries;
    const inFlight = this.requests.current + this.pendingRequests.current;
    return Math.max(
      retryBudget.minRetryConcurrency,
      Math.floor((inFlight * retryBudget.budgetPercent) / 100),
    );
  }
}
