import { envoy } from '@weft/api/envoy';
import {
  AdminServer,
  LogLevels,
  WeftError,
  describeError,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import { AdsClient, type ResourceConsumer } from '@weft/xds';
import { accessLogFiles } from './access-log/index.ts';
import { adminRoutes } from './admin/index.ts';
import { adminSources } from './config/admin-sources.ts';
import { adsAccess, adsProtocol } from './config/ads.ts';
import { staticRuntime, type Bootstrap } from './config/bootstrap.ts';
import { ClusterUpdates } from './config/cluster-updates.ts';
import { collectionConsumer } from './config/collection-consumer.ts';
import { FileSource } from './config/file-source.ts';
import { Gate } from './config/gate.ts';
import { ResourceStores } from './config/resource-stores.ts';
import { TYPE_PREFIX } from './config/typed-config.ts';
import type { Embedding } from './engine/embedding.ts';
import { ProxyEngine } from './engine/engine.ts';
import type { NodeInfo } from './engine/types.ts';
import { durationMs, structToPlain } from './filters/message.ts';
import { checkFields } from './field-support/check-fields.ts';
import { FilterRegistry } from './filters/index.ts';
import { httpConnectionManager, router } from './http/index.ts';
import { InternalListenerTable } from './network/internal-listeners.ts';
import type { OriginalDestination } from './network/listener-filters/original-destination.ts';
import { ListenerManager } from './network/listener-manager.ts';
import { tcpProxy } from './network/tcp-proxy/index.ts';
import { StatsStore } from './stats/index.ts';
import { ClusterTable } from './upstream/cluster-table.ts';

export type ProxyState = 'PRE_INITIALIZING' | 'INITIALIZING' | 'LIVE' | 'DRAINING';

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly embedding?: Embedding;
  readonly logger?: Logger;
  /** What `/logging` changes. */
  readonly logLevels?: LogLevels;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** SO_ORIGINAL_DST, where connections are redirected to this process. */
  readonly originalDestination?: OriginalDestination;
  /** How long connections of a replaced or removed listener may go on: Envoy's `--drain-time-s`. */
  readonly drainTimeMs?: number;
  readonly version?: string;
  /** `/quitquitquit` was called. */
  readonly onQuit?: () => void;
}

const DEFAULT_DRAIN_TIME_MS = 600_000;
const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000;
const DRAIN_POLL_MS = 100;
const CLUSTERS = `${TYPE_PREFIX}envoy.config.cluster.v3.Cluster`;
const LISTENERS = `${TYPE_PREFIX}envoy.config.listener.v3.Listener`;
const INTERNAL_LISTENER = `${TYPE_PREFIX}envoy.extensions.bootstrap.internal_listener.v3.InternalListener`;

/**
 * The L7 engine. Everything that it does comes from Envoy v3 resources: those of the bootstrap, then those of ADS or of
 * files.
 *
 *   PRE_INITIALIZING ─start─► INITIALIZING ─clusters warm, then listeners─► LIVE ─drain─► DRAINING ─close─► gone
 */
export class Proxy {
  readonly stats = new StatsStore();
  readonly engine: ProxyEngine;
  readonly listeners: ListenerManager;
  readonly clusters = new ClusterTable();
  readonly clusterUpdates: ClusterUpdates;
  readonly stores: ResourceStores;
  /** Resolves once the first configuration is in force; rejects when a listener of the bootstrap can't be bound. */
  readonly live: Promise<void>;
  readonly startTimeMs: number;
  readonly options: ProxyOptions;
  private current: ProxyState = 'PRE_INITIALIZING';
  private readonly logger: Logger;
  private readonly clock: Clock;
  private readonly stop = new AbortController();
  private readonly files: FileSource[] = [];
  private readonly firstPush = { cds: new Gate(), lds: new Gate() };
  private readonly liveGate = new Gate();
  private readonly wantedNames = new Map<string, readonly string[]>();
  private ads: AdsClient | undefined;
  private admin: AdminServer | undefined;

