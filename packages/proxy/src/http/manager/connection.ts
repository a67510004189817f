import type { ByteStream, StreamInfo } from '../../engine/types.ts';
import type {
  BadRequest,
  ConnectionEnd,
  HttpServerCodec,
  HttpServerEvents,
  HttpServerStream,
  HttpStreamEvents,
} from '../codec.ts';
import { createHttp1ServerCodec } from '../http1/server.ts';
import { createHttp2ServerCodec } from '../http2/server.ts';
import type { ManagerConfig } from './config.ts';
import { Exchange, type ExchangeOwner } from './exchange.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** One downstream connection: chooses the codec, makes exchanges, and ends when it is idle, old or asked to drain. */
export class ManagedConnection implements HttpServerEvents, ExchangeOwner {
  private readonly config: ManagerConfig;
  private readonly transport: ByteStream;
  private readonly info: StreamInfo;
  private readonly done: () => void;
  private readonly exchanges = new Set<Exchange>();
  private codec: HttpServerCodec | undefined;
  private requests = 0;
  private closed = false;
  private sniffed: Buffer = Buffer.alloc(0);
  private cancelIdle: () => void = () => undefined;
  private cancelHead: () => void = () => undefined;
  private cancelAge: () => void = () => undefined;
  private cancelDrainTimer: () => void = () => undefined;
  private readonly forgetDrain: () => void;

  constructor(config: ManagerConfig, transport: ByteStream, info: StreamInfo, done: () => void) {
    this.config = config;
    this.transport = transport;
    this.info = info;
    this.done = done;
    config.stats.connections.add();
    config.stats.activeConnections.add();
    const { clock } = config.engine;
    const { maxConnectionMs } = config.timeouts;
    if (maxConnectionMs > 0) {
      this.cancelAge = clock.schedule(maxConnectionMs, () => {
        config.stats.maxDurationReached.add();
        this.drain();
      });
    }
    this.armIdle();
    this.chooseCodec();
    const signal = config.listener?.drain ?? config.engine.drain;
    this.forgetDrain = signal.onDrain(() => this.drain());
  }

  onHeadBegin(): void {
    const { requestHeadersMs, streamIdleMs } = this.config.timeouts;
    // As in Envoy a request begins with the first byte of its head, and then its idle time runs.
    const headMs = requestHeadersMs > 0 ? requestHeadersMs : streamIdleMs;
    if (headMs === 0) return;
    const { clock } = this.config.engine;
    this.cancelHead();
    this.cancelHead = clock.schedule(headMs, () => {
      if (this.codec === undefined) this.transport.close();
      else this.codec.refuseHead?.();
    });
  }

  onHeadEnd(): void {
    this.cancelHead();
  }

  onStream(stream: HttpServerStream): HttpStreamEvents {
    this.cancelHead();
    const exchange = this.createExchange(stream);
    const limit = this.config.maxRequestsPerConnection;
    if (limit > 0 && this.requests >= limit) this.codec?.drain();
    return exchange;
  }

  onBadRequest(stream: HttpServerStream, error: BadRequest): void {
    this.cancelHead();
    const open = [...this.exchanges].find((exchange) => exchange.stream === stream);
    const exchange = open ?? this.createExchange(stream);
    exchange.onBadRequest(error);
  }

  onActiveStreams(count: number): void {
    this.cancelIdle();
    if (count === 0) this.armIdle();
  }

  onComplete(exchange: Exchange): void {
    this.exchanges.delete(exchange);
  }

  onClose(end: ConnectionEnd): void {
    if (this.closed) return;
    this.closed = true;
    if (end.protocolError !== undefined) this.config.stats.protocolErrors.add();
    this.config.stats.activeConnections.sub();
    this.cancelIdle();
    this.cancelHead();
    this.cancelAge();
    this.cancelDrainTimer();
    // Undefined while the constructor runs.
    this.forgetDrain?.();
    this.done();
  }

  private createExchange(stream: HttpServerStream): Exchange {
    this.requests++;
    const exchange = new Exchange(this.config, this.info.connection, stream, this);
    this.exchanges.add(exchange);
    return exchange;
  }

  private drain(): void {
    if (this.closed) return;
    this.config.stats.drainClosed.add();
    if (this.codec === undefined) {
      this.transport.close();
      return;
    }
    this.codec.drain();
    const { maxConnectionMs, drainMs } = this.config.timeouts;
    // Only a connection that is too old is cut; draining lets requests end.
    if (maxConnectionMs > 0 && drainMs > 0) {
      this.cancelDrainTimer = this.config.engine.clock.schedule(drainMs, () => {
        if (this.exchanges.size === 0) this.codec?.close();
      });
    }
  }

  private armIdle(): void {
    const { idleMs } = this.config.timeouts;
    if (idleMs === 0) return;
    this.cancelIdle = this.config.engine.clock.schedule(idleMs, () => {
      this.config.stats.idleTimeouts.add();
      if (this.codec === undefined) this.transport.close();
      else this.codec.close();
    });
  }

  private chooseCodec(): void {
    const { connection } = this.info;
    const alpn = connection.tls?.alpn;
    switch (this.config.codecType) {
      case 'http1':
        return this.useHttp1();
      case 'http2':
        return this.useHttp2();
      case 'auto':
        if (alpn === 'h2' || connection.applicationProtocols.includes('h2c')) return this.useHttp2();
        if (alpn !== undefined && alpn !== '') return this.useHttp1();
        return this.sniff();
    }
  }

  /** Without ALPN the first bytes tell (RFC 9113 §3.3). */
  private sniff(): void {
    const { transport } = this;
    transport.onData = (chunk) => {
      if (this.sniffed.length === 0) this.onHeadBegin();
      this.sniffed = this.sniffed.length === 0 ? chunk : Buffer.concat([this.sniffed, chunk]);
      const length = Math.min(this.sniffed.length, PREFACE.length);
      const prefix = this.sniffed.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (prefix && length < PREFACE.length) return;
      this.cancelHead();
      if (prefix) this.useHttp2();
      else this.useHttp1();
      const first = this.sniffed;
      this.sniffed = Buffer.alloc(0);
      transport.onData(first);
    };
    transport.onEnd = () => transport.close();
    transport.onClose = (error) => this.onClose(error === undefined ? {} : { error });
    transport.resume();
  }

  private useHttp1(): void {
    this.config.stats.http1.add();
    this.codec = createHttp1ServerCodec(this.transport, this, this.config.codec);
  }

  private useHttp2(): void {
    this.config.stats.http2.add();
    this.codec = createHttp2ServerCodec(this.transport, this, this.config.codec);
  }
}
