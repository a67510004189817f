import { resources, type KubernetesClient, type KubernetesObject, type ResourceType } from '@weft/kubernetes';
import { describeError, type Logger } from '@weft/telemetry';
import { ClusterCache } from './cluster-cache.ts';
import { discoverResources, resourceId } from './discovery.ts';
import { garbageCollector } from './garbage-collector.ts';
import { NamespaceTermination } from './namespace-termination.ts';
import { endpointsType } from './objects.ts';
import { isOf, type Controller, type ObjectChange } from './reconcile.ts';
import { WorkQueue } from './work-queue.ts';
import { WriteExecutor } from './write-executor.ts';

const DISCOVERY_DELAY_MS = 250;
const DISCOVERY_RETRY_MS = 2_000;

/** Resources whose content controllers read; of all others only the metadata is kept. */
const readResources: readonly ResourceType[] = [
  resources.namespaces,
  resources.pods,
  resources.nodes,
  resources.services,
  resources.deployments,
  resources.replicaSets,
  resources.daemonSets,
  resources.statefulSets,
  resources.jobs,
  resources.serviceAccounts,
  resources.configMaps,
  resources.endpointSlices,
  endpointsType,
  resources.leases,
  resources.clusterRoles,
  resources.customResourceDefinitions,
];
/** Events own nothing and are owned by nothing; mirroring them would be most of the traffic. */
const unmirrored: ReadonlySet<string> = new Set(['events', 'events.k8s.io/events']);

/**
 * Runs controllers on one cluster:
 *
 *     reflectors ──change──▶ cache ──keysFor──▶ queue ──key──▶ reconcile ──writes──▶ API server
 *                              ▲                                                        │
 *                              └──────────────────────answers───────────────────────────┘
 */
export class ControllerLoop {
  private readonly client: KubernetesClient;
  private readonly logger: Logger;
  private readonly signal: AbortSignal;
  private readonly cache: ClusterCache;
  private readonly controllers: ReadonlyMap<string, Controller>;
  private readonly queue: WorkQueue;
  private readonly executor: WriteExecutor;
  private readonly termination: NamespaceTermination;
  private discovered: readonly ResourceType[] = [];
  private discoveryTimer: NodeJS.Timeout | undefined;
  private started = false;

  constructor(o: {
    client: KubernetesClient;
    controllers: readonly Controller[];
    logger: Logger;
    signal: AbortSignal;
  }) {
    this.client = o.client;
    this.logger = o.logger;
    this.signal = o.signal;
    this.cache = new ClusterCache({
      client: o.client,
      logger: o.logger.scope('reflector'),
      onChange: (change) => this.route(change),
    });
    this.controllers = new Map([...o.controllers, garbageCollector(this.cache)].map((c) => [c.name, c]));
    this.executor = new WriteExecutor(o.client, this.cache);
    this.queue = new WorkQueue((key) => this.reconcile(key), o.logger);
    this.termination = new NamespaceTermination({
      client: o.client,
      types: () => this.discovered,
      logger: o.logger,
      signal: o.signal,
    });
    o.signal.addEventListener('abort', () => this.close(), { once: true });
  }

  /** The mirror that controllers work on; others may read it too. */
  get view(): ClusterCache {
    return this.cache;
  }

  /** Resolves once the first complete state of what controllers read has been routed to them. */
  async start(): Promise<void> {
    await Promise.all(readResources.map((type) => this.cache.track(type)));
    this.started = true;
    for (const type of readResources) {
      for (const object of this.cache.list(type)) this.route({ kind: 'upsert', type, object });
    }
    await this.discover();
  }

  private route(change: ObjectChange): void {
    // A half-filled view would make controllers repair what isn't broken.
    if (!this.started) return;
    for (const controller of this.controllers.values()) {
      for (const key of controller.keysFor(change, this.cache)) this.queue.add(`${controller.name}|${key}`);
    }
    if (isOf(change, resources.namespaces) && change.kind === 'upsert')
      this.termination.observe(change.object);
    if (isOf(change, resources.customResourceDefinitions)) this.scheduleDiscovery(DISCOVERY_DELAY_MS);
  }

  private async reconcile(entry: string): Promise<number | undefined> {
    const bar = entry.indexOf('|');
    const name = entry.slice(0, bar);
    const controller = this.controllers.get(name);
    if (controller === undefined) return undefined;
    const { writes, requeueAfterMs } = controller.reconcile(entry.slice(bar + 1), this.cache, new Date());
    for (const write of writes) await this.executor.execute(write, name, this.signal);
    return requeueAfterMs;
  }

  private scheduleDiscovery(delayMs: number): void {
    clearTimeout(this.discoveryTimer);
    this.discoveryTimer = setTimeout(() => void this.discover(), delayMs);
  }

  /** Mirrors what is served now: custom resources come and go with their definitions. */
  private async discover(): Promise<void> {
    if (this.signal.aborted) return;
    try {
      this.discovered = await discoverResources(this.client, this.signal);
    } catch (error) {
      this.logger.warn('discovery failed', { error: describeError(error) });
      return this.scheduleDiscovery(DISCOVERY_RETRY_MS);
    }
    const served = new Set(this.discovered.map(resourceId));
    for (const type of this.cache.tracked()) {
      if (!served.has(resourceId(type))) this.cache.untrack(type);
    }
    for (const type of this.discovered) {
      if (!unmirrored.has(resourceId(type))) void this.cache.track(type, metadataOnly);
    }
  }

  private close(): void {
    clearTimeout(this.discoveryTimer);
    this.queue.close();
    this.cache.close();
  }
}

function metadataOnly({ apiVersion, kind, metadata }: KubernetesObject): KubernetesObject {
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata,
  };
}