  /** Compiles nothing yet. @throws WEFT2101 naming a field of the bootstrap that isn't supported */
  constructor(options: ProxyOptions) {
    const { bootstrap, embedding = {} } = options;
    checkBootstrap(bootstrap);
    this.options = options;
    this.logger = options.logger ?? silentLogger;
    this.clock = options.clock ?? systemClock;
    this.startTimeMs = this.clock.now();
    this.live = this.liveGate.opened;
    const internalListeners = new InternalListenerTable(() => this.clock.now());
    internalListeners.bufferBytes = internalBuffer(bootstrap) ?? internalListeners.bufferBytes;
    const reported = new Set<string>();
    const onUnknownField = (resource: string, field: string): void => {
      this.stats.counter('server.dynamic_unknown_fields').add();
      const key = `${resource} ${field}`;
      if (reported.has(key) || reported.size >= MAX_REPORTED_FIELDS) return;
      reported.add(key);
      this.logger.warn('unknown field', { resource, field });
    };
    this.stores = new ResourceStores({
      clock: this.clock,
      logger: this.logger,
      secretServers: embedding.secretServers ?? new Map(),
      onUnknownField,
      onNames: (typeUrl, names) => {
        this.wantedNames.set(typeUrl, names);
        this.ads?.setNames(typeUrl, names);
      },
    });
    this.engine = new ProxyEngine({
      clock: this.clock,
      logger: this.logger,
      stats: this.stats,
      clusters: this.clusters,
      secrets: this.stores.secrets,
      routes: this.stores.routes,
      endpoints: this.stores.endpoints,
      internalListeners,
      node: nodeInfo(bootstrap, embedding),
      runtime: staticRuntime(bootstrap),
      filters: new FilterRegistry().addHttp(router).addNetwork(httpConnectionManager).addNetwork(tcpProxy),
      ...(options.random === undefined ? {} : { random: options.random }),
      ...(embedding.workloads === undefined ? {} : { workloads: embedding.workloads }),
      ...(embedding.isForbidden === undefined ? {} : { isForbidden: embedding.isForbidden }),
    });
    this.clusterUpdates = new ClusterUpdates({ engine: this.engine, table: this.clusters, onUnknownField });
    this.listeners = new ListenerManager({
      engine: this.engine,
      internalListeners,
      drainTimeMs: options.drainTimeMs ?? DEFAULT_DRAIN_TIME_MS,
      onUnknownField,
      ...(options.originalDestination === undefined
        ? {}
        : { originalDestination: options.originalDestination }),
    });
  }

  get state(): ProxyState {
    return this.current;
  }

  /**
   * Takes the bootstrap's resources and connects to the configuration server. With static configuration only, its
   * listeners are open when this resolves; otherwise `live` tells. @throws WEFT2101 WEFT2103
   */
  async start(): Promise<void> {
    this.setState('INITIALIZING');
    const { bootstrap } = this.options;
    await this.startAdmin();
    const { secrets = [], clusters = [], listeners = [] } = bootstrap.staticResources ?? {};
    for (const secret of secrets ?? []) this.stores.addStaticSecret(secret);
    for (const cluster of clusters ?? []) {
      this.clusterUpdates.apply(envoy.config.cluster.v3.Cluster.encode(cluster).finish(), '', true);
    }
    for (const listener of listeners ?? []) {
      this.listeners.apply(envoy.config.listener.v3.Listener.encode(listener).finish(), '', true);
    }
    const dynamic = this.startDynamic();
    const initialized = this.initialize();
    initialized.then(
      () => this.liveGate.open(),
      (error: unknown) => this.liveGate.fail(error),
    );
    if (!dynamic) await initialized;
  }

  /** Asks clients to leave; new connections are still served. */
  drain(o: { readonly inboundOnly?: boolean } = {}): void {
    this.setState('DRAINING');
    if (o.inboundOnly !== true) this.engine.drain.start();
    this.listeners.drain((listener) => o.inboundOnly !== true || listener.trafficDirection === 'inbound');
  }

