import type { MetadataStruct, MetadataValue } from '../engine/types.ts';
import { type EndpointSpec, Host, type HostSlowStart } from './host.ts';
import {
  type BalanceContext,
  type BalancePolicy,
  createLoadBalancer,
  EdfSchedule,
  type LoadBalancer,
  type Random,
} from './load-balancer/index.ts';
import type { OutlierDetector } from './outlier-detection.ts';
import { type LevelLoad, priorityLoads } from './priority-load.ts';
import { formatAddress } from '../engine/types.ts';

export interface HostSetOptions {
  readonly policy: BalancePolicy;
  readonly random: Random;
  readonly overprovisioningPercent: number;
  readonly panicPercent: number;
  readonly failTrafficOnPanic: boolean;
  /** Traffic goes to localities by their weights. Without it, they don't matter. */
  readonly localityWeighted: boolean;
  readonly detector?: OutlierDetector | undefined;
  readonly slowStart?: HostSlowStart | undefined;
  /** Without it, what routes demand is ignored, as Envoy does. */
  readonly subsets?: SubsetConfig | undefined;
}

/** Routes may demand metadata of hosts, for these sets of keys only. */
export interface SubsetConfig {
  readonly selectors: readonly ReadonlySet<string>[];
  /** For requests that demand nothing, or what no host has. */
  readonly fallback: 'none' | 'any' | 'default';
  readonly defaultSubset: MetadataStruct;
}

export interface HostQuery extends BalanceContext {
  /** `envoy.lb` keys and values that a host's metadata must have. */
  readonly metadataMatch?: MetadataStruct | undefined;
  /** As if their hosts weren't healthy, unless that leaves none. */
  readonly avoidedPriorities?: ReadonlySet<number> | undefined;
}

/** Balancers of subsets that are kept; the oldest is made anew when it is wanted again. */
export const MAX_CACHED_SUBSETS = 64;

/** The hosts of a cluster by priority, and the choice among them. */
export class HostSets {
  private readonly options: HostSetOptions;
  private hostsByKey = new Map<string, Host>();
  private all: Chooser;
  private readonly subsets = new Map<string, Chooser>();
  private overprovisioningPercent: number;

  constructor(options: HostSetOptions) {
    this.options = options;
    this.overprovisioningPercent = options.overprovisioningPercent;
    this.all = new Chooser([], options, this.overprovisioningPercent);
  }

  get hosts(): ReadonlyMap<string, Host> {
    return this.hostsByKey;
  }

  get panicking(): boolean {
    return this.all.loads.some((load) => load.panic);
  }

  /** Replaces the hosts; the same address stays the same `Host`. Returns those whose connections are of no more use. */
  update(
    specs: readonly EndpointSpec[],
    overprovisioningPercent = this.options.overprovisioningPercent,
  ): readonly Host[] {
    const { detector, policy, slowStart } = this.options;
    const hashByHostname = 'useHostname' in policy && policy.useHostname;
    const next = new Map<string, Host>();
    const outdated: Host[] = [];
    for (const spec of specs) {
      const key = formatAddress(spec.address);
      if (next.has(key)) continue;
      const known = this.hostsByKey.get(key);
      if (known === undefined || (hashByHostname && known.hostname !== spec.hostname)) {
        next.set(key, new Host(spec, { hashByHostname, monitor: detector?.createMonitor(), slowStart }));
      } else {
        // Metadata choose the transport socket and travel with connections: it may be another workload's address now.
        if (!sameMetadata(known.spec, spec)) outdated.push(known);
        known.spec = spec;
        next.set(key, known);
      }
    }
    for (const host of this.hostsByKey.values()) if (next.get(host.key) !== host) outdated.push(host);
    this.hostsByKey = next;
    this.overprovisioningPercent = overprovisioningPercent;
    detector?.setMonitors([...next.values()].flatMap((host) => host.monitor ?? []));
    this.refresh();
    return outdated;
  }

