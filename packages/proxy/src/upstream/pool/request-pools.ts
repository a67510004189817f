import type { ByteStream, Engine, UpstreamContext } from '../../engine/types.ts';
import type { HttpClientCodec, HttpClientEvents } from '../../http/codec.ts';
import { createHttp1ClientCodec } from '../../http/http1/client.ts';
import { createHttp2ClientCodec } from '../../http/http2/client.ts';
import type { CircuitBreaker, RoutingPriority } from '../circuit-breaker.ts';
import type { ClusterStats } from '../cluster-stats.ts';
import type { ClusterConfig } from '../config/cluster-config.ts';
import type { Connector } from '../connect/connector.ts';
import type { Host } from '../host.ts';
import { HttpPool } from './http-pool.ts';
import { PoolTable } from './pool-table.ts';

type Protocol = 'http1' | 'http2' | 'alpn';

export interface RequestPoolsOptions {
  readonly config: ClusterConfig;
  readonly engine: Engine;
  readonly stats: ClusterStats;
  readonly connector: Connector;
  readonly breakers: Readonly<Record<RoutingPriority, CircuitBreaker>>;
}

/** The pools of a cluster's HTTP connections, split by everything that shapes them. */
export class RequestPools {
  private readonly o: RequestPoolsOptions;
  private readonly pools = new PoolTable();

  constructor(o: RequestPoolsOptions) {
    this.o = o;
  }

  /** Undefined: there are too many pools. */
  poolFor(host: Host, context: UpstreamContext): HttpPool | undefined {
    const { config, engine, stats, connector, breakers } = this.o;
    const { http } = config;
    const priority = context.priority ?? 'default';
    const protocol = http.protocol === 'downstream' ? (context.downstreamProtocol ?? 'http1') : http.protocol;
    const plan = connector.plan(host, context, alpnOf(protocol), http);
    const key = `${priority} ${protocol} ${plan.key}`;
    const known = this.pools.get(host, key);
    if (known !== undefined) return known;
    const breaker = breakers[priority];
    if (!breaker.connectionPools.tryAcquire()) {
      stats.cxPoolOverflow.add();
      return undefined;
    }
    const route = plan.create();
    const pool = new HttpPool({
      host,
      breaker,
      config: http,
      stats,
      clock: engine.clock,
      expectedStreams: protocol === 'http2' ? (http.http2.maxConcurrentStreams ?? 1) : 1,
      connect: (signal) => connector.open(route, signal),
      createCodec: (stream, events) => this.createCodec(protocol, stream, events),
      onIdle: (idle) => {
        this.pools.forget(host, key, idle);
        breaker.connectionPools.release();
      },
    });
    this.pools.add(host, key, pool);
    return pool;
  }

  /** The host is gone, or another one: what runs may finish. */
  drainHost(host: Host): void {
    this.pools.drainHost(host);
  }

  drain(): void {
    this.pools.drain();
  }

  close(): void {
    this.pools.close();
  }

  private createCodec(protocol: Protocol, stream: ByteStream, events: HttpClientEvents): HttpClientCodec {
    const { config, stats } = this.o;
    const { http, bufferLimitBytes } = config;
    if (protocol === 'http2' || (protocol === 'alpn' && stream.info.tls?.alpn === 'h2')) {
      stats.cxHttp2Total.add();
      return createHttp2ClientCodec(stream, events, { ...http.http2, bufferLimitBytes });
    }
    stats.cxHttp1Total.add();
    return createHttp1ClientCodec(stream, events, { ...http.http1, bufferLimitBytes });
  }
}

function alpnOf(protocol: Protocol): readonly string[] {
  if (protocol === 'alpn') return ['h2', 'http/1.1'];
  return protocol === 'http2' ? ['h2'] : ['http/1.1'];
}