  /** Drains until no connection is left or the time is over. */
  async drainFor(timeoutMs: number): Promise<void> {
    this.drain();
    const deadline = this.clock.now() + timeoutMs;
    while (this.listeners.activeConnections > 0 && this.clock.now() < deadline) {
      await this.clock.sleep(DRAIN_POLL_MS, this.stop.signal);
      if (this.stop.signal.aborted) return;
    }
  }

  /** Ends everything at once. Idempotent. */
  async close(): Promise<void> {
    this.stop.abort();
    for (const file of this.files.splice(0)) file.close();
    this.listeners.close();
    this.clusterUpdates.close();
    this.stores.close();
    await Promise.all([this.ads?.done, this.admin?.close(), accessLogFiles(this.engine).close()]);
    this.liveGate.fail(new WeftError('WEFT2103', 'closed'));
  }

  private setState(state: ProxyState): void {
    this.current = state;
    this.stats.gauge('server.state').set(SERVER_STATES.indexOf(state));
    this.stats.gauge('server.live').set(state === 'LIVE' ? 1 : 0);
  }

  private async startAdmin(): Promise<void> {
    const address = this.options.bootstrap.admin?.address?.socketAddress;
    if (!address) return;
    this.admin = new AdminServer(adminRoutes(adminSources(this)));
    try {
      await this.admin.listen(address.portValue ?? 0, address.address ?? 'localhost');
    } catch (error) {
      const place = `${address.address ?? ''}:${address.portValue ?? 0}`;
      throw new WeftError('WEFT2103', `the admin interface cannot listen on ${place}`, { cause: error });
    }
  }

  private async initialize(): Promise<void> {
    const { dynamicResources } = this.options.bootstrap;
    if (dynamicResources?.cdsConfig) await this.first(this.firstPush.cds, dynamicResources.cdsConfig);
    else this.firstPush.cds.open();
    await this.clusterUpdates.whenWarm();
    if (this.stop.signal.aborted) return;
    await this.listeners.start();
    if (dynamicResources?.ldsConfig) await this.first(this.firstPush.lds, dynamicResources.ldsConfig);
    await this.listeners.whenWarm();
    if (this.current === 'INITIALIZING') this.setState('LIVE');
    this.stats.gauge('server.initialization_time_ms').set(this.clock.now() - this.startTimeMs);
    this.logger.info('proxy is live', { listeners: this.listeners.status().length });
  }

  /** Waits for the first push of a collection, at most as long as its source says. */
  private async first(gate: Gate, source: envoy.config.core.v3.ConfigSource.$Properties): Promise<void> {
    const timeoutMs = durationMs(source.initialFetchTimeout) ?? DEFAULT_INITIAL_FETCH_TIMEOUT_MS;
    const cancel = timeoutMs === 0 ? () => undefined : this.clock.schedule(timeoutMs, () => gate.open());
    await gate.opened;
    cancel();
  }

