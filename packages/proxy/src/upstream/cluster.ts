import { describeError } from '@weft/telemetry';
import type {
  ByteStream,
  CircuitBreakers,
  Cluster,
  CompileContext,
  Endpoint,
  HttpStream,
  HttpStreamEvents,
  Metadata,
  StatsScope,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../engine/types.ts';
import { CircuitBreaker, type RoutingPriority } from './circuit-breaker.ts';
import { ClusterHosts } from './cluster-hosts.ts';
import { ClusterStats } from './cluster-stats.ts';
import { type ClusterConfig, compileCluster } from './config/cluster-config.ts';
import { ConnectError } from './connect/connect-error.ts';
import { Connector } from './connect/connector.ts';
import { Host } from './host.ts';
import { RequestPools } from './pool/request-pools.ts';
import { UpstreamSockets } from './sockets.ts';

export interface ConnectHandlers {
  onConnected(stream: ByteStream, upstream: UpstreamInfo): void;
  onFailure(failure: UpstreamFailure): void;
}
export interface StreamHandlers {
  onReady(stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents;
  onFailure(failure: UpstreamFailure): void;
}

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
 *
 *   pick: hosts ─► endpoint;   connect: connector ─► its own connection;   openStream: pools ─► connector
 */
export class UpstreamCluster implements Cluster {
  readonly config: ClusterConfig;
  readonly stats: StatsScope;
  readonly breakers: CircuitBreakers;
  readonly breakersByPriority: Readonly<Record<RoutingPriority, CircuitBreaker>>;
  private readonly counters: ClusterStats;
  private readonly sockets: UpstreamSockets;
  private readonly connector: Connector;
  private readonly pools: RequestPools;
  private readonly members: ClusterHosts;
  private state: 'open' | 'draining' | 'closed' = 'open';
  private sourcesStopped = false;

  constructor(config: ClusterConfig, context: CompileContext) {
    const { engine } = context;
    this.config = config;
    this.stats = engine.stats.scope(`cluster.${config.statName}`);
    const stats = new ClusterStats(this.stats);
    this.counters = stats;
    const breakers = {
      default: new CircuitBreaker(config.thresholds.default),
      high: new CircuitBreaker(config.thresholds.high),
    };
    this.breakersByPriority = breakers;
    this.breakers = {
      tryRetry: (priority) => {
        const taken = breakers[priority].retries.tryAcquire();
        if (!taken) stats.rqRetryOverflow.add();
        return taken;
      },
      releaseRetry: (priority) => breakers[priority].retries.release(),
    };
    this.sockets = new UpstreamSockets(config, {
      secrets: engine.secrets,
      waitFor: () => context.warmUp('secrets'),
      onBadSecret: (error) =>
        engine.logger.warn('secret rejected', { cluster: config.name, error: describeError(error) }),
    });
    const connector = new Connector({ config, engine, stats, sockets: this.sockets });
    this.connector = connector;
    const pools = new RequestPools({ config, engine, stats, connector, breakers });
    this.pools = pools;
    this.members = new ClusterHosts({ config, context, stats, onOutdated: (host) => pools.drainHost(host) });
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
    return this.members.all;
  }

  pick(context: UpstreamContext): Endpoint | undefined {
    return this.members.pick(context);
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
    const pool = this.pools.poolFor(host, context);
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
    this.members.close();
    this.sockets.close();
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
    return error.kind === 'connect-failure'
      ? { kind: 'connect-failure', reason: error.reason }
      : { kind: error.kind };
  }
  return { kind: 'connect-failure', reason: describeError(error) };
}
