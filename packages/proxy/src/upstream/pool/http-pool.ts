import type { Clock } from '@weft/telemetry';
import type { ByteStream } from '../../engine/types.ts';
import type { HttpClientCodec, HttpClientEvents } from '../../http/codec.ts';
import type { CircuitBreaker } from '../circuit-breaker.ts';
import type { ClusterStats } from '../cluster-stats.ts';
import type { HttpConfig } from '../config/http-options.ts';
import { ConnectError } from '../connect/connect-error.ts';
import type { Host } from '../host.ts';
import { PooledConnection } from './pooled-connection.ts';
import type { PooledStream } from './pooled-stream.ts';
import { SettlingConnections } from './settling-connections.ts';

export type PoolFailure =
  | { readonly kind: 'overflow' }
  | { readonly kind: 'connect-failure'; readonly reason: string }
  | { readonly kind: 'connect-timeout' }
  | { readonly kind: 'dns-failure' };

export interface PoolHandlers {
  /** Once, perhaps before `request` returns. Sets `stream.user` before anything arrives. */
  onReady(stream: PooledStream, connection: PooledConnection): void;
  onFailure(failure: PoolFailure): void;
}

export interface HttpPoolOptions {
  readonly host: Host;
  readonly breaker: CircuitBreaker;
  readonly config: HttpConfig;
  readonly stats: ClusterStats;
  readonly clock: Clock;
  /** Streams to expect of a connection that isn't there yet: 1 for HTTP/1. */
  readonly expectedStreams: number;
  /** A new connection, counted. */
  readonly connect: (signal: AbortSignal) => Promise<ByteStream>;
  readonly createCodec: (stream: ByteStream, events: HttpClientEvents) => HttpClientCodec;
  /** Once: nothing is left in the pool, and it takes no more requests. */
  readonly onIdle: (pool: HttpPool) => void;
}

interface Pending {
  readonly handlers: PoolHandlers;
}

/**
 * The connections to one host over which requests of one kind travel. A request takes a place on a connection, or
 * waits for one: a new connection is made while those under way have fewer places than there are requests waiting.
 */
export class HttpPool {
  private readonly options: HttpPoolOptions;
  private readonly connections = new Set<PooledConnection>();
  /** Those of them that may have a free place: not all have to be asked for every request. */
  private readonly ready = new Set<PooledConnection>();
  private readonly connecting = new Set<AbortController>();
  private readonly pending = new Set<Pending>();
  private readonly settling = new SettlingConnections((connection) => this.onSettled(connection));
  /** Requests that get a settling connection each: they only wait for a turn of the event loop. */
  private readonly reserved = new Set<Pending>();
  private draining = false;
  private attaching = false;
  private gone = false;

  constructor(options: HttpPoolOptions) {
    this.options = options;
  }

  get isEmpty(): boolean {
    return (
      this.connections.size === 0 &&
      this.connecting.size === 0 &&
      this.pending.size === 0 &&
      this.reserved.size === 0
    );
  }

  get activeConnections(): number {
    return this.connections.size;
  }

  request(handlers: PoolHandlers): { cancel(): void } {
    const free = this.pending.size === 0 ? this.freeConnection() : undefined;
    if (free !== undefined) {
      this.attach(free, handlers);
      return NOT_PENDING;
    }
    const pending: Pending = { handlers };
    if (this.pending.size === 0 && this.reserved.size < this.settling.size) this.reserved.add(pending);
    else if (this.addPending(pending)) this.connectForPending();
    else {
      this.reportEmpty();
      return NOT_PENDING;
    }
    return { cancel: () => this.cancel(pending) };
  }

  /** Finishes what runs and waits, on the connections there are; then the pool is empty. */
  drain(): void {
    this.draining = true;
    if (this.pending.size === 0)
      for (const controller of this.connecting) controller.abort(new NotNeededError());
    for (const connection of [...this.connections]) connection.drain();
    this.reportEmpty();
  }

  /** Ends everything now. */
  close(): void {
    this.draining = true;
    for (const controller of this.connecting) controller.abort(new NotNeededError());
    for (const connection of [...this.connections]) connection.close();
    const gone: PoolFailure = { kind: 'connect-failure', reason: 'the cluster is gone' };
    const reserved = [...this.reserved];
    this.reserved.clear();
    for (const { handlers } of reserved) handlers.onFailure(gone);
    this.failPending(gone);
    this.reportEmpty();
  }

  onCapacity(connection: PooledConnection): void {
    if (connection.canOpen) {
      if (connection.mayBeClosing) {
        this.ready.delete(connection);
        this.settling.add(connection);
        return;
      }
      this.ready.add(connection);
    } else this.settling.delete(connection);
    this.attachPending();
  }

  private onSettled(connection: PooledConnection): void {
    if (connection.canOpen) this.ready.add(connection);
    this.attachPending();
  }

  onClosed(connection: PooledConnection): void {
    this.connections.delete(connection);
    this.ready.delete(connection);
    this.settling.delete(connection);
    this.options.breaker.connections.release();
    this.attachPending();
    this.reportEmpty();
  }

