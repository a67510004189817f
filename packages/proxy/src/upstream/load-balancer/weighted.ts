import { EdfSchedule } from './edf-schedule.ts';
import type { Balanced, BalanceContext, LoadBalancer, Random } from './load-balancer.ts';

/** In turn, in proportion to the weights, from a random start so that a fleet doesn't begin at the same host. */
export class RoundRobin<T extends Balanced> implements LoadBalancer<T> {
  private readonly hosts: readonly T[];
  private readonly schedule: EdfSchedule<T> | undefined;
  private next: number;

  constructor(hosts: readonly T[], random: Random) {
    this.hosts = hosts;
    this.next = Math.floor(random() * hosts.length);
    this.schedule = haveEqualWeights(hosts) ? undefined : weightedSchedule(hosts, random);
  }

  pick(_context: BalanceContext): T | undefined {
    if (this.schedule !== undefined) return this.schedule.pick(weightOf);
    const { hosts } = this;
    if (hosts.length === 0) return undefined;
    const host = hosts[this.next % hosts.length];
    this.next = (this.next + 1) % hosts.length;
    return host;
  }
}

/**
 * Equal weights: the least busy of a few random ones. Unequal: round robin with the weight divided by the load, so
 * that a host twice as busy comes half as often.
 */
export class LeastRequest<T extends Balanced> implements LoadBalancer<T> {
  private readonly hosts: readonly T[];
  private readonly random: Random;
  private readonly choiceCount: number;
  private readonly bias: number;
  private readonly schedule: EdfSchedule<T> | undefined;

  constructor(hosts: readonly T[], random: Random, o: { choiceCount: number; activeRequestBias: number }) {
    this.hosts = hosts;
    this.random = random;
    this.choiceCount = o.choiceCount;
    this.bias = o.activeRequestBias;
    this.schedule = haveEqualWeights(hosts) ? undefined : weightedSchedule(hosts, random);
  }

  pick(_context: BalanceContext): T | undefined {
    if (this.schedule !== undefined) return this.schedule.pick(this.biasedWeight);
    let best: T | undefined;
    for (let i = 0; i < this.choiceCount; i++) {
      const candidate = this.hosts[Math.floor(this.random() * this.hosts.length)];
      if (candidate === undefined) return undefined;
      if (best === undefined || candidate.activeRequests < best.activeRequests) best = candidate;
    }
    return best;
  }

  private readonly biasedWeight = (host: T): number =>
    this.bias === 0 ? weightOf(host) : weightOf(host) / (host.activeRequests + 1) ** this.bias;
}

/** Uniform: as in Envoy, this policy does not look at weights. */
export class RandomChoice<T extends Balanced> implements LoadBalancer<T> {
  private readonly hosts: readonly T[];
  private readonly random: Random;

  constructor(hosts: readonly T[], random: Random) {
    this.hosts = hosts;
    this.random = random;
  }

  pick(_context: BalanceContext): T | undefined {
    return this.hosts[Math.floor(this.random() * this.hosts.length)];
  }
}

function weightOf(host: Balanced): number {
  return host.currentWeight ?? host.weight;
}

/** And keep them. */
function haveEqualWeights(hosts: readonly Balanced[]): boolean {
  return hosts.every((host) => host.currentWeight === undefined && host.weight === hosts[0]?.weight);
}

function weightedSchedule<T extends Balanced>(hosts: readonly T[], random: Random): EdfSchedule<T> {
  const schedule = new EdfSchedule<T>();
  for (const host of hosts) schedule.add(weightOf(host), host);
  for (let skip = Math.floor(random() * hosts.length); skip > 0; skip--) schedule.pick(weightOf);
  return schedule;
}
