import { envoy } from '@weft/api/envoy';
import { compileAccessLogs, type AccessLogger } from '../access-log/index.ts';
import type {
  CompileContext,
  ConnectionInfo,
  ListenerScope,
  SocketAddress as EngineAddress,
} from '../engine/types.ts';
import { durationMs } from '../filters/message.ts';
import { createTcpStreamInfo } from './connection-info.ts';
import { DrainState } from './drain-state.ts';
import { FilterChain } from './filter-chain.ts';
import { filterChainSelector } from './filter-chain-match.ts';
import { listenerFilters } from './listener-filters/compile.ts';
import type { OriginalDestination } from './listener-filters/original-destination.ts';
import { runListenerFilters, type ConditionalFilter } from './listener-filters/run.ts';
import { ListenerStats } from './listener-stats.ts';
import { connectionMatcher } from './matcher-tree.ts';
import { canonicalIp } from './socket-address.ts';
import type { AcceptedStream } from './socket-stream.ts';

type ListenerMessage = envoy.config.listener.v3.Listener.$Properties;
type ChainMessage = envoy.config.listener.v3.FilterChain.$Properties;
const { SocketAddress, TrafficDirection } = envoy.config.core.v3;

const DEFAULT_INSPECTION_TIMEOUT_MS = 15_000;
const DEFAULT_BUFFER_LIMIT_BYTES = 1024 * 1024;
/** Connections of one listener; more are closed at once and counted as `downstream_cx_overflow`. */
export const MAX_LISTENER_CONNECTIONS = 50_000;

/** Where a listener takes connections from. */
export type ListenerBinding =
  | { readonly kind: 'tcp'; readonly addresses: readonly ListenAddress[] }
  /** Connections come from the cluster side of this process. */
  | { readonly kind: 'internal' }
  /** Connections come from a listener with `use_original_dst`. */
  | {
      readonly kind: 'handed-over';
      readonly addresses: readonly ListenAddress[];
    };

export interface ListenAddress {
  readonly ip: string;
  readonly port: number;
  /** `::` takes IPv4 connections, too. Without it, another listener may have them at the same port. */
  readonly ipv4Compat: boolean;
}

/** A chain with what it was made from, so that the next version of its listener can keep it. */
interface ChainEntry {
  readonly key: string;
  readonly chain: FilterChain;
}

/** Finds the listener for a connection's original address: `use_original_dst`. */
export type HandOver = (address: EngineAddress) => Listener | undefined;

/** One version of a Listener resource, compiled. It owns no socket: `ListenerManager` gives it connections. */
export class Listener {
  readonly name: string;
  readonly binding: ListenerBinding;
  readonly backlog: number;
  readonly trafficDirection: ListenerScope['trafficDirection'];
  private readonly context: CompileContext;
  private readonly entries: readonly ChainEntry[];
  private readonly select: (connection: ConnectionInfo) => FilterChain | undefined;
  private readonly filters: readonly ConditionalFilter[];
  private readonly inspectionTimeoutMs: number;
  private readonly continueOnTimeout: boolean;
  private readonly handOver: HandOver | undefined;
  private readonly accessLog: AccessLogger;
  private readonly bufferLimitBytes: number;
  private readonly stats: ListenerStats;
  /** How to give up each connection that listener filters look at. */
  private readonly inspecting = new Set<() => void>();
  private next: Listener | 'removed' | undefined;
  private onClosed: () => void = () => undefined;
  private cancelRetirement: () => void = () => undefined;
  private isClosed = false;

