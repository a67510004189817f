import { describeError } from '@weft/telemetry';
import type { CompileContext, Engine, UpstreamContext } from '../engine/types.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { ClusterConfig } from './config/cluster-config.ts';
import { type Endpoints, noEndpoints } from './config/endpoints.ts';
import type { Discovery } from './discovery/discovery.ts';
import { discoverByDns, systemResolver } from './discovery/dns.ts';
import { discoverByEds } from './discovery/eds.ts';
import { dynamicDestination } from './discovery/dynamic-forward.ts';
import { OnDemandHosts } from './discovery/on-demand-hosts.ts';
import { MAX_ORIGINAL_DST_HOSTS, originalDestination } from './discovery/original-dst.ts';
import type { Host } from './host.ts';
import { HostSets } from './host-sets.ts';
import { OutlierDetector } from './outlier-detection.ts';

export interface ClusterHostsOptions {
  readonly config: ClusterConfig;
  readonly context: CompileContext;
  readonly stats: ClusterStats;
  /** Connections to it are of no more use. */
  readonly onOutdated: (host: Host) => void;
}

/** The hosts of a cluster as discovery has them, how they are, and the choice among them. */
export class ClusterHosts {
  private readonly config: ClusterConfig;
  private readonly engine: Engine;
  private readonly stats: ClusterStats;
  private readonly onOutdated: (host: Host) => void;
  private readonly detector: OutlierDetector | undefined;
  private readonly sets: HostSets;
  /** Of clusters that nobody tells any hosts. */
  private readonly onDemand: OnDemandHosts | undefined;
  private readonly discovery: Discovery | undefined;
  private dropOverloads: readonly number[] = [];

  constructor({ config, context, stats, onOutdated }: ClusterHostsOptions) {
    const { engine } = context;
    this.config = config;
    this.engine = engine;
    this.stats = stats;
    this.onOutdated = onOutdated;
    this.detector = this.createDetector();
    const { policy, slowStart, ...balancing } = config.balancing;
    this.sets = new HostSets({
      ...balancing,
      policy: policy.kind === 'cluster-provided' ? { kind: 'random' } : policy,
      random: () => engine.random(),
      overprovisioningPercent: noEndpoints.overprovisioningPercent,
      detector: this.detector,
      slowStart: slowStart && { config: slowStart, now: () => engine.clock.now() },
    });
    this.onDemand = this.createOnDemand();
    this.discovery = this.discover(context);
  }

  /** For the admin interface. */
  get all(): Iterable<Host> {
    return (this.onDemand?.hosts ?? this.sets.hosts).values();
  }

  pick(context: UpstreamContext): Host | undefined {
    const { engine, stats } = this;
    if (this.dropOverloads.some((share) => engine.random() < share)) {
      stats.rqDropOverload.add();
      return undefined;
    }
    const host = this.onDemand === undefined ? this.pickFromSets(context) : this.onDemand.pick(context);
    if (host === undefined) stats.cxNoneHealthy.add();
    return host;
  }

  close(): void {
    this.discovery?.close();
    this.onDemand?.close();
    this.detector?.close();
  }

  private createOnDemand(): OnDemandHosts | undefined {
    const { discovery } = this.config;
    const common = {
      clock: this.engine.clock,
      isBusy: (host: Host) => host.activeRequests > 0,
      onRemoved: this.onOutdated,
    };
    switch (discovery.kind) {
      case 'original-dst': {
        const { originalDst } = discovery;
        return new OnDemandHosts({
          ...common,
          addressOf: originalDestination(originalDst),
          maxHosts: MAX_ORIGINAL_DST_HOSTS,
          cleanupIntervalMs: originalDst.cleanupIntervalMs,
        });
      }
      case 'dynamic-forward':
        return new OnDemandHosts({
          ...common,
          ...discovery.dynamicForward,
          addressOf: dynamicDestination(discovery.dynamicForward),
        });
      default:
        return undefined;
    }
  }

  private createDetector(): OutlierDetector | undefined {
    const { engine } = this;
    const config = this.config.outlierDetection;
    if (config === undefined) return undefined;
    return new OutlierDetector({
      config,
      clock: engine.clock,
      random: () => engine.random(),
      events: {
        onDetected: (reason, outcome) => this.stats.ejection(reason, outcome),
        onChange: () => {
          this.sets.refresh();
          this.publishMembership();
        },
      },
    });
  }

  private discover(context: CompileContext): Discovery | undefined {
    const { discovery, name } = this.config;
    const { engine, stats } = this;
    if (discovery.kind === 'static') {
      this.setEndpoints(discovery.endpoints);
      return undefined;
    }
    if (discovery.kind === 'original-dst' || discovery.kind === 'dynamic-forward') return undefined;
    const warm = context.warmUp('endpoints');
    const sink = {
      update: (endpoints: Endpoints) => {
        stats.updateSuccess.add();
        this.setEndpoints(endpoints);
      },
      settled: warm,
      failed: (error: unknown) => {
        stats[discovery.kind === 'eds' ? 'updateRejected' : 'updateFailure'].add();
        engine.logger.warn('endpoints not updated', { cluster: name, error: describeError(error) });
      },
    };
    return discovery.kind === 'eds'
      ? discoverByEds({ ...discovery, provider: engine.endpoints }, sink)
      : discoverByDns(discovery, { clock: engine.clock, resolve: systemResolver }, sink);
  }

  private setEndpoints(endpoints: Endpoints): void {
    const outdated = this.sets.update(endpoints.specs, endpoints.overprovisioningPercent);
    this.dropOverloads = endpoints.dropOverloads;
    for (const host of outdated) this.onOutdated(host);
    this.stats.membershipChange.add();
    this.publishMembership();
  }

  private publishMembership(): void {
    const { stats } = this;
    const hosts = [...this.sets.hosts.values()];
    stats.membershipTotal.set(hosts.length);
    stats.membershipHealthy.set(hosts.filter((host) => host.health === 'healthy').length);
    stats.membershipDegraded.set(hosts.filter((host) => host.health === 'degraded').length);
    stats.ejectionsActive.set(this.detector?.ejectedHosts ?? 0);
  }

  private pickFromSets(context: UpstreamContext): Host | undefined {
    if (this.sets.panicking) this.stats.healthyPanic.add();
    const { metadataMatch, avoidedPriorities } = context;
    const query = { hash: context.hash, metadataMatch, avoidedPriorities };
    let host = this.sets.pick(query);
    const { excluded } = context;
    // As Envoy's host_selection_retry_max_attempts: another try or so, then whoever was picked.
    for (
      let left = 1 + (excluded?.size ?? 0);
      left > 0 && host !== undefined && excluded?.has(host) === true;
      left--
    ) {
      host = this.sets.pick(context.hash === undefined ? query : { metadataMatch, avoidedPriorities });
    }
    return host;
  }
}
