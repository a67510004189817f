import type { X509Certificate } from 'node:crypto';
import type { SpiffeId } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import { Http2Connection } from '../http2/connection.ts';
import type { ConnectionEvents, Http2Role } from '../http2/connection-events.ts';
import { ErrorCode } from '../http2/constants.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import type { Http2Limits } from '../http2/limits.ts';
import type { RequestHead } from '../http2/message-head.ts';
import type { OutputBatch } from '../http2/output.ts';
import type { Http2ConnectionError } from '../http2/protocol-error.ts';
import { SendTurns } from '../http2/send-turns.ts';
import type { Http2Stream, StreamEvents } from '../http2/stream.ts';
import { Keepalive, type KeepaliveOptions } from './keepalive.ts';
import { uriNames, workloadIdentity } from './peer-certificate.ts';
import type { SecureConnection } from './secure-connection.ts';
import { SessionStream, type StreamHost } from './session-stream.ts';
import type { TunnelResources } from './tunnel-resources.ts';
import type { TunnelStreamHandler } from './tunnel-stream.ts';

export interface SessionOptions {
  readonly role: Http2Role;
  readonly connection: SecureConnection;
  /** How errors name the peer: its address, unless told. */
  readonly peerName?: string;
  /** Verified. Node can tell a client's socket for it only once: the second time there is none. */
  readonly peerCertificate: X509Certificate;
  readonly limits: Http2Limits;
  readonly keepalive: KeepaliveOptions;
  readonly resources: TunnelResources;
  readonly events: SessionEvents;
}

/** The owner of a session: a server or a pool. */
export interface SessionEvents {
  /** Server: a request. Its stream exists already and holds what the client sends meanwhile. */
  onRequest(session: TunnelSession, stream: SessionStream, head: RequestHead): void;
  /** A stream closed, the peer's settings came, or it drains: ask `canOpen` anew. */
  onChange(session: TunnelSession): void;
  /** Once: the connection is gone. */
  onClose(session: TunnelSession, error: WeftError | undefined): void;
}

/** How long the last frames (GOAWAY) may take to leave. */
const LINGER_MS = 1_000;
/** How long the peer may take to close after the last stream ended. */
const GRACEFUL_LINGER_MS = 5_000;

const droppedMessage: TunnelStreamHandler = {
  takesLoans: true,
  onData: () => undefined,
  onEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};

/** One HTTP/2 connection over TLS: moves bytes between the transport, the codec and the streams. */
export class TunnelSession implements ConnectionEvents, StreamHost {
  readonly peerCertificate: X509Certificate;
  readonly peerIdentity: SpiffeId | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly openedAt = Date.now();
  readonly lendsBytes: boolean;
  private readonly peerName: string;
  private readonly transport: SecureConnection;
  private readonly connection: Http2Connection;
  private readonly events: SessionEvents;
  private readonly keepalive: Keepalive;
  private readonly turns: SendTurns<SessionStream>;
  private flushScheduled = false;
  private writing: OutputBatch | undefined;
  private finishing = false;
  private closed = false;
  private error: WeftError | undefined;
  private linger: NodeJS.Timeout | undefined;

  constructor(o: SessionOptions) {
    const { connection: transport } = o;
    this.transport = transport;
    this.events = o.events;
    this.peerCertificate = o.peerCertificate;
    this.peerIdentity = workloadIdentity(uriNames(o.peerCertificate));
    this.remoteAddress = transport.remoteAddress;
    this.remotePort = transport.remotePort;
    this.localAddress = transport.localAddress;
    this.localPort = transport.localPort;
    this.lendsBytes = transport.lendsBytes;
    this.peerName = o.peerName ?? `${this.remoteAddress}:${this.remotePort}`;
    this.connection = new Http2Connection({
      role: o.role,
      events: this,
      pool: o.resources.batches,
      budget: o.resources.budget,
      limits: o.limits,
      now: () => performance.now(),
    });
    this.turns = new SendTurns(this.connection);
    this.keepalive = new Keepalive(o.keepalive, {
      ping: (opaque) => {
        this.connection.ping(opaque);
        this.flushSoon();
      },
      dead: (reason) => {
        this.destroy(new WeftError('WEFT1210', `${this.peerName} ${reason}`));
      },
    });
    transport.start({
      onBytes: this.onBytes,
      onEnd: () => this.finish('graceful'),
      onError: (cause) => {
        this.error ??= new WeftError('WEFT1207', `connection to ${this.peerName}`, { cause });
      },
      onClose: () => this.onTransportClosed(),
    });
    this.flushSoon();
  }

