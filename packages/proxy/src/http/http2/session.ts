import {
  BatchPool,
  type ConnectionEvents,
  ErrorCode,
  type FlatFields,
  Http2Connection,
  type Http2ConnectionError,
  type Http2Role,
  type Http2Stream,
  Keepalive,
  ReceiveBudget,
  type RequestHead,
  SendTurns,
  type StreamEvents,
} from '@weft/hbone/http2';
import type { ByteStream, HeaderMap } from '../../engine/types.ts';
import type { ConnectionEnd, HttpCodecOptions } from '../codec.ts';
import { messageLimits } from '../message-limits.ts';
import { requestFields } from './fields.ts';
import { http2Limits, violationDetails } from './limits.ts';
import { type MessageHost, MessageStream } from './message-stream.ts';

/** Bytes that all HTTP/2 connections of a process may hold for readers that paused. */
const RECEIVE_BUDGET_BYTES = 256 * 1024 * 1024;

const batches = new BatchPool();
const budget = new ReceiveBudget(RECEIVE_BUDGET_BYTES);

export interface SessionOwner {
  onRequest(stream: MessageStream, head: RequestHead, endStream: boolean): void;
  /** A stream closed, the peer's settings came, or the connection drains. */
  onChange(): void;
  /** The stream whose header block is incomplete; 0: none. */
  onHeaderBlock?(streamId: number): void;
  onClose(end: ConnectionEnd): void;
}

/** One HTTP/2 connection on a byte stream: moves bytes between the stream, the codec and the messages. */
export class Http2Session implements ConnectionEvents, MessageHost {
  readonly bufferLimitBytes: number;
  readonly connection: Http2Connection;
  private readonly transport: ByteStream;
  private readonly owner: SessionOwner;
  private readonly keepalive: Keepalive | undefined;
  private readonly role: Http2Role;
  private readonly turns: SendTurns<MessageStream>;
  private readonly awaitingSettings: (() => void)[] = [];
  private settingsReceived = false;
  private flushScheduled = false;
  private transportFull = false;
  private finishing = false;
  private closed = false;
  private protocolError: string | undefined;
  private error: Error | undefined;

  constructor(role: Http2Role, transport: ByteStream, owner: SessionOwner, options: HttpCodecOptions) {
    this.role = role;
    this.transport = transport;
    this.owner = owner;
    this.bufferLimitBytes = messageLimits(options).bufferBytes;
    this.connection = new Http2Connection({
      role,
      events: this,
      pool: batches,
      budget,
      limits: http2Limits(options),
      rules: {
        extendedConnect: options.allowConnect ?? false,
        malformed:
          role === 'server' && options.streamErrorOnInvalidMessage !== true
            ? 'close-connection'
            : 'reset-stream',
        oversizedHead: 'reset-stream',
      },
      now: () => performance.now(),
    });
    this.turns = new SendTurns(this.connection);
    if (options.keepalive !== undefined) {
      const { intervalMs, timeoutMs } = options.keepalive;
      this.keepalive = new Keepalive(
        { intervalMs, timeoutMs, settingsTimeoutMs: timeoutMs },
        {
          ping: (opaque) => {
            this.connection.ping(opaque);
            this.flushSoon();
          },
          dead: (reason) => this.destroy(new Error(`the peer ${reason}`), 'http2.ping_timeout'),
        },
      );
    }
    transport.onData = (chunk) => this.receive(chunk);
    transport.onDrain = () => {
      this.transportFull = false;
      this.flush();
    };
    transport.onEnd = () => this.finish();
    transport.onClose = (error) => this.onTransportClosed(error);
    transport.resume();
    this.flushSoon();
  }

  get canOpen(): boolean {
    return !this.finishing && this.connection.canOpen;
  }

  get usable(): boolean {
    return !this.finishing && this.connection.usable && !this.connection.draining;
  }

  drain(): void {
    this.connection.drain();
    this.flushSoon();
    this.finishIfDrained();
  }

  /** Closes after what was framed has left; streams are lost at once. */
  destroy(error?: Error, protocolError?: string): void {
    if (this.closed || this.finishing) return;
    this.error ??= error;
    this.protocolError ??= protocolError;
    this.connection.terminate(ErrorCode.NO_ERROR, '');
    this.finish();
  }

  schedule(stream: MessageStream): void {
    if (this.turns.add(stream)) this.flushSoon();
  }

  sendFrom(stream: MessageStream): void {
    if (stream.codec === undefined) return;
    this.connection.sendFrom(stream.codec, stream);
    this.stopUpload(stream);
    this.flushSoon();
  }

  sendHeaders(stream: MessageStream, fields: FlatFields, endStream: boolean): void {
    if (stream.codec === undefined) return;
    this.connection.sendHeaders(stream.codec, fields, endStream);
    this.stopUpload(stream);
    this.flushSoon();
  }

