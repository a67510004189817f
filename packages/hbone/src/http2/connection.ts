import type { ConnectionEvents, Http2Role } from './connection-events.ts';
import {
  CLIENT_PREFACE,
  DEFAULT_HEADER_TABLE_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  LARGEST_STREAM_ID,
} from './constants.ts';
import { FloodGuard } from './flood-guard.ts';
import { FrameReceiver } from './frame-receiver.ts';
import { FrameWriter } from './frame-writer.ts';
import { Goaway } from './goaway.ts';
import type { FlatFields } from './hpack/decoder.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { type Http2Limits, type MessageRules, tunnelRules } from './limits.ts';
import { type BatchPool, Output } from './output.ts';
import { Http2ConnectionError } from './protocol-error.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import { ReceiveCredit } from './receive-credit.ts';
import { initialPeerSettings, ownSettings } from './settings.ts';
import {
  ClosedStreams,
  type DataSource,
  Http2Stream,
  type RequestKind,
  type StreamEnd,
  type StreamEvents,
  type StreamPhase,
} from './stream.ts';

export interface Http2ConnectionOptions {
  readonly role: Http2Role;
  readonly events: ConnectionEvents;
  readonly pool: BatchPool;
  readonly budget: ReceiveBudget;
  readonly limits: Http2Limits;
  /** `tunnelRules` unless told. */
  readonly rules?: MessageRules;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/**
 * One HTTP/2 connection, RFC 9113 without push, and without transport: `receive(bytes)` makes events,
 * everything to send gathers in `output`. Synchronous; it retains no byte it was given beyond a call, except a
 * frame header or control frame that a chunk boundary cut.
 *
 *   open ──► draining (GOAWAY sent or received: no new streams) ──► failed (GOAWAY with an error) ─┬─► closed
 *     └──────────────────────────────────────────────────────────────────────────────────────────┘
 */
export class Http2Connection {
  readonly role: Http2Role;
  readonly output: Output;
  readonly peer = initialPeerSettings();
  readonly limits: Http2Limits;
  readonly rules: MessageRules;
  /** Streams that are not closed. */
  readonly streams = new Map<number, Http2Stream>();
  /** @internal For the receiver. */
  readonly events: ConnectionEvents;
  /** @internal */
  readonly floods: FloodGuard;
  /** @internal */
  readonly closedStreams = new ClosedStreams();
  /** @internal The highest stream that the peer opened. */
  lastPeerStreamId = 0;
  /** @internal */
  readonly credit: ReceiveCredit;
  /** @internal */
  readonly goaway: Goaway;
  /** Bytes that we may send on the connection. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  private status: 'open' | 'failed' | 'closed' = 'open';
  private nextStreamId = 1;
  private sendBlocked = false;
  private readonly writer: FrameWriter;
  private readonly encoder = new HpackEncoder(DEFAULT_HEADER_TABLE_BYTES);
  private readonly receiver: FrameReceiver;

  constructor(options: Http2ConnectionOptions) {
    this.role = options.role;
    this.events = options.events;
    this.limits = options.limits;
    this.rules = options.rules ?? tunnelRules;
    this.output = new Output(options.pool);
    this.writer = new FrameWriter(this.output);
    this.credit = new ReceiveCredit(options.limits, options.budget, this.writer);
    this.goaway = new Goaway(options.role, this.writer);
    this.floods = new FloodGuard(options.limits.floods, options.now);
    this.receiver = new FrameReceiver(this);
    this.start();
  }

  /** True until an error or `close()`. */
  get usable(): boolean {
    return this.status === 'open';
  }

  /** The stream whose header block is incomplete; 0: none. */
  get headerBlockOf(): number {
    return this.receiver.headerBlockOf;
  }

  get draining(): boolean {
    return this.goaway.exchanged;
  }

  /** No stream is open, and none will be opened any more. */
  get drained(): boolean {
    return this.goaway.final && this.streams.size === 0;
  }

  /** Client: whether `openStream` works now. */
  get canOpen(): boolean {
    return (
      this.status === 'open' &&
      !this.draining &&
      this.nextStreamId <= LARGEST_STREAM_ID &&
      this.streams.size < this.peer.maxConcurrentStreams
    );
  }

