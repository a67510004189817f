import { envoy } from '@weft/api/envoy';
import { TYPE_PREFIX } from '../../config/typed-config.ts';
import type {
  ByteStream,
  CompileContext,
  NetworkFilterFactory,
  StatCounter,
  StreamInfo,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../../engine/types.ts';
import { compileMessage } from '../../filters/message.ts';
import { relay } from '../relay.ts';
import { connectUpstream } from './connector.ts';
import { tcpProxyConfig, type TcpProxyConfig, type WeightedCluster } from './config.ts';

/** Filter state that overrides the configuration, as Envoy names it. */
const CLUSTER_KEY = 'envoy.tcp_proxy.cluster';
const DISABLE_TUNNELING_KEY = 'envoy.tcp_proxy.disable_tunneling';
const IDLE_TIMEOUT_KEY = 'envoy.tcp_proxy.per_connection_idle_timeout_ms';

/** The terminal network filter `envoy.filters.network.tcp_proxy`. */
export const tcpProxy: NetworkFilterFactory = {
  name: 'envoy.filters.network.tcp_proxy',
  typeUrls: [`${TYPE_PREFIX}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`],
  compile: (bytes, context) => {
    const { TcpProxy } = envoy.extensions.filters.network.tcp_proxy.v3;
    const config = compileMessage(TcpProxy, bytes, context, (message) => tcpProxyConfig(message, context));
    const stats = new TcpStats(context, config.statPrefix);
    return {
      kind: 'terminal',
      accept: (connection, info, done) =>
        new TcpSession({ config, context, stats, connection, info, done }).start(),
    };
  },
};

class TcpStats {
  readonly total: StatCounter;
  readonly noRoute: StatCounter;
  readonly received: StatCounter;
  readonly sent: StatCounter;

  constructor(context: CompileContext, prefix: string) {
    const scope = context.engine.stats.scope(`tcp.${prefix}`);
    this.total = scope.counter('downstream_cx_total');
    this.noRoute = scope.counter('downstream_cx_no_route');
    this.received = scope.counter('downstream_cx_rx_bytes_total');
    this.sent = scope.counter('downstream_cx_tx_bytes_total');
  }
}

interface SessionOptions {
  readonly config: TcpProxyConfig;
  readonly context: CompileContext;
  readonly stats: TcpStats;
  readonly connection: ByteStream;
  readonly info: StreamInfo;
  readonly done: () => void;
}

/**
 * One proxied connection.
 *
 *   connecting ──(failed: next attempt)──► relaying ──► ended
 *        └──no cluster, no host, attempts exhausted, client gone──► ended
 */
class TcpSession {
  private readonly o: SessionOptions;
  private pending: { cancel(): void } | undefined;
  private cancelDuration: () => void = () => undefined;
  private finished = false;

  constructor(options: SessionOptions) {
    this.o = options;
  }

  start(): void {
    const { config, context, stats, connection, info } = this.o;
    stats.total.add();
    connection.onClose = (error) => this.onClientGone(error);
    if (config.maxDurationMs > 0) {
      this.cancelDuration = context.engine.clock.schedule(config.maxDurationMs, () => {
        info.responseFlags.add('DT');
        info.responseCodeDetails ??= 'max_duration_timeout';
        this.pending?.cancel();
        connection.close();
      });
    }
    this.attempt();
  }

  private attempt(): void {
    const { config, context, connection, info } = this.o;
    const { engine } = context;
    const target = this.target();
    const cluster = engine.clusters.get(target.name);
    if (cluster === undefined) {
      this.o.stats.noRoute.add();
      info.responseFlags.add('NC');
      return this.fail('cluster_not_found');
    }
    const hash = config.hash?.(info);
    const upstreamContext: UpstreamContext = {
      info,
      ...(hash === undefined ? {} : { hash }),
      ...(target.metadataMatch === undefined ? {} : { metadataMatch: target.metadataMatch }),
    };
    info.upstream = { cluster };
    const endpoint = cluster.pick(upstreamContext);
    if (endpoint === undefined) {
      info.responseFlags.add('UH');
      return this.fail('no_healthy_upstream');
    }
    info.attemptCount++;
    info.upstream = { cluster, endpoint };
    const tunneled = info.filterState.text(DISABLE_TUNNELING_KEY) !== 'true';
    let called = false;
    const pending = connectUpstream({
      cluster,
      endpoint,
      context: upstreamContext,
      tunneling: tunneled ? config.tunneling : undefined,
      info,
      handlers: {
        onConnected: (stream, upstream) => {
          called = true;
          this.pending = undefined;
          if (this.finished || connection.closed) return stream.reset();
          this.relay(stream, upstream);
        },
        onFailure: (failure, detail) => {
          called = true;
          this.pending = undefined;
          if (!this.finished) this.onConnectFailure(failure, detail);
        },
      },
    });
    if (!called) this.pending = pending;
  }

  private target(): WeightedCluster {
    const { config, context, info } = this.o;
    const named = info.filterState.text(CLUSTER_KEY);
    if (named !== undefined) return { name: named, weight: 1 };
    const [first] = config.clusters;
    let point = config.clusters.length === 1 ? 0 : context.engine.random() * config.totalWeight;
    for (const cluster of config.clusters) {
      if (point < cluster.weight) return cluster;
      point -= cluster.weight;
    }
    return first ?? context.fail('no cluster');
  }

  private onConnectFailure(failure: UpstreamFailure, detail: string | undefined): void {
    const { config, info } = this.o;
    if (info.upstream !== undefined && failure.kind === 'connect-failure') {
      info.upstream.transportFailureReason = failure.reason;
    }
    switch (failure.kind) {
      case 'overflow':
        info.responseFlags.add('UO');
        return this.fail('upstream_overflow');
      case 'no-healthy-upstream':
        info.responseFlags.add('UH');
        return this.fail('no_healthy_upstream');
      case 'dns-failure':
        info.responseFlags.add('DF');
        return this.fail('dns_resolution_failure');
      default:
        if (info.attemptCount < config.maxConnectAttempts) return this.attempt();
        info.responseFlags.add('UF').add('URX');
        this.fail(detail ?? failure.kind.replaceAll('-', '_'));
    }
  }

  private relay(upstreamStream: ByteStream, upstream: UpstreamInfo): void {
    const { config, context, stats, connection, info } = this.o;
    info.upstream = upstream;
    const override = Number(info.filterState.text(IDLE_TIMEOUT_KEY) ?? Number.NaN);
    relay(connection, upstreamStream, {
      clock: context.engine.clock,
      idleTimeoutMs: Number.isFinite(override) ? override : config.idleTimeoutMs,
      onReceived: (bytes) => {
        info.bytesReceived += bytes;
        stats.received.add(bytes);
      },
      onSent: (bytes) => {
        info.bytesSent += bytes;
        stats.sent.add(bytes);
      },
      onDone: (end) => {
        if (end.kind === 'failed' && end.side === 'upstream') info.responseFlags.add('UC');
        if (end.kind === 'failed' && end.side === 'downstream') info.responseFlags.add('DC');
        this.finish();
      },
    });
  }

  /** The client sees a reset where a host refused it, and a regular end where there was none to refuse. */
  private fail(details: string): void {
    const { connection, info } = this.o;
    info.responseCodeDetails ??= details;
    connection.onClose = () => this.finish();
    if (info.responseFlags.has('UH')) connection.close();
    else connection.reset();
  }

  private onClientGone(error: Error | undefined): void {
    this.pending?.cancel();
    if (error !== undefined) this.o.info.responseFlags.add('DC');
    this.finish();
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.cancelDuration();
    const { config, info, done } = this.o;
    info.timings.end = performance.now();
    config.accessLog.log(info);
    done();
  }
}