  constructor(
    message: ListenerMessage,
    context: CompileContext,
    o: {
      readonly originalDestination?: OriginalDestination;
      readonly handOver: HandOver;
      readonly previous?: Listener;
    },
  ) {
    this.name = message.name ?? '';
    this.context = context;
    this.binding = binding(message, context);
    this.backlog = message.tcpBacklogSize?.value ?? DEFAULT_BACKLOG;
    this.trafficDirection = direction(message.trafficDirection ?? 0);
    this.inspectionTimeoutMs = durationMs(message.listenerFiltersTimeout) ?? DEFAULT_INSPECTION_TIMEOUT_MS;
    this.continueOnTimeout = message.continueOnListenerFiltersTimeout ?? false;
    this.bufferLimitBytes = message.perConnectionBufferLimitBytes?.value ?? DEFAULT_BUFFER_LIMIT_BYTES;
    this.handOver = message.useOriginalDst?.value === true ? o.handOver : undefined;
    const filters = listenerFilters(message.listenerFilters ?? [], context, o.originalDestination);
    this.filters =
      this.handOver !== undefined && !filters.some(({ filter }) => filter.name.endsWith('original_dst'))
        ? [
            ...listenerFilters(
              [{ name: 'envoy.filters.listener.original_dst' }],
              context,
              o.originalDestination,
            ),
            ...filters,
          ]
        : filters;
    this.accessLog = compileAccessLogs(message.accessLog, context);
    this.stats = new ListenerStats(
      context.engine.stats,
      message.statPrefix || statPrefix(this.binding, this.name),
    );
    const made: ChainEntry[] = [];
    const kept = new Map(o.previous?.entries.map((entry) => [entry.key, entry]));
    const chainOf = (chain: ChainMessage, path: string): FilterChain => {
      const key = chainKey(message, chain);
      const known = kept.get(key) ?? made.find((entry) => entry.key === key);
      const entry = known ?? { key, chain: this.compileChain(chain, context, path) };
      if (!made.includes(entry)) made.push(entry);
      return entry.chain;
    };
    try {
      this.select = selector(message, context, chainOf);
    } catch (error) {
      for (const { key, chain } of made) if (!kept.has(key)) chain.close();
      throw error;
    }
    this.entries = made;
  }

  /** Of all its chains, shared ones included. */
  get activeConnections(): number {
    return this.entries.reduce((sum, { chain }) => sum + chain.activeConnections, this.inspecting.size);
  }

  /** Takes an accepted connection over. */
  accept(connection: AcceptedStream): void {
    if (this.isClosed) return connection.reset();
    if (this.stats.active.value >= MAX_LISTENER_CONNECTIONS) {
      this.stats.overflow.add();
      return connection.reset();
    }
    this.stats.total.add();
    this.stats.active.add();
    const done = (): void => {
      this.stats.active.sub();
      this.stats.destroyed.add();
      if (this.next !== undefined) this.closeIfIdle();
    };
    let giveUp = (): void => undefined;
    const cut = (): void => {
      giveUp();
      connection.reset();
      done();
    };
    this.inspecting.add(cut);
    giveUp = runListenerFilters({
      connection,
      filters: this.filters,
      timeoutMs: this.inspectionTimeoutMs,
      clock: this.context.engine.clock,
      done: (outcome) => {
        this.inspecting.delete(cut);
        if (outcome.kind === 'timeout') this.stats.inspectionTimeout.add();
        const passed = outcome.kind === 'passed' || (outcome.kind === 'timeout' && this.continueOnTimeout);
        if (passed) return this.dispatch(connection, done);
        connection.close();
        done();
      },
    });
  }

  /** All chains: connections are asked to end as soon as they can. */
  drain(): void {
    for (const { chain } of this.entries) chain.drain.start();
  }

  /**
   * Another version has taken over, or none: chains that it doesn't share drain, and are closed when they are idle or
   * the time is over.
   */
  retire(next: Listener | 'removed', drainTimeMs: number, onClosed: () => void): void {
    this.next = next;
    this.onClosed = onClosed;
    for (const { chain } of this.retired()) chain.drain.start();
    this.cancelRetirement = this.context.engine.clock.schedule(drainTimeMs, () => this.close());
    this.closeIfIdle();
  }