  /** Takes bytes from the transport. Never throws for what the peer did. */
  receive(bytes: Buffer): void {
    if (this.status !== 'open') return;
    try {
      this.receiver.receive(bytes);
    } catch (error) {
      if (!(error instanceof Http2ConnectionError)) throw error;
      this.fail(error);
    }
  }

  /** Client: opens a stream with a request, or returns undefined when `canOpen` is false. */
  openStream(
    fields: FlatFields,
    events: StreamEvents,
    request: RequestKind = 'connect',
    endStream = false,
  ): Http2Stream | undefined {
    if (!this.canOpen) return undefined;
    const id = this.nextStreamId;
    this.nextStreamId += 2;
    const stream = this.addStream(id, events, 'awaiting-response', request);
    this.writeHeaders(id, fields, endStream);
    if (endStream) this.endLocal(stream);
    return stream;
  }

  /** Sends a response head, interim or final, or trailers; `endStream` closes our direction. */
  sendHeaders(stream: Http2Stream, fields: FlatFields, endStream: boolean): void {
    if (this.status !== 'open' || !stream.canSend) return;
    stream.answered = true;
    this.writeHeaders(stream.id, fields, endStream);
    this.guardUnread();
    if (endStream) this.endLocal(stream);
  }

  /**
   * Frames as much of `source` as windows, frame size and the current batch allow: one DATA frame at most.
   * Returns the payload bytes sent; at a closed window 0, followed by `onWritable` when it opens. `quantum` bounds
   * the frame, for fairness among streams.
   */
  sendFrom(stream: Http2Stream, source: DataSource, quantum = Number.POSITIVE_INFINITY): number {
    if (this.status !== 'open' || !stream.canSend) return 0;
    const wanted = source.size;
    if (wanted === 0) {
      if (!source.ended) return 0;
      this.output.frame(0, FrameType.data, Flag.endStream, stream.id);
      this.endLocal(stream);
      return 0;
    }
    const window = Math.min(this.sendWindow, stream.sendWindow);
    if (window <= 0) {
      if (stream.sendWindow <= 0) stream.blocked = true;
      if (this.sendWindow <= 0) this.sendBlocked = true;
      return 0;
    }
    const length = Math.min(wanted, quantum, window, this.peer.maxFrameBytes, this.output.roomFor(wanted));
    const end = source.ended && length === wanted;
    const buffer = this.output.frame(length, FrameType.data, end ? Flag.endStream : 0, stream.id);
    source.take(buffer, this.output.payloadOffset, length);
    this.sendWindow -= length;
    stream.sendWindow -= length;
    this.floods.sent(length);
    if (end) this.endLocal(stream);
    return length;
  }

  /** Closes a stream in both directions. `onReset` isn't called for it. */
  resetStream(stream: Http2Stream, code: number): void {
    if (stream.state === 'closed') return;
    this.writeReset(stream.id, code);
    this.closeStream(stream, 'reset');
  }

  /** The user of a stream has done with `bytes` of its data: credit for them goes back to the peer. */
  delivered(stream: Http2Stream, bytes: number): void {
    this.credit.delivered(stream, bytes);
  }

  /** `onWritable` will tell when the connection's window is open. */
  notifyWhenWritable(): void {
    this.sendBlocked = true;
  }

  ping(opaque: Buffer): void {
    if (this.status === 'open') this.writer.ping(opaque, false);
  }

  /** Refuses new streams and lets the open ones finish. */
  drain(): void {
    if (this.status === 'open') this.goaway.drain();
  }

  /** Ends the connection with GOAWAY; the transport flushes `output` and closes. */
  terminate(code: number, reason: string): void {
    if (this.status !== 'open') return;
    this.goaway.send(this.lastPeerStreamId, code, reason);
    this.status = 'failed';
    this.credit.stop();
    this.receiver.stop();
  }

  /** The transport is gone: every stream is lost, nothing will be sent. */
  close(error: Error): void {
    if (this.status === 'closed') return;
    this.status = 'closed';
    this.receiver.stop();
    this.credit.close();
    this.output.clear();
    for (const stream of this.streams.values()) {
      this.streams.delete(stream.id);
      stream.state = 'closed';
      stream.events.onLost(error);
    }
  }

  /** @internal */
  fail(error: Http2ConnectionError): void {
    if (this.status !== 'open') return;
    this.terminate(error.code, error.message);
    this.events.onFailure(error);
  }

