import { envoy } from '@weft/api/envoy';
import { typedConfig, TYPE_PREFIX } from '../config/typed-config.ts';
import type {
  ByteStream,
  CompileContext,
  CompiledNetworkFilter,
  ListenerScope,
  NetworkFilter,
  StreamInfo,
} from '../engine/types.ts';
import { durationMs } from '../filters/message.ts';
import { createTcpStreamInfo } from './connection-info.ts';
import { DownstreamTls } from './downstream-tls.ts';
import type { DrainState } from './drain-state.ts';
import type { ListenerStats } from './listener-stats.ts';
import type { AcceptedStream } from './socket-stream.ts';

type Terminal = Extract<CompiledNetworkFilter, { kind: 'terminal' }>;
type NonTerminal = Extract<CompiledNetworkFilter, { kind: 'filter' }>;
type FilterMessage = envoy.config.listener.v3.Filter.$Properties;

const DOWNSTREAM_TLS = `${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`;
const RAW_BUFFER = `${TYPE_PREFIX}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer`;
const PLAIN_NAMES = new Set(['envoy.transport_sockets.raw_buffer', 'raw_buffer']);

/** Where `transport_socket_connect_timeout` says nothing: Envoy waits for ever, at anybody's will. */
export const HANDSHAKE_TIMEOUT_MS = 15_000;

/** What a connection gets once it was decided where it belongs: TLS, network filters, and the one that serves it. */
export class FilterChain {
  readonly name: string;
  /** Draining since no listener has this chain any more. */
  readonly drain: DrainState;
  private readonly tls: DownstreamTls | undefined;
  private readonly handshakeTimeoutMs: number;
  private readonly filters: readonly NonTerminal[];
  private readonly terminal: Terminal;
  private readonly context: CompileContext;
  private readonly stats: ListenerStats;
  /** How to cut each of its connections. */
  private readonly connections = new Set<() => void>();

  constructor(
    message: envoy.config.listener.v3.FilterChain.$Properties,
    context: CompileContext,
    drain: DrainState,
    stats: ListenerStats,
  ) {
    this.name = message.name ?? '';
    this.drain = drain;
    this.context = context;
    this.stats = stats;
    const compiled: CompiledNetworkFilter[] = [];
    try {
      this.tls = transportSocket(message.transportSocket, context.at('transport_socket'));
      this.handshakeTimeoutMs = durationMs(message.transportSocketConnectTimeout) || HANDSHAKE_TIMEOUT_MS;
      (message.filters ?? []).forEach((filter, i) => {
        compiled.push(networkFilter(filter, context.at(`filters[${i}]`)));
      });
      this.filters = compiled.slice(0, -1).map((filter, i) => {
        if (filter.kind === 'filter') return filter;
        return context.at(`filters[${i}]`).fail('a terminal filter must be the last one');
      });
      const last = compiled.at(-1);
      this.terminal =
        last?.kind === 'terminal'
          ? last
          : context.at('filters').fail('the last filter must be a terminal one');
    } catch (error) {
      this.tls?.close();
      for (const filter of compiled) filter.close?.();
      throw error;
    }
  }

  get activeConnections(): number {
    return this.connections.size;
  }

  /**
   * Serves a connection; `done` is called once it is closed.
   *
   *   accepted ──TLS──► secure ──network filters──► with the terminal filter ──► closed
   */
  accept(accepted: AcceptedStream, scope: ListenerScope, done: () => void): void {
    let cut = (): void => accepted.reset();
    let cancelTimer = (): void => undefined;
    const handle = (): void => cut();
    this.connections.add(handle);
    const finish = (): void => {
      cancelTimer();
      if (this.connections.delete(handle)) done();
    };
    const { tls } = this;
    if (tls === undefined) return this.serve(accepted, scope, finish);
    const cancelHandshake = tls.handshake(accepted, {
      onSecure: (connection) => {
        cancelTimer();
        this.stats.handshakes.add();
        cut = () => connection.reset();
        this.serve(connection, scope, finish);
      },
      onFailure: (failure) => {
        this.stats.tlsFailure(failure.kind === 'verification' ? failure.stat : 'connection_error');
        const { logger } = this.context.engine;
        if (logger.enabled('debug')) {
          logger.debug('TLS handshake failed', { listener: scope.name, reason: failure.reason });
        }
        finish();
      },
    });
    cut = () => {
      cancelHandshake();
      finish();
    };
    cancelTimer = this.context.engine.clock.schedule(this.handshakeTimeoutMs, handle);
  }

  /** Cuts the connections and ends what the compiled chain owns. */
  close(): void {
    for (const cut of [...this.connections]) cut();
    this.tls?.close();
    for (const filter of this.filters) filter.close?.();
    this.terminal.close?.();
  }

  private serve(connection: ByteStream, scope: ListenerScope, done: () => void): void {
    const info = createTcpStreamInfo(connection.info, scope.trafficDirection);
    const filters: NetworkFilter[] = [];
    const complete = (): void => {
      info.timings.end ??= performance.now();
      for (const filter of filters) filter.onComplete?.(info);
      done();
    };
    for (const compiled of this.filters) {
      const filter = compiled.create();
      filters.push(filter);
      if (filter.onNewConnection(connection, info) === 'close') return refuse(connection, info, complete);
    }
    this.terminal.accept(connection, info, complete);
  }
}

/** A network filter said no: the client sees a regular end without a byte. */
function refuse(connection: ByteStream, info: StreamInfo, complete: () => void): void {
  info.terminationDetails ??= connection.info.terminationDetails ?? 'closed_by_network_filter';
  connection.onClose = complete;
  connection.close();
}

function transportSocket(
  socket: envoy.config.core.v3.TransportSocket.$Properties | null | undefined,
  context: CompileContext,
): DownstreamTls | undefined {
  if (!socket) return undefined;
  const config = typedConfig(socket.typedConfig, context);
  if (config === undefined && PLAIN_NAMES.has(socket.name ?? '')) return undefined;
  if (config?.typeUrl === RAW_BUFFER) return undefined;
  if (config?.typeUrl === DOWNSTREAM_TLS) return new DownstreamTls(config.value, context);
  return context.fail(`no implementation for ${config?.typeUrl ?? `'${socket.name}'`}`);
}

function networkFilter(message: FilterMessage, context: CompileContext): CompiledNetworkFilter {
  const config = typedConfig(message.typedConfig, context.at('typed_config'));
  if (config === undefined) return context.fail(`filter '${message.name ?? ''}' has no typed_config`);
  const factory = context.engine.networkFilter(config.typeUrl);
  if (factory === undefined) {
    return context.fail(
      `Didn't find a registered implementation for '${message.name ?? ''}' with type URL: '${config.typeUrl}'`,
    );
  }
  return factory.compile(config.value, context.at('typed_config'), config.typeUrl);
}