  private startDynamic(): boolean {
    const { bootstrap, embedding } = this.options;
    const { cdsConfig, ldsConfig } = bootstrap.dynamicResources ?? {};
    const clusters = collectionConsumer({
      typeUrl: CLUSTERS,
      apply: (bytes, version) => this.clusterUpdates.apply(bytes, version),
      remove: (name) => this.clusterUpdates.remove(name),
      onPush: () => this.firstPush.cds.open(),
      stats: this.stats.scope('cluster_manager.cds'),
    });
    const listeners = collectionConsumer({
      typeUrl: LISTENERS,
      apply: (bytes, version) => this.listeners.apply(bytes, version),
      remove: (name) => this.listeners.remove(name),
      onPush: () => this.firstPush.lds.open(),
      stats: this.stats.scope('listener_manager.lds'),
    });
    const byAds: ResourceConsumer[] = [];
    for (const [source, consumer] of [
      [cdsConfig, clusters],
      [ldsConfig, listeners],
    ] as const) {
      const path = source?.pathConfigSource?.path ?? source?.path;
      const watchedDirectory = source?.pathConfigSource?.watchedDirectory?.path;
      if (path) this.followFile(path, watchedDirectory, consumer);
      else if (source) byAds.push(consumer);
    }
    const protocol = adsProtocol(bootstrap);
    if (protocol !== undefined) {
      const access = embedding?.ads ?? adsAccess(bootstrap);
      const { endpoints, routes, secrets } = this.stores.ads;
      const connected = this.stats.gauge('control_plane.connected_state');
      this.ads = new AdsClient({
        protocol,
        ...access,
        consumers: order([...byAds, endpoints, routes, secrets]),
        onConnection: (up) => connected.set(up ? 1 : 0),
        signal: this.stop.signal,
        logger: this.logger,
        clock: this.clock,
      });
      for (const [typeUrl, names] of this.wantedNames) this.ads.setNames(typeUrl, names);
    } else if (byAds.length > 0) {
      throw new WeftError('WEFT2103', 'lds_config or cds_config asks for ADS, and there is no ads_config');
    }
    return cdsConfig != null || ldsConfig != null;
  }

  private followFile(
    path: string,
    watchedDirectory: string | null | undefined,
    consumer: ResourceConsumer,
  ): void {
    try {
      const watched = watchedDirectory ? { watchedDirectory } : {};
      const file = new FileSource({ path, consumer, logger: this.logger, ...watched });
      this.files.push(file);
      void file.read();
    } catch (error) {
      throw new WeftError('WEFT2103', `${path} cannot be followed: ${describeError(error)}`, {
        cause: error,
      });
    }
  }
}

/** Resources are checked one by one, when they are taken: errors name them then. */
function checkBootstrap(bootstrap: Bootstrap): void {
  const { Bootstrap: Message } = envoy.config.bootstrap.v3;
  const rest = Message.decode(Message.encode(bootstrap).finish());
  rest.staticResources = null;
  checkFields('envoy.config.bootstrap.v3.Bootstrap', Message.encode(rest).finish(), {
    resource: 'bootstrap',
  });
}

const SERVER_STATES: readonly ProxyState[] = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING'];
/** Unknown fields that are logged one by one; the counter goes on. */
const MAX_REPORTED_FIELDS = 1_000;

/** Envoy's order of subscriptions: a type comes after those that it is needed by. */
function order(consumers: readonly ResourceConsumer[]): readonly ResourceConsumer[] {
  const rank = ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration', 'Secret'];
  const of = ({ typeUrl }: ResourceConsumer): number =>
    rank.indexOf(typeUrl.slice(typeUrl.lastIndexOf('.') + 1));
  return [...consumers].sort((a, b) => of(a) - of(b));
}

function nodeInfo(bootstrap: Bootstrap, embedding: Embedding): NodeInfo {
  const node = bootstrap.node ?? {};
  const metadata = node.metadata ?? embedding.ads?.node.metadata;
  const locality = node.locality;
  return {
    id: node.id ?? '',
    cluster: node.cluster ?? '',
    metadata: metadata ? structToPlain(metadata) : {},
    ...(locality
      ? {
          locality: {
            region: locality.region ?? '',
            zone: locality.zone ?? '',
            subZone: locality.subZone ?? '',
          },
        }
      : {}),
  };
}

function internalBuffer(bootstrap: Bootstrap): number | undefined {
  for (const { typedConfig } of bootstrap.bootstrapExtensions) {
    if (typedConfig?.type_url !== INTERNAL_LISTENER) continue;
    const { InternalListener } = envoy.extensions.bootstrap.internal_listener.v3;
    const kilobytes = InternalListener.decode(typedConfig.value ?? new Uint8Array()).bufferSizeKb?.value;
    if (kilobytes) return kilobytes * 1024;
  }
  return undefined;
}