  openStream(stream: MessageStream, headers: HeaderMap, endStream: boolean): void {
    if (stream.codec !== undefined || stream.isGone) return;
    stream.upgrade = headers.protocol;
    if (headers.protocol !== undefined && !this.settingsReceived && !this.finishing) {
      // Only the peer's SETTINGS tell whether it takes upgrades (RFC 8441 §3).
      this.awaitingSettings.push(() => this.openStream(stream, headers, endStream));
      return;
    }
    const connect = headers.method === 'CONNECT' || headers.protocol !== undefined;
    const kind = connect ? 'connect' : headers.method === 'HEAD' ? 'head' : 'message';
    const codec =
      this.finishing || (headers.protocol !== undefined && !this.connection.peer.extendedConnect)
        ? undefined
        : this.connection.openStream(requestFields(headers), stream, kind, endStream);
    if (codec === undefined) {
      // The place was lost between `canOpen` and now, or the peer takes no upgrades: it never saw the request.
      process.nextTick(() => stream.onReset(ErrorCode.REFUSED_STREAM, 'peer'));
      return;
    }
    stream.codec = codec;
    if (stream.size > 0) this.schedule(stream);
    this.flushSoon();
  }

  reset(stream: MessageStream, code: number): void {
    if (stream.codec === undefined) return;
    this.connection.resetStream(stream.codec, code);
    this.flushSoon();
  }

  delivered(stream: MessageStream, bytes: number): void {
    if (stream.codec === undefined) return;
    this.connection.delivered(stream.codec, bytes);
    if (this.connection.output.pendingBytes > 0) this.flushSoon();
  }

  onRequest(codec: Http2Stream, head: RequestHead, endStream: boolean): StreamEvents {
    const stream = new MessageStream(this, 'server');
    stream.codec = codec;
    stream.upgrade = head.protocol;
    this.owner.onRequest(stream, head, endStream);
    return stream;
  }

  onStreamClosed(): void {
    this.owner.onChange();
    this.finishIfDrained();
  }

  onWritable(): void {
    this.flushSoon();
  }

  onSettings(): void {
    this.keepalive?.settingsReceived();
    this.settingsReceived = true;
    for (const open of this.awaitingSettings.splice(0)) open();
    this.owner.onChange();
  }

  onPingAck(opaque: Buffer): void {
    this.keepalive?.acknowledged(opaque);
  }

  onGoaway(_lastStreamId: number, code: number): void {
    if (code !== ErrorCode.NO_ERROR) this.error ??= new Error(`the peer sent GOAWAY ${code}`);
    this.owner.onChange();
    this.finishIfDrained();
  }

  onFailure(error: Http2ConnectionError): void {
    this.protocolError ??= violationDetails[error.kind];
    this.error ??= error;
    this.finish();
  }

  private receive(chunk: Buffer): void {
    try {
      this.connection.receive(chunk);
    } catch (cause) {
      this.contain(cause);
    }
    this.owner.onHeaderBlock?.(this.connection.headerBlockOf);
    if (this.connection.output.pendingBytes > 0) this.flushSoon();
  }

  /** A fault of ours, in a filter say, costs this connection and not the process. */
  private contain(cause: unknown): void {
    this.connection.terminate(ErrorCode.INTERNAL_ERROR, '');
    this.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  }

  /** All that a turn of the event loop produced leaves in one write. */
  private flushSoon(): void {
    if (this.flushScheduled || this.closed) return;
    this.flushScheduled = true;
    setImmediate(this.flushNow);
  }

  private readonly flushNow = (): void => {
    this.flushScheduled = false;
    this.flush();
  };

  private flush(): void {
    while (!this.transportFull && !this.closed && !this.finishing) {
      try {
        this.turns.frame(this.stopUpload);
      } catch (cause) {
        this.contain(cause);
        return;
      }
      if (!this.writeBatch()) return;
    }
  }

  /** The transport keeps what it is given, so small batches are copied and their buffer reused. */
  private writeBatch(): boolean {
    const { output } = this.connection;
    const batch = output.take();
    if (batch === undefined) return false;
    if (batch.bytes.length * 2 > batch.storage.length)
      this.transportFull = !this.transport.write(batch.bytes);
    else {
      const copy = Buffer.from(batch.bytes);
      output.release(batch);
      this.transportFull = !this.transport.write(copy);
    }
    return true;
  }

  /** The answer is complete, the request isn't: nobody wants the rest (RFC 9113 §8.1). */
  private readonly stopUpload = (stream: MessageStream): void => {
    const { codec } = stream;
    if (this.role !== 'server' || stream.tunnel || codec?.state !== 'half-closed-local') return;
    this.connection.resetStream(codec, ErrorCode.NO_ERROR);
  };

  private finishIfDrained(): void {
    if (this.connection.drained) this.finish();
  }

  private finish(): void {
    if (this.finishing || this.closed) return;
    this.finishing = true;
    this.keepalive?.stop();
    while (this.writeBatch());
    this.closeStreams();
    this.owner.onChange();
    this.transport.close();
  }

  private onTransportClosed(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.finishing = true;
    this.keepalive?.stop();
    this.error ??= error;
    this.closeStreams();
    const { protocolError, error: cause } = this;
    this.owner.onClose({
      ...(protocolError === undefined ? {} : { protocolError }),
      ...(cause === undefined ? {} : { error: cause }),
    });
  }

  private closeStreams(): void {
    this.turns.clear();
    this.connection.close(this.error ?? new Error('connection termination'));
  }
}
