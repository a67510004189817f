import type { ByteStream, Engine, UpstreamContext } from '../../engine/types.ts';
import { FilterState } from '../../engine/types.ts';
import type { ClusterStats } from '../cluster-stats.ts';
import type { ClusterConfig } from '../config/cluster-config.ts';
import type { Host } from '../host.ts';
import type { UpstreamSocket, UpstreamSockets } from '../sockets.ts';
import { handshakeKey, passthroughKey, passthroughMetadata, tlsHandshake } from '../transport-options.ts';
import { ConnectError } from './connect-error.ts';
import { ObservedStream } from './observed-stream.ts';
import type { TlsHandshake } from './tls-connect.ts';
import { type ConnectPlan, openTransport } from './transport.ts';

/** How connections of one kind reach a host. Keeps nothing of the request it was made for but what they need. */
export type Route = Pick<ConnectPlan, 'host' | 'tls' | 'internal'>;

export interface PlannedRoute {
  /** Connections with different keys must not be shared. */
  readonly key: string;
  /** Only needed when there is no connection to share. */
  create(): Route;
}

/** Makes the connections of a cluster: by the socket of the host, counted. */
export class Connector {
  private readonly config: ClusterConfig;
  private readonly engine: Engine;
  private readonly stats: ClusterStats;
  private readonly sockets: UpstreamSockets;

  constructor(o: {
    readonly config: ClusterConfig;
    readonly engine: Engine;
    readonly stats: ClusterStats;
    readonly sockets: UpstreamSockets;
  }) {
    this.config = o.config;
    this.engine = o.engine;
    this.stats = o.stats;
    this.sockets = o.sockets;
  }

  /** `codecProtocols`: what ALPN offers where nothing else says; `http`: options that only HTTP looks at. */
  plan(
    host: Host,
    context: UpstreamContext,
    codecProtocols: readonly string[],
    http: ClusterConfig['http'] | undefined,
  ): PlannedRoute {
    const socket = this.sockets.forHost(host);
    const handshake =
      socket.tls === undefined ? undefined : tlsHandshake(socket.tls.config, http, context, codecProtocols);
    return {
      key: `${socket.id} ${socketKey(socket, handshake, context)}`,
      create: () => this.route(host, socket, context, handshake),
    };
  }

  /**
   * `onFinished` comes once when the connection, if there was one, is over.
   *
   * @throws ConnectError; the reason of `signal`
   */
  async open(route: Route, signal: AbortSignal, onFinished?: () => void): Promise<ByteStream> {
    const { stats } = this;
    const { host } = route;
    const startMs = performance.now();
    let stream: ByteStream;
    try {
      stream = await this.openTransport(route, signal);
    } catch (error) {
      if (error instanceof ConnectError) this.countFailure(host, error);
      throw error;
    }
    const connectedMs = performance.now();
    stats.cxConnectMs.record(connectedMs - startMs);
    stats.cxTotal.add();
    stats.cxActive.add();
    host.stats.connectionsTotal++;
    host.stats.connectionsActive++;
    return new ObservedStream(stream, stats, (side) => {
      stats.cxActive.sub();
      stats.cxDestroy.add();
      (side === 'local' ? stats.cxDestroyLocal : stats.cxDestroyRemote).add();
      stats.cxLengthMs.record(performance.now() - connectedMs);
      host.stats.connectionsActive--;
      onFinished?.();
    });
  }

  private route(
    host: Host,
    { config, tls }: UpstreamSocket,
    context: UpstreamContext,
    handshake: TlsHandshake | undefined,
  ): Route {
    return {
      host,
      tls: tls === undefined || handshake === undefined ? undefined : { context: tls, handshake },
      internal:
        config.kind === 'internal'
          ? {
              filterState: context.info.filterState.sharedWithUpstream(),
              metadata: passthroughMetadata(config.passthrough, host, this.config.metadata, context),
            }
          : undefined,
    };
  }

  private openTransport({ host, tls, internal }: Route, signal: AbortSignal): Promise<ByteStream> {
    const { config, engine, stats } = this;
    return openTransport(
      {
        host,
        tls,
        // Each connection gets objects of its own, for its listener adds to them.
        internal:
          internal === undefined
            ? undefined
            : { filterState: new FilterState(internal.filterState), metadata: new Map(internal.metadata) },
        timeoutMs: config.connectTimeoutMs,
        keepaliveTimeS: config.keepaliveTimeS,
        sources: config.sources,
        lookup:
          config.discovery.kind === 'dynamic-forward' ? config.discovery.dynamicForward.family : undefined,
      },
      {
        clock: engine.clock,
        internalListeners: engine.internalListeners,
        lookups: engine.lookups,
        isForbidden: engine.isForbidden,
        onTlsFailure: (stat) => stats.tlsFailure(stat),
        onTlsHandshake: () => stats.sslHandshake.add(),
      },
      signal,
    );
  }

  private countFailure(host: Host, error: ConnectError): void {
    const { stats } = this;
    host.stats.connectFailures++;
    stats.cxTotal.add();
    (error.kind === 'connect-timeout' ? stats.cxConnectTimeout : stats.cxConnectFail).add();
  }
}

function socketKey(
  socket: UpstreamSocket,
  handshake: TlsHandshake | undefined,
  context: UpstreamContext,
): string {
  const secure = handshake === undefined ? '' : handshakeKey(handshake);
  if (socket.config.kind !== 'internal') return secure;
  const shared = context.info.filterState.sharedKey();
  return `${secure} ${shared} ${passthroughKey(socket.config.passthrough, context)}`;
}