  /** Cuts the connections and ends what this version owns alone. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.cancelRetirement();
    for (const cut of [...this.inspecting]) cut();
    this.inspecting.clear();
    for (const { chain } of this.retired()) chain.close();
    if (typeof this.next !== 'object') this.stats.remove();
    this.onClosed();
  }

  private closeIfIdle(): void {
    const active = this.retired().some(({ chain }) => chain.activeConnections > 0);
    if (!active && this.inspecting.size === 0) this.close();
  }

  private retired(): readonly ChainEntry[] {
    const { next } = this;
    return typeof next === 'object'
      ? this.entries.filter((entry) => !next.entries.includes(entry))
      : this.entries;
  }

  private dispatch(connection: AcceptedStream, done: () => void): void {
    const other = this.handOver?.(connection.info.localAddress);
    if (other !== undefined && other !== this) {
      done();
      return other.accept(connection);
    }
    const chain = this.select(connection.info);
    if (chain !== undefined) return chain.accept(connection, this.scope(chain.drain), done);
    this.stats.noFilterChain.add();
    const info = createTcpStreamInfo(connection.info, this.trafficDirection);
    info.responseFlags.add('NR');
    info.responseCodeDetails = 'filter_chain_not_found';
    info.timings.end = performance.now();
    this.accessLog.log(info);
    // The client end of an internal connection must see a failure, not an empty answer.
    if (connection.socket === undefined) connection.reset();
    else connection.close();
    done();
  }

  private scope(drain: ListenerScope['drain']): ListenerScope {
    const { name, trafficDirection, bufferLimitBytes } = this;
    return { name, trafficDirection, bufferLimitBytes, drain };
  }

  private compileChain(message: ChainMessage, context: CompileContext, path: string): FilterChain {
    const drain = new DrainState();
    return new FilterChain(message, withListener(context.at(path), this.scope(drain)), drain, this.stats);
  }
}

const DEFAULT_BACKLOG = 1_024;

function withListener(context: CompileContext, listener: ListenerScope): CompileContext {
  return { ...context, listener, at: (segment) => withListener(context.at(segment), listener) };
}

/** Equal keys: the compiled chains would be alike. */
function chainKey(listener: ListenerMessage, chain: ChainMessage): string {
  const { FilterChain: Message } = envoy.config.listener.v3;
  const { name, filters, transportSocket, transportSocketConnectTimeout } = chain;
  const used: ChainMessage = {
    ...(name === undefined ? {} : { name }),
    ...(filters === undefined ? {} : { filters }),
    ...(transportSocket === undefined ? {} : { transportSocket }),
    ...(transportSocketConnectTimeout === undefined ? {} : { transportSocketConnectTimeout }),
  };
  const scope = `${listener.trafficDirection ?? 0} ${listener.perConnectionBufferLimitBytes?.value ?? ''}`;
  return `${scope} ${Buffer.from(Message.encode(used).finish()).toString('base64')}`;
}

function selector(
  message: ListenerMessage,
  context: CompileContext,
  chainOf: (chain: ChainMessage, path: string) => FilterChain,
): (connection: ConnectionInfo) => FilterChain | undefined {
  const messages = message.filterChains ?? [];
  if (messages.length === 0 && !message.defaultFilterChain)
    context.at('filter_chains').fail('no filter chains');
  const chains = messages.map((chain, i) => chainOf(chain, `filter_chains[${i}]`));
  const otherwise = message.defaultFilterChain
    ? chainOf(message.defaultFilterChain, 'default_filter_chain')
    : undefined;
  if (message.filterChainMatcher) {
    const byName = new Map(chains.map((chain) => [chain.name, chain]));
    const match = connectionMatcher(message.filterChainMatcher, context.at('filter_chain_matcher'));
    return (connection) => {
      const name = match(connection);
      return (name === undefined ? undefined : byName.get(name)) ?? otherwise;
    };
  }
  const pairs = chains.map((chain, i) => ({ chain, match: messages[i]?.filterChainMatch ?? {} }));
  const select = filterChainSelector(pairs, context);
  return (connection) => select(connection) ?? otherwise;
}

function binding(message: ListenerMessage, context: CompileContext): ListenerBinding {
  if (message.internalListener) return { kind: 'internal' };
  const addresses = [
    message.address,
    ...(message.additionalAddresses ?? []).map((additional) => additional.address),
  ].map((address, i) => {
    const at = context.at(i === 0 ? 'address' : `additional_addresses[${i - 1}]`);
    const socket = address?.socketAddress;
    if (!socket) return at.fail('only socket addresses are supported');
    if (socket.protocol === SocketAddress.Protocol.UDP) return at.fail('UDP is not supported');
    if (socket.namedPort) return at.fail('named ports are not supported');
    return {
      ip: canonicalIp(socket.address ?? ''),
      port: socket.portValue ?? 0,
      ipv4Compat: socket.ipv4Compat === true,
    };
  });
  return { kind: message.bindToPort?.value === false ? 'handed-over' : 'tcp', addresses };
}

function direction(value: number): ListenerScope['trafficDirection'] {
  if (value === TrafficDirection.INBOUND) return 'inbound';
  return value === TrafficDirection.OUTBOUND ? 'outbound' : 'unspecified';
}

function statPrefix(from: ListenerBinding, name: string): string {
  if (from.kind === 'internal') return `envoy_internal_${name}`;
  const [first] = from.addresses;
  const { ip = '', port = 0 } = first ?? {};
  return ip.includes(':') ? `[${ip.replaceAll(':', '_')}]_${port}` : `${ip}_${port}`;
}