  /** The health of hosts changed. */
  refresh(): void {
    this.subsets.clear();
    for (const host of this.hostsByKey.values()) host.noteHealth();
    this.all = new Chooser([...this.hostsByKey.values()], this.options, this.overprovisioningPercent);
  }

  pick(query: HostQuery): Host | undefined {
    const { subsets } = this.options;
    if (subsets === undefined) return this.all.pick(query);
    const match = query.metadataMatch ?? {};
    const keys = Object.keys(match);
    const selected =
      keys.length > 0 && subsets.selectors.some((s) => s.size === keys.length && keys.every((k) => s.has(k)));
    if (selected) {
      const subset = this.subset(match);
      if (subset.hosts > 0) return subset.pick(query);
    }
    switch (subsets.fallback) {
      case 'none':
        return undefined;
      case 'any':
        return this.all.pick(query);
      case 'default':
        return this.subset(subsets.defaultSubset).pick(query);
    }
  }

  private subset(match: MetadataStruct): Chooser {
    const key = JSON.stringify(Object.entries(match).sort(([a], [b]) => (a < b ? -1 : 1)));
    const cached = this.subsets.get(key);
    if (cached !== undefined) return cached;
    const hosts = [...this.hostsByKey.values()].filter((host) => {
      const own = host.metadata.get('envoy.lb') ?? {};
      return Object.entries(match).every(([name, value]) => sameValue(own[name], value));
    });
    const chooser = new Chooser(hosts, this.options, this.overprovisioningPercent);
    const [oldest] = this.subsets.keys();
    if (this.subsets.size >= MAX_CACHED_SUBSETS && oldest !== undefined) this.subsets.delete(oldest);
    this.subsets.set(key, chooser);
    return chooser;
  }
}

/** The balancers over one set of hosts: level → healthy, degraded or all → locality → host. */
class Chooser {
  readonly hosts: number;
  readonly loads: readonly LevelLoad[];
  private readonly levels: readonly Level[];
  private readonly options: HostSetOptions;
  private readonly overprovisioningPercent: number;

  constructor(hosts: readonly Host[], options: HostSetOptions, overprovisioningPercent: number) {
    this.options = options;
    this.overprovisioningPercent = overprovisioningPercent;
    this.hosts = hosts.length;
    const count = hosts.reduce((most, host) => Math.max(most, host.priority + 1), 0);
    this.levels = Array.from(
      { length: count },
      (_, priority) =>
        new Level(
          hosts.filter((host) => host.priority === priority),
          options,
          overprovisioningPercent,
        ),
    );
    this.loads = priorityLoads(this.levels, { overprovisioningPercent, panicPercent: options.panicPercent });
  }

  pick(query: HostQuery): Host | undefined {
    const loads = this.loadsWithout(query.avoidedPriorities);
    let left = this.options.random() * 100;
    for (let i = 0; i < loads.length; i++) {
      left -= loads[i]?.healthy ?? 0;
      if (left < 0) return this.fromLevel(i, 'healthy', query);
    }
    for (let i = 0; i < loads.length; i++) {
      left -= loads[i]?.degraded ?? 0;
      if (left < 0) return this.fromLevel(i, 'degraded', query);
    }
    // Rounding: the shares may add up to a hair less than 100.
    const last = loads.findLastIndex((load) => load.healthy > 0 || load.degraded > 0);
    if (last < 0) return undefined;
    return this.fromLevel(last, (loads[last]?.degraded ?? 0) > 0 ? 'degraded' : 'healthy', query);
  }

  private loadsWithout(avoided: ReadonlySet<number> | undefined): readonly LevelLoad[] {
    if (avoided === undefined) return this.loads;
    const levels = this.levels.map((level, i) =>
      avoided.has(i) ? { hosts: level.hosts, healthy: 0, degraded: 0 } : level,
    );
    if (levels.every(({ healthy, degraded }) => healthy + degraded === 0)) return this.loads;
    // A level that is avoided must not be taken for one in panic.
    return priorityLoads(levels, { overprovisioningPercent: this.overprovisioningPercent, panicPercent: 0 });
  }

