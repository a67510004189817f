import { describeError } from '@weft/telemetry';
import type {
  ByteStream,
  CircuitBreakers,
  Cluster,
  CompileContext,
  Endpoint,
  Engine,
  HttpStream,
  HttpStreamEvents,
  Metadata,
  StatsScope,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../engine/types.ts';
import type { HttpClientCodec, HttpClientEvents } from '../http/codec.ts';
import { createHttp1ClientCodec } from '../http/http1/client.ts';
import { createHttp2ClientCodec } from '../http/http2/client.ts';
import { CircuitBreaker, type RoutingPriority } from './circuit-breaker.ts';
import { ClusterStats } from './cluster-stats.ts';
import { type ClusterConfig, compileCluster } from './config/cluster-config.ts';
import { type Endpoints, noEndpoints } from './config/endpoints.ts';
import { ConnectError } from './connect/connect-error.ts';
import { Connector } from './connect/connector.ts';
import type { Discovery } from './discovery/discovery.ts';
import { discoverByDns, systemResolver } from './discovery/dns.ts';
import { discoverByEds } from './discovery/eds.ts';
import { OriginalDstHosts } from './discovery/original-dst.ts';
import { Host } from './host.ts';
import { HostSets } from './host-sets.ts';
import { OutlierDetector } from './outlier-detection.ts';
import { HttpPool } from './pool/http-pool.ts';
import { PoolTable } from './pool/pool-table.ts';
import { UpstreamSockets } from './sockets.ts';

export interface ConnectHandlers {
  onConnected(stream: ByteStream, upstream: UpstreamInfo): void;
  onFailure(failure: UpstreamFailure): void;
}
export interface StreamHandlers {
  onReady(stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents;
  onFailure(failure: UpstreamFailure): void;
}

type Protocol = 'http1' | 'http2' | 'alpn';

/**
 * A cluster, not yet in service: it warms by the context's `warmUp`, and then belongs into the `ClusterTable`.
 *
 * @throws ConfigError
 */
export function createCluster(bytes: Uint8Array, context: CompileContext): UpstreamCluster {
  return new UpstreamCluster(compileCluster(bytes, context), context);
}

/**
 * One version of a cluster: its hosts, limits and pools.
 *
 *   warming ──endpoints and secrets have come──► serving ──replaced or removed: drain()──► draining ──► closed
 */
export class UpstreamCluster implements Cluster {
  readonly config: ClusterConfig;
  readonly stats: StatsScope;
  readonly breakers: CircuitBreakers;
  readonly breakersByPriority: Readonly<Record<RoutingPriority, CircuitBreaker>>;
  private readonly engine: Engine;
  private readonly counters: ClusterStats;
  private readonly sockets: UpstreamSockets;
  private readonly detector: OutlierDetector | undefined;
  private readonly sets: HostSets;
  private readonly originalDst: OriginalDstHosts | undefined;
  private readonly discovery: Discovery | undefined;
  private readonly connector: Connector;
  private readonly pools = new PoolTable();
  private dropOverloads: readonly number[] = [];
  private state: 'open' | 'draining' | 'closed' = 'open';
  private sourcesStopped = false;

  constructor(config: ClusterConfig, context: CompileContext) {
    const { engine } = context;
    this.config = config;
    this.engine = engine;
    this.stats = engine.stats.scope(`cluster.${config.statName}`);
    this.counters = new ClusterStats(this.stats);
    this.breakersByPriority = {
      default: new CircuitBreaker(config.thresholds.default),
      high: new CircuitBreaker(config.thresholds.high),
    };
    this.breakers = {
      tryRetry: (priority) => {
        const taken = this.breakersByPriority[priority].retries.tryAcquire();
        if (!taken) this.counters.rqRetryOverflow.add();
        return taken;
      },
      releaseRetry: (priority) => this.breakersByPriority[priority].retries.release(),
    };
    const random = (): number => engine.random();
    this.detector =
      config.outlierDetection === undefined
        ? undefined
        : new OutlierDetector({
            config: config.outlierDetection,
            clock: engine.clock,
            random,
            events: {
              onDetected: (reason, outcome) => this.counters.ejection(reason, outcome),
              onChange: () => {
                this.sets.refresh();
                this.publishMembership();
              },
            },
          });
    const { policy } = config.balancing;
    this.sets = new HostSets({
      policy: policy.kind === 'cluster-provided' ? { kind: 'random' } : policy,
      random,
      overprovisioningPercent: noEndpoints.overprovisioningPercent,
      panicPercent: config.balancing.panicPercent,
      failTrafficOnPanic: config.balancing.failTrafficOnPanic,
      localityWeighted: config.balancing.localityWeighted,
      detector: this.detector,
      subsets: config.balancing.subsets,
    });
    this.sockets = new UpstreamSockets(config, {
      secrets: engine.secrets,
      waitFor: () => context.warmUp('secrets'),
      onBadSecret: (error) =>
        engine.logger.warn('secret rejected', { cluster: config.name, error: describeError(error) }),
    });
    this.connector = new Connector({ config, engine, stats: this.counters, sockets: this.sockets });
    this.originalDst =
      config.discovery.kind === 'original-dst'
        ? new OriginalDstHosts({
            config: config.discovery.originalDst,
            clock: engine.clock,
            isBusy: (host) => host.activeRequests > 0,
            onRemoved: (host) => this.pools.drainHost(host),
          })
        : undefined;
    this.discovery = this.discover(context);
  }

  get name(): string {
    return this.config.name;
  }

  get statName(): string {
    return this.config.statName;
  }

  get metadata(): Metadata {
    return this.config.metadata;
  }

  get maxStreamDurationMs(): number {
    return this.config.http.maxStreamDurationMs;
  }

  /** For the admin interface. */
  get hosts(): Iterable<Host> {
    return (this.originalDst?.hosts ?? this.sets.hosts).values();
  }

  pick(context: UpstreamContext): Endpoint | undefined {
    const { engine } = this;
    if (this.dropOverloads.some((share) => engine.random() < share)) {
      this.stats.counter('upstream_rq_drop_overload').add();
      return undefined;
    }
    const host = this.originalDst === undefined ? this.pickFromSets(context) : this.originalDst.pick(context);
    if (host === undefined) this.counters.cxNoneHealthy.add();
    return host;
  }

  connect(endpoint: Endpoint, context: UpstreamContext, handlers: ConnectHandlers): { cancel(): void } {
    const host = ownHost(endpoint);
    const breaker = this.breakersByPriority[context.priority ?? 'default'];
    if (!breaker.connections.tryAcquire()) {
      this.counters.cxOverflow.add();
      return later(() => handlers.onFailure({ kind: 'overflow' }));
    }
    const controller = new AbortController();
    host.activeRequests++;
    const release = (): void => {
      host.activeRequests--;
      breaker.connections.release();
    };
    const route = this.connector.plan(host, context, [], undefined).create();
    this.connector.open(route, controller.signal, release).then(
      (stream) => {
        if (controller.signal.aborted) {
          stream.close();
          return;
        }
        host.reportResult({ kind: 'local-origin', success: true });
        handlers.onConnected(stream, this.upstreamInfo(host, stream));
      },
      (error: unknown) => {
        release();
        if (controller.signal.aborted) return;
        host.reportResult({ kind: 'local-origin', success: false });
        handlers.onFailure(failureOf(error));
      },
    );
    return { cancel: () => controller.abort(new Error('cancelled')) };
  }

  openStream(endpoint: Endpoint, context: UpstreamContext, handlers: StreamHandlers): { cancel(): void } {
    const host = ownHost(endpoint);
    const pool = this.poolFor(host, context);
    if (pool === undefined) {
      handlers.onFailure({ kind: 'overflow' });
      return { cancel: () => undefined };
    }
    return pool.request({
      onReady: (stream, { info }) => {
        host.reportResult({ kind: 'local-origin', success: true });
        stream.user = handlers.onReady(stream, this.upstreamInfo(host, { info }));
      },
      onFailure: (failure) => {
        if (failure.kind !== 'overflow') host.reportResult({ kind: 'local-origin', success: false });
        handlers.onFailure(failure);
      },
    });
  }

  /** Serves no new requests; what runs may finish. */
  drain(): void {
    if (this.state !== 'open') return;
    this.state = 'draining';
    this.stopSources();
    this.pools.drain();
  }

  /** Ends everything. */
  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.stopSources();
    this.pools.close();
  }

  private stopSources(): void {
    if (this.sourcesStopped) return;
    this.sourcesStopped = true;
    // What the next version of the cluster counts too stays.
    this.stats.remove?.();
    this.discovery?.close();
    this.originalDst?.close();
    this.detector?.close();
    this.sockets.close();
  }

  private pickFromSets(context: UpstreamContext): Host | undefined {
    if (this.sets.panicking) this.counters.healthyPanic.add();
    const query = { hash: context.hash, metadataMatch: context.metadataMatch };
    let host = this.sets.pick(query);
    const { excluded } = context;
    // As Envoy's host_selection_retry_max_attempts: another try or so, then whoever was picked.
    for (
      let left = 1 + (excluded?.size ?? 0);
      left > 0 && host !== undefined && excluded?.has(host) === true;
      left--
    ) {
      host = this.sets.pick(context.hash === undefined ? query : { metadataMatch: context.metadataMatch });
    }
    return host;
  }

  private discover(context: CompileContext): Discovery | undefined {
    const { discovery } = this.config;
    const { engine } = this;
    if (discovery.kind === 'static') {
      this.setEndpoints(discovery.endpoints);
      return undefined;
    }
    if (discovery.kind === 'original-dst') return undefined;
    const warm = context.warmUp('endpoints');
    const sink = {
      update: (endpoints: Endpoints) => {
        this.counters.updateSuccess.add();
        this.setEndpoints(endpoints);
      },
      settled: warm,
      failed: (error: unknown) => {
        this.counters[discovery.kind === 'eds' ? 'updateRejected' : 'updateFailure'].add();
        engine.logger.warn('endpoints not updated', { cluster: this.name, error: describeError(error) });
      },
    };
    return discovery.kind === 'eds'
      ? discoverByEds({ ...discovery, provider: engine.endpoints }, sink)
      : discoverByDns(discovery, { clock: engine.clock, resolve: systemResolver }, sink);
  }

  private setEndpoints(endpoints: Endpoints): void {
    const outdated = this.sets.update(endpoints.specs, endpoints.overprovisioningPercent);
    this.dropOverloads = endpoints.dropOverloads;
    for (const host of outdated) this.pools.drainHost(host);
    this.counters.membershipChange.add();
    this.publishMembership();
  }

  private publishMembership(): void {
    const hosts = [...this.sets.hosts.values()];
    this.counters.membershipTotal.set(hosts.length);
    this.counters.membershipHealthy.set(hosts.filter((host) => host.health === 'healthy').length);
    this.counters.membershipDegraded.set(hosts.filter((host) => host.health === 'degraded').length);
    this.counters.ejectionsActive.set(this.detector?.ejectedHosts ?? 0);
  }

  /** Pools are split by everything that shapes their connections. Undefined: too many pools. */
  private poolFor(host: Host, context: UpstreamContext): HttpPool | undefined {
    const { http } = this.config;
    const priority = context.priority ?? 'default';
    const protocol = this.protocolFor(context);
    const plan = this.connector.plan(host, context, alpnOf(protocol), http);
    const key = `${priority} ${protocol} ${plan.key}`;
    const known = this.pools.get(host, key);
    if (known !== undefined) return known;
    const breaker = this.breakersByPriority[priority];
    if (!breaker.connectionPools.tryAcquire()) {
      this.counters.cxPoolOverflow.add();
      return undefined;
    }
    const route = plan.create();
    const pool = new HttpPool({
      host,
      breaker,
      config: http,
      stats: this.counters,
      clock: this.engine.clock,
      expectedStreams: protocol === 'http2' ? (http.http2.maxConcurrentStreams ?? 1) : 1,
      connect: (signal) => this.connector.open(route, signal),
      createCodec: (stream, events) => this.createCodec(protocol, stream, events),
      onIdle: (idle) => {
        this.pools.forget(host, key, idle);
        breaker.connectionPools.release();
      },
    });
    this.pools.add(host, key, pool);
    return pool;
  }

  private createCodec(protocol: Protocol, stream: ByteStream, events: HttpClientEvents): HttpClientCodec {
    const { http, bufferLimitBytes } = this.config;
    if (protocol === 'http2' || (protocol === 'alpn' && stream.info.tls?.alpn === 'h2')) {
      this.counters.cxHttp2Total.add();
      return createHttp2ClientCodec(stream, events, { ...http.http2, bufferLimitBytes });
    }
    this.counters.cxHttp1Total.add();
    return createHttp1ClientCodec(stream, events, { ...http.http1, bufferLimitBytes });
  }

  private protocolFor(context: UpstreamContext): Protocol {
    const { protocol } = this.config.http;
    return protocol === 'downstream' ? (context.downstreamProtocol ?? 'http1') : protocol;
  }

  private upstreamInfo(host: Host, { info }: Pick<ByteStream, 'info'>): UpstreamInfo {
    return {
      cluster: this,
      endpoint: host,
      localAddress: info.localAddress,
      filterState: info.filterState,
      ...(info.tls === undefined ? {} : { tls: info.tls }),
    };
  }
}

function ownHost(endpoint: Endpoint): Host {
  if (!(endpoint instanceof Host)) throw new TypeError('the endpoint is of no cluster');
  return endpoint;
}

function alpnOf(protocol: Protocol): readonly string[] {
  if (protocol === 'alpn') return ['h2', 'http/1.1'];
  return protocol === 'http2' ? ['h2'] : ['http/1.1'];
}

function later(task: () => void): { cancel(): void } {
  let cancelled = false;
  queueMicrotask(() => {
    if (!cancelled) task();
  });
  return {
    cancel: () => {
      cancelled = true;
    },
  };
}

function failureOf(error: unknown): UpstreamFailure {
  if (error instanceof ConnectError) {
    return error.kind === 'connect-timeout'
      ? { kind: 'connect-timeout' }
      : { kind: 'connect-failure', reason: error.reason };
  }
  return { kind: 'connect-failure', reason: describeError(error) };
}