  get activeStreams(): number {
    return this.connection.streams.size;
  }

  /** Client: whether `open` works now. */
  get canOpen(): boolean {
    return !this.finishing && this.connection.canOpen;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Streams that the peer lets this side have open, as far as it said. */
  get peerMaxStreams(): number {
    return this.connection.peer.maxConcurrentStreams;
  }

  /** Client: sends a CONNECT. */
  open(fields: FlatFields): SessionStream | undefined {
    if (!this.canOpen) return undefined;
    const stream = new SessionStream(this);
    const codec = this.connection.openStream(fields, stream);
    if (codec === undefined) return undefined;
    stream.codec = codec;
    this.flushSoon();
    return stream;
  }

  /**
   * Server: answers what asks for no tunnel. Such a request has an end, so its stream is left open for what is still
   * to come of it, which is dropped: a reset would make the answers to that undefined (RFC 9113 §5.1 "closed").
   */
  refuseMessage(stream: SessionStream, fields: FlatFields): void {
    if (stream.codec === undefined) return;
    stream.attach(droppedMessage);
    this.connection.sendHeaders(stream.codec, fields, true);
    this.flushSoon();
  }

  /** Server: answers a CONNECT. */
  respond(stream: SessionStream, fields: FlatFields, endStream: boolean): void {
    const codec = stream.codec;
    if (codec === undefined) return;
    this.connection.sendHeaders(codec, fields, endStream);
    // The client may still be sending what nobody wants (RFC 9113 §8.1).
    if (endStream) {
      this.connection.resetStream(codec, ErrorCode.NO_ERROR);
      stream.onReset(ErrorCode.NO_ERROR, 'local');
    }
    this.flushSoon();
  }

  /** Refuses new streams; closes when the last one ends. */
  drain(): void {
    this.connection.drain();
    this.flushSoon();
    this.finishIfDrained();
  }

  /** Resets every stream, leaving the connection up. */
  resetStreams(code: number): void {
    for (const { events } of this.connection.streams.values()) {
      if (events instanceof SessionStream) events.reset(code);
    }
  }

  /** Closes at once; the peer gets a GOAWAY if it still reads. */
  destroy(error?: WeftError): void {
    if (this.closed) return;
    if (this.finishing) {
      this.transport.destroy();
      return;
    }
    this.error ??= error;
    this.connection.terminate(ErrorCode.NO_ERROR, '');
    this.finish('now');
  }

  schedule(stream: SessionStream): void {
    if (this.turns.add(stream)) this.flushSoon();
  }

  sendNow(stream: SessionStream): void {
    if (stream.codec === undefined || this.finishing) return;
    while (stream.size > 0 && this.turns.hasRoom) {
      if (this.connection.sendFrom(stream.codec, stream) === 0) break;
    }
    this.flushSoon();
  }

  sendEnd(stream: SessionStream): void {
    if (stream.codec === undefined) return;
    this.connection.sendFrom(stream.codec, stream);
    stream.sent();
    this.flushSoon();
  }

  delivered(stream: SessionStream, bytes: number): void {
    if (stream.codec === undefined) return;
    this.connection.delivered(stream.codec, bytes);
    if (this.connection.output.pendingBytes > 0) this.flushSoon();
  }

  resetStream(stream: SessionStream, code: number): void {
    if (stream.codec === undefined) return;
    this.connection.resetStream(stream.codec, code);
    this.flushSoon();
  }

  onRequest(codec: Http2Stream, head: RequestHead, endStream: boolean): StreamEvents {
    const stream = new SessionStream(this);
    stream.codec = codec;
    this.events.onRequest(this, stream, head);
    if (endStream) stream.onEnd();
    return stream;
  }

  onStreamClosed(): void {
    this.events.onChange(this);
    this.finishIfDrained();
  }

  onWritable(): void {
    this.flushSoon();
  }

  onSettings(): void {
    this.keepalive.settingsReceived();
    this.events.onChange(this);
  }

  onPingAck(opaque: Buffer): void {
    this.keepalive.acknowledged(opaque);
  }

  onGoaway(_lastStreamId: number, code: number): void {
    if (code !== ErrorCode.NO_ERROR) {
      this.error ??= new WeftError('WEFT1207', `${this.peerName} sent GOAWAY ${code}`);
    }
    this.events.onChange(this);
    this.finishIfDrained();
  }

  onFailure(cause: Http2ConnectionError): void {
    this.error ??= new WeftError('WEFT1204', `connection with ${this.peerName}`, {
      cause,
    });
    this.finish('now');
  }

  /** All that a turn of the event loop produced leaves in one write. */
  private flushSoon(): void {
    if (this.flushScheduled || this.closed) return;
    this.flushScheduled = true;
    this.transport.soon(this.flush);
  }

  private readonly onBytes = (chunk: Buffer): void => {
    try {
      this.connection.receive(chunk);
    } catch (cause) {
      this.contain(cause);
    }
    if (this.connection.output.pendingBytes > 0) this.flushSoon();
  };

  private readonly flush = (): void => {
    this.flushScheduled = false;
    this.pump();
  };

  /** A fault of ours, in a handler say, costs this connection and not the process. */
  private contain(cause: unknown): void {
    const error = new WeftError('WEFT1214', `connection with ${this.peerName}`, {
      cause,
    });
    this.connection.terminate(ErrorCode.INTERNAL_ERROR, '');
    this.destroy(error);
  }

  /**
   * One write is in flight at a time: more would pile up in the transport, and Node joins piled-up buffers of a TLS
   * socket by copying.
   */
  private pump(): void {
    if (this.writing !== undefined || this.closed) return;
    for (;;) {
      try {
        this.turns.frame();
      } catch (cause) {
        this.contain(cause);
        return;
      }
      const batch = this.connection.output.take();
      if (batch === undefined) return;
      if (!this.transport.write(batch.bytes, this.written)) {
        this.writing = batch;
        return;
      }
      this.connection.output.release(batch);
    }
  }

  private readonly written = (): void => {
    const batch = this.writing;
    this.writing = undefined;
    if (batch !== undefined) this.connection.output.release(batch);
    this.pump();
  };

  private finishIfDrained(): void {
    if (this.connection.drained) this.finish('graceful');
  }

  /**
   * Sends what is left and closes. Streams learn at once that the connection is over. A graceful end reads on until
   * the peer closes too: bytes that arrive at a closed socket make the kernel send RST, which costs the peer the
   * last bytes that it hasn't read yet.
   */
  private finish(how: 'graceful' | 'now'): void {
    if (this.finishing) return;
    this.finishing = true;
    this.keepalive.stop();
    const { output } = this.connection;
    for (let batch = output.take(); batch !== undefined; batch = output.take()) {
      const sent = batch;
      const release = (): void => output.release(sent);
      if (this.transport.write(sent.bytes, release)) release();
    }
    if (how === 'graceful') this.transport.end();
    else this.transport.destroySoon();
    const lingerMs = how === 'graceful' ? GRACEFUL_LINGER_MS : LINGER_MS;
    this.linger = setTimeout(() => this.transport.destroy(), lingerMs);
    this.linger.unref();
    this.closeStreams();
    this.events.onChange(this);
  }

  private onTransportClosed(): void {
    clearTimeout(this.linger);
    if (this.closed) return;
    this.closed = true;
    this.finishing = true;
    this.keepalive.stop();
    this.closeStreams();
    this.events.onClose(this, this.error);
  }

  private closeStreams(): void {
    this.turns.clear();
    const lost = this.error ?? new WeftError('WEFT1207', `${this.peerName} closed the connection`);
    this.connection.close(lost);
  }
}