  private fromLevel(index: number, health: 'healthy' | 'degraded', query: HostQuery): Host | undefined {
    const panic = this.loads[index]?.panic === true;
    if (panic && this.options.failTrafficOnPanic) return undefined;
    return this.levels[index]?.balancer(panic ? 'all' : health).pick(query);
  }
}

/** The hosts of one priority. Balancers are made when first needed: ring and table are large. */
class Level {
  readonly hosts: number;
  readonly healthy: number;
  readonly degraded: number;
  private readonly members: readonly Host[];
  private readonly options: HostSetOptions;
  private readonly overprovisioningPercent: number;
  private readonly balancers = new Map<'healthy' | 'degraded' | 'all', LoadBalancer<Host>>();

  constructor(members: readonly Host[], options: HostSetOptions, overprovisioningPercent: number) {
    this.members = members;
    this.options = options;
    this.overprovisioningPercent = overprovisioningPercent;
    this.hosts = members.length;
    this.healthy = members.filter((host) => host.health === 'healthy').length;
    this.degraded = members.filter((host) => host.health === 'degraded').length;
  }

  balancer(which: 'healthy' | 'degraded' | 'all'): LoadBalancer<Host> {
    let balancer = this.balancers.get(which);
    if (balancer === undefined) {
      balancer = this.create(which);
      this.balancers.set(which, balancer);
    }
    return balancer;
  }

  private create(which: 'healthy' | 'degraded' | 'all'): LoadBalancer<Host> {
    const { policy, random, localityWeighted } = this.options;
    const usable = (host: Host): boolean => which === 'all' || host.health === which;
    if (!localityWeighted) return createLoadBalancer(policy, this.members.filter(usable), random);
    return new LocalityWeighted(this.members, usable, this.options, this.overprovisioningPercent);
  }
}

/**
 * Chooses the locality by weight × min(1, overprovisioning × share of usable hosts), then a host in it. A locality
 * without a weight gets nothing.
 */
class LocalityWeighted implements LoadBalancer<Host> {
  private readonly schedule = new EdfSchedule<{ weight: number; balancer: LoadBalancer<Host> }>();

  constructor(
    members: readonly Host[],
    usable: (host: Host) => boolean,
    { policy, random }: HostSetOptions,
    overprovisioningPercent: number,
  ) {
    for (const group of groupByLocality(members).values()) {
      const hosts = group.filter(usable);
      const available = Math.min(1, ((hosts.length / group.length) * overprovisioningPercent) / 100);
      const weight = (group[0]?.spec.localityWeight ?? 0) * available;
      if (weight > 0)
        this.schedule.add(weight, { weight, balancer: createLoadBalancer(policy, hosts, random) });
    }
    for (let skip = Math.floor(random() * this.schedule.size); skip > 0; skip--)
      this.schedule.pick((l) => l.weight);
  }

  pick(context: BalanceContext): Host | undefined {
    return this.schedule.pick((locality) => locality.weight)?.balancer.pick(context);
  }
}

function groupByLocality(hosts: readonly Host[]): ReadonlyMap<string, Host[]> {
  const groups = new Map<string, Host[]>();
  for (const host of hosts) {
    const { region, zone, subZone } = host.locality;
    const key = JSON.stringify([region, zone, subZone]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [host]);
    else group.push(host);
  }
  return groups;
}

function sameMetadata(a: EndpointSpec, b: EndpointSpec): boolean {
  return JSON.stringify([...a.metadata]) === JSON.stringify([...b.metadata]);
}

function sameValue(a: MetadataValue | undefined, b: MetadataValue): boolean {
  if (Array.isArray(a) && !Array.isArray(b)) return a.some((element) => sameValue(element, b));
  return JSON.stringify(a) === JSON.stringify(b);
}
