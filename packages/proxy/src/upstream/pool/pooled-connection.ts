import type { Clock } from '@weft/telemetry';
import type { ByteStream, ConnectionInfo } from '../../engine/types.ts';
import type { ConnectionEnd, HttpClientCodec, HttpClientEvents } from '../../http/codec.ts';
import type { HttpConfig } from '../config/http-options.ts';
import type { ClusterStats } from '../cluster-stats.ts';
import { type ExchangeEnd, PooledStream } from './pooled-stream.ts';

export interface PooledConnectionOptions {
  readonly stream: ByteStream;
  readonly createCodec: (stream: ByteStream, events: HttpClientEvents) => HttpClientCodec;
  readonly config: HttpConfig;
  readonly stats: ClusterStats;
  readonly clock: Clock;
  readonly owner: PooledConnectionOwner;
}

export interface PooledConnectionOwner {
  /** There may be a place for a stream. */
  onCapacity(connection: PooledConnection): void;
  onClosed(connection: PooledConnection): void;
}

/**
 * A connection of a pool.
 *
 *   serving ──GOAWAY, limit of requests or age, drain()──► draining ──last stream over──► closed
 *      └──idle for too long──► closed
 */
export class PooledConnection implements HttpClientEvents {
  readonly info: ConnectionInfo;
  private readonly codec: HttpClientCodec;
  private readonly config: HttpConfig;
  private readonly stats: ClusterStats;
  private readonly clock: Clock;
  private readonly owner: PooledConnectionOwner;
  private readonly streams = new Set<PooledStream>();
  private requests = 0;
  private draining = false;
  private isClosed = false;
  private lostStreams = false;
  private idleSince: number;
  private cancelIdle: (() => void) | undefined;
  private cancelAge: (() => void) | undefined;

  constructor(o: PooledConnectionOptions) {
    this.info = o.stream.info;
    this.config = o.config;
    this.stats = o.stats;
    this.clock = o.clock;
    this.owner = o.owner;
    this.codec = o.createCodec(o.stream, this);
    this.idleSince = o.clock.now();
    this.armIdle(o.config.idleTimeoutMs);
    if (o.config.maxConnectionDurationMs > 0) {
      this.cancelAge = o.clock.schedule(o.config.maxConnectionDurationMs, () => {
        this.stats.cxMaxDuration.add();
        this.drain();
      });
    }
  }

  get activeStreams(): number {
    return this.streams.size;
  }

  /** Without HTTP/2 limits, whether `open` works now. */
  get canOpen(): boolean {
    return !this.draining && !this.isClosed && this.codec.canOpen;
  }

  /** HTTP/1 has no other way to say that it takes no more requests than to close behind a response. */
  get mayBeClosing(): boolean {
    return this.requests > 0 && this.codec.protocol === 'HTTP/1.1';
  }

  get protocol(): HttpClientCodec['protocol'] {
    return this.codec.protocol;
  }

  /** @returns undefined when `canOpen` is false. `onOver` comes once. */
  open(onOver: (end: ExchangeEnd) => void): PooledStream | undefined {
    if (!this.canOpen) return undefined;
    const pooled = new PooledStream((end) => {
      this.streams.delete(pooled);
      if (end === 'connection-lost') this.lostStreams = true;
      if (this.streams.size === 0) this.becameIdle();
      onOver(end);
    });
    pooled.codecStream = this.codec.openStream(pooled);
    if (pooled.codecStream === undefined) return undefined;
    this.streams.add(pooled);
    this.requests++;
    const limit = this.config.maxRequestsPerConnection;
    if (limit > 0 && this.requests >= limit) {
      this.stats.cxMaxRequests.add();
      this.drain();
    }
    return pooled;
  }

  /** Serves no new requests; closes after the last one. */
  drain(): void {
    if (this.draining || this.isClosed) return;
    this.draining = true;
    // The codec learns of it after the last stream: it may not have seen the newest one's head yet.
    if (this.streams.size === 0) this.codec.drain();
  }

  close(): void {
    this.draining = true;
    if (!this.isClosed) this.codec.close();
  }

  onCapacity(): void {
    if (this.canOpen) this.owner.onCapacity(this);
  }

  onDraining(): void {
    this.draining = true;
    // Who waits for a place here has to look elsewhere.
    this.owner.onCapacity(this);
  }

  onClose(end: ConnectionEnd): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.cancelIdle?.();
    this.cancelAge?.();
    if (end.protocolError !== undefined) this.stats.cxProtocolError.add();
    for (const stream of [...this.streams]) stream.abandon();
    if (this.lostStreams) this.stats.cxDestroyWithActiveRq.add();
    this.owner.onClosed(this);
  }

  private becameIdle(): void {
    this.idleSince = this.clock.now();
    if (this.draining && !this.isClosed) this.codec.drain();
    else this.armIdle(this.config.idleTimeoutMs);
  }

  /** One timer per connection, which looks how long the connection has been idle when it fires. */
  private armIdle(delayMs: number): void {
    if (this.config.idleTimeoutMs === 0 || this.cancelIdle !== undefined || this.isClosed) return;
    this.cancelIdle = this.clock.schedule(delayMs, () => {
      this.cancelIdle = undefined;
      if (this.isClosed || this.streams.size > 0) return;
      const leftMs = this.idleSince + this.config.idleTimeoutMs - this.clock.now();
      if (leftMs > 0) {
        this.armIdle(leftMs);
        return;
      }
      this.stats.cxIdleTimeout.add();
      this.close();
    });
  }
}
