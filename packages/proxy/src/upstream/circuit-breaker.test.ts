import { describe, expect, it } from '@jest/globals';
import { CircuitBreaker, defaultThresholds } from './circuit-breaker.ts';

describe('circuit breaker', () => {
  it('refuses at the limit and takes again after a release', () => {
    const { requests } = new CircuitBreaker({ ...defaultThresholds, maxRequests: 2 });
    expect([requests.tryAcquire(), requests.tryAcquire(), requests.tryAcquire()]).toEqual([
      true,
      true,
      false,
    ]);
    requests.release();
    expect(requests.tryAcquire()).toBe(true);
  });

  it('limits retries by a share of the requests in flight, never below the minimum', () => {
    const breaker = new CircuitBreaker({
      ...defaultThresholds,
      retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
    });
    expect(breaker.retries.max).toBe(3);
    for (let i = 0; i < 50; i++) breaker.requests.tryAcquire();
    expect(breaker.retries.max).toBe(10);
  });

  it('complains about a release that nobody acquired', () => {
    expect(() => new CircuitBreaker().requests.release()).toThrow('more often');
  });
});