  /** @internal */
  addStream(id: number, events: StreamEvents, phase: StreamPhase, request?: RequestKind): Http2Stream {
    const { initialWindowBytes } = this.peer;
    const stream = new Http2Stream(id, events, phase, initialWindowBytes, this.credit.streamWindow, request);
    this.streams.set(id, stream);
    this.floods.sent(0);
    return stream;
  }

  /** @internal A violation on a stream (RFC 9113 §5.4.2). */
  streamError(id: number, code: number): void {
    this.floods.count('resets');
    this.writeReset(id, code);
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.closedStreams.add(id, 'reset');
      return;
    }
    this.closeStream(stream, 'reset');
    stream.events.onReset(code, 'local');
  }

  /** @internal A malformed message (RFC 9113 §8.1.1). */
  malformed(id: number, reason: string): void {
    if (this.rules.malformed === 'close-connection') {
      throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, reason, 'malformed-message');
    }
    this.streamError(id, ErrorCode.PROTOCOL_ERROR);
  }

  /** @internal */
  endRemote(stream: Http2Stream): void {
    if (stream.state === 'open') stream.state = 'half-closed-remote';
    else if (stream.state === 'half-closed-local') this.closeStream(stream, 'ended');
  }

  /** @internal */
  closeStream(stream: Http2Stream, how: StreamEnd): void {
    stream.state = 'closed';
    this.streams.delete(stream.id);
    this.closedStreams.add(stream.id, how);
    this.events.onStreamClosed(stream);
  }

  /** @internal */
  windowOpened(stream: Http2Stream): void {
    if (!stream.blocked || stream.sendWindow <= 0) return;
    stream.blocked = false;
    stream.events.onWritable();
  }

  /** @internal */
  connectionWindowOpened(): void {
    if (!this.sendBlocked || this.sendWindow <= 0) return;
    this.sendBlocked = false;
    this.events.onWritable();
  }

  /** @internal */
  setPeerHeaderTable(bytes: number): void {
    this.encoder.setPeerLimit(bytes);
  }

  /** @internal */
  acknowledgePing(opaque: Buffer): void {
    this.writer.ping(opaque, true);
    this.guardUnread();
  }

  /** @internal */
  acknowledgeSettings(): void {
    this.writer.settingsAck();
    this.guardUnread();
  }

  /** @internal */
  pingAcknowledged(opaque: Buffer): void {
    if (!this.goaway.acknowledged(opaque, this.lastPeerStreamId)) this.events.onPingAck(opaque);
  }

  /** @internal */
  goawayReceived(lastStreamId: number, code: number): void {
    this.goaway.receive(lastStreamId);
    if (this.role === 'client') {
      for (const stream of this.streams.values()) {
        if (stream.id <= lastStreamId) continue;
        this.closeStream(stream, 'reset');
        stream.events.onReset(ErrorCode.REFUSED_STREAM, 'peer');
      }
    }
    this.events.onGoaway(lastStreamId, code);
  }

  /** @internal Whether the peer may never have used this id. */
  isIdle(id: number): boolean {
    const peerInitiated = (id & 1) === (this.role === 'server' ? 1 : 0);
    return peerInitiated ? id > this.lastPeerStreamId : id >= this.nextStreamId || this.role === 'server';
  }

  private start(): void {
    if (this.role === 'client') this.output.raw(CLIENT_PREFACE);
    this.writer.settings(ownSettings(this.role, this.limits, this.rules));
    this.credit.announce();
  }

  private endLocal(stream: Http2Stream): void {
    if (stream.state === 'open') stream.state = 'half-closed-local';
    else if (stream.state === 'half-closed-remote') this.closeStream(stream, 'ended');
  }

  private writeHeaders(id: number, fields: FlatFields, endStream: boolean): void {
    this.writer.headers(id, this.encoder.encode(fields), endStream, this.peer.maxFrameBytes);
  }

  private writeReset(id: number, code: number): void {
    if (this.status !== 'open') return;
    this.writer.reset(id, code);
    this.guardUnread();
  }

  /** A peer that makes us answer and doesn't read the answers (CVE-2019-9512, -9515, -9517). */
  private guardUnread(): void {
    if (this.status !== 'open' || this.output.pendingBytes <= this.limits.maxUnreadBytes) return;
    const reason = 'the peer does not read our answers';
    this.fail(new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, reason, 'unread-answers'));
  }
}
