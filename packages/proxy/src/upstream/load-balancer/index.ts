import { Maglev, RingHash } from './consistent-hash.ts';
import type { Balanced, BalancePolicy, LoadBalancer, Random } from './load-balancer.ts';
import { LeastRequest, RandomChoice, RoundRobin } from './weighted.ts';

export * from './load-balancer.ts';
export { EdfSchedule } from './edf-schedule.ts';
export { combineHash, xxHash64 } from './xx-hash.ts';

export function createLoadBalancer<T extends Balanced>(
  policy: BalancePolicy,
  hosts: readonly T[],
  random: Random,
): LoadBalancer<T> {
  switch (policy.kind) {
    case 'round-robin':
      return new RoundRobin(hosts, random);
    case 'least-request':
      return new LeastRequest(hosts, random, policy);
    case 'random':
      return new RandomChoice(hosts, random);
    case 'ring-hash':
      return new RingHash(hosts, random, policy);
    case 'maglev':
      return new Maglev(hosts, random, policy);
  }
}