  private attachPending(): void {
    // A handler may cause the next event of a codec.
    if (this.attaching) return;
    this.attaching = true;
    try {
      for (const pending of this.reserved) {
        const connection = this.freeConnection();
        if (connection === undefined) break;
        this.reserved.delete(pending);
        this.attach(connection, pending.handlers);
      }
      for (const pending of this.pending) {
        const connection = this.freeConnection();
        if (connection === undefined) break;
        this.removePending(pending);
        this.attach(connection, pending.handlers);
      }
      this.unreserve();
    } finally {
      this.attaching = false;
    }
    this.connectForPending();
  }

  /** Of connections that closed while they settled, the requests wait like others. */
  private unreserve(): void {
    for (const pending of this.reserved) {
      if (this.reserved.size <= this.settling.size) return;
      this.reserved.delete(pending);
      this.addPending(pending);
    }
  }

  private addPending(pending: Pending): boolean {
    const { breaker, stats } = this.options;
    if (!breaker.pendingRequests.tryAcquire()) {
      stats.rqPendingOverflow.add();
      pending.handlers.onFailure({ kind: 'overflow' });
      return false;
    }
    this.pending.add(pending);
    stats.rqPendingTotal.add();
    stats.rqPendingActive.add();
    return true;
  }

  private attach(connection: PooledConnection, handlers: PoolHandlers): void {
    const { breaker, stats, host } = this.options;
    if (!breaker.requests.tryAcquire()) {
      stats.rqPendingOverflow.add();
      handlers.onFailure({ kind: 'overflow' });
      return;
    }
    host.activeRequests++;
    host.stats.requestsTotal++;
    stats.rqTotal.add();
    stats.rqActive.add();
    const release = (): void => {
      breaker.requests.release();
      host.activeRequests--;
      stats.rqActive.sub();
    };
    const stream = connection.open((end) => {
      release();
      if (end === 'remote-reset') stats.rqRxReset.add();
      else if (end === 'local-reset') stats.rqTxReset.add();
      if (this.draining) connection.drain();
      else this.onCapacity(connection);
    });
    if (stream === undefined) {
      release();
      handlers.onFailure({ kind: 'connect-failure', reason: 'the connection takes no more requests' });
      return;
    }
    handlers.onReady(stream, connection);
    if (this.draining) connection.drain();
  }

  private freeConnection(): PooledConnection | undefined {
    for (const connection of this.ready) {
      if (connection.canOpen) return connection;
      this.ready.delete(connection);
    }
    return undefined;
  }

  private connectForPending(): void {
    const { breaker, stats, expectedStreams } = this.options;
    while (
      this.connecting.size * expectedStreams + this.settling.size <
      this.pending.size + this.reserved.size
    ) {
      const first = this.connections.size === 0 && this.connecting.size === 0;
      if (!breaker.connections.tryAcquire()) {
        stats.cxOverflow.add();
        // Every host gets one connection, or its requests could wait for ever.
        if (!first) return;
        breaker.connections.acquire();
      }
      this.connectOne();
    }
  }

  private connectOne(): void {
    const controller = new AbortController();
    this.connecting.add(controller);
    const { options } = this;
    options.connect(controller.signal).then(
      (stream) => {
        this.connecting.delete(controller);
        const { createCodec, config, stats, clock } = options;
        const connection = new PooledConnection({ stream, createCodec, config, stats, clock, owner: this });
        this.connections.add(connection);
        this.onCapacity(connection);
        if (this.draining) this.drain();
      },
      (error: unknown) => {
        this.connecting.delete(controller);
        options.breaker.connections.release();
        if (!(error instanceof NotNeededError)) this.failPending(failureOf(error));
        this.reportEmpty();
      },
    );
  }

  private failPending(failure: PoolFailure): void {
    const failed = [...this.pending];
    for (const pending of failed) this.removePending(pending);
    for (const pending of failed) {
      this.options.stats.rqPendingFailureEject.add();
      pending.handlers.onFailure(failure);
    }
  }

  private cancel(pending: Pending): void {
    if (this.reserved.delete(pending) || !this.pending.has(pending)) return;
    this.removePending(pending);
    this.options.stats.rqCancelled.add();
    this.stopExcessConnecting();
  }

  /** A crowd of clients that leaves must not go on costing the server connections: the newest are given up. */
  private stopExcessConnecting(): void {
    const { expectedStreams } = this.options;
    const wanted = this.pending.size + this.reserved.size - this.settling.size;
    const excess = this.connecting.size - Math.ceil(Math.max(wanted, 0) / expectedStreams);
    if (excess <= 0) return;
    for (const controller of [...this.connecting].slice(-excess)) {
      this.connecting.delete(controller);
      controller.abort(new NotNeededError());
    }
  }

  private removePending(pending: Pending): void {
    this.pending.delete(pending);
    this.options.breaker.pendingRequests.release();
    this.options.stats.rqPendingActive.sub();
  }

  private reportEmpty(): void {
    if (!this.isEmpty || this.gone) return;
    // Pools that nobody uses are forgotten; the next request makes a new one.
    this.gone = true;
    this.options.onIdle(this);
  }
}

const NOT_PENDING = { cancel: (): void => undefined };

class NotNeededError extends Error {
  constructor() {
    super('nobody waits for the connection');
    this.name = 'NotNeededError';
  }
}

function failureOf(error: unknown): PoolFailure {
  if (!(error instanceof ConnectError)) {
    return { kind: 'connect-failure', reason: error instanceof Error ? error.message : String(error) };
  }
  return error.kind === 'connect-failure'
    ? { kind: 'connect-failure', reason: error.reason }
    : { kind: error.kind };
}
