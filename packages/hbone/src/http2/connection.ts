import {
  CLIENT_PREFACE,
  DEFAULT_HEADER_TABLE_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  LARGEST_STREAM_ID,
  SettingId,
} from './constants.ts';
import { FloodGuard } from './flood-guard.ts';
import { FrameReceiver } from './frame-receiver.ts';
import { FrameWriter } from './frame-writer.ts';
import type { FlatFields } from './hpack/decoder.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { type Http2Limits, type MessageRules, tunnelRules } from './limits.ts';
import type { RequestHead } from './message-head.ts';
import { type BatchPool, Output } from './output.ts';
import { Http2ConnectionError } from './protocol-error.ts';
import type { CreditHolder, ReceiveBudget } from './receive-budget.ts';
import { initialPeerSettings, type SettingEntry } from './settings.ts';
import {
  ClosedStreams,
  type DataSource,
  Http2Stream,
  type RequestKind,
  type StreamEnd,
  type StreamEvents,
  type StreamPhase,
} from './stream.ts';

export type Http2Role = 'client' | 'server';

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

/** The user of a connection. No method may throw. */
export interface ConnectionEvents {
  /** Server: a stream was opened. The returned object gets its events. */
  onRequest(stream: Http2Stream, head: RequestHead, endStream: boolean): StreamEvents;
  /** A stream was closed in both directions; a place is free. */
  onStreamClosed(stream: Http2Stream): void;
  /** The connection's send window opened after `sendFrom` found it closed. */
  onWritable(): void;
  onSettings(): void;
  onPingAck(opaque: Buffer): void;
  onGoaway(lastStreamId: number, code: number): void;
  /** The peer broke the protocol. GOAWAY waits in the output; flush it and close. */
  onFailure(error: Http2ConnectionError): void;
}

/** Marks the PING whose answer shows that the peer saw our first GOAWAY (RFC 9113 §6.8). */
const DRAIN_PING = Buffer.from('weftdrai', 'latin1');
const extendedConnectSetting: SettingEntry = [SettingId.enableConnectProtocol, 1];
/** Credit is returned when this part of a window is used up: few frames, and the sender never runs dry. */
const CREDIT_FRACTION = 4;

/**
 * One HTTP/2 connection, RFC 9113 without push, and without transport: `receive(bytes)` makes events,
 * everything to send gathers in `output`. Synchronous; it retains no byte it was given beyond a call, except a
 * frame header or control frame that a chunk boundary cut.
 *
 *   open ──► draining (GOAWAY sent or received: no new streams) ──► failed (GOAWAY with an error) ─┬─► closed
 *     └──────────────────────────────────────────────────────────────────────────────────────────┘
 */
export class Http2Connection implements CreditHolder {
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
  /** @internal Bytes that the peer may send on the connection. */
  receiveWindow = DEFAULT_WINDOW_BYTES;
  /** Bytes that we may send on the connection. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  private status: 'open' | 'failed' | 'closed' = 'open';
  private nextStreamId = 1;
  private credit = 0;
  /** Received while the budget was full: returned on delivery. */
  private withheldCredit = 0;
  /** What a peer that hasn't seen our SETTINGS may send on a stream beyond our window. */
  private unacknowledgedWindow: number;
  private goawaySentId: number | undefined;
  private goawayReceivedId: number | undefined;
  private sendBlocked = false;
  private readonly writer: FrameWriter;
  private readonly encoder = new HpackEncoder(DEFAULT_HEADER_TABLE_BYTES);
  private readonly receiver: FrameReceiver;
  private readonly budget: ReceiveBudget;

  constructor(options: Http2ConnectionOptions) {
    this.role = options.role;
    this.events = options.events;
    this.limits = options.limits;
    this.rules = options.rules ?? tunnelRules;
    this.budget = options.budget;
    this.unacknowledgedWindow = Math.max(0, DEFAULT_WINDOW_BYTES - options.limits.streamWindowBytes);
    this.output = new Output(options.pool);
    this.writer = new FrameWriter(this.output);
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
    return this.goawaySentId !== undefined || this.goawayReceivedId !== undefined;
  }

  /** No stream is open, and none will be opened any more. */
  get drained(): boolean {
    const final =
      this.goawayReceivedId !== undefined || (this.draining && this.goawaySentId !== LARGEST_STREAM_ID);
    return final && this.streams.size === 0;
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
    if (bytes === 0) return;
    this.returnStreamCredit(stream, bytes);
    const released = Math.min(bytes, this.withheldCredit);
    if (released > 0) {
      this.withheldCredit -= released;
      this.returnConnectionCredit(released);
    }
    this.budget.remove(bytes);
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
    if (this.status !== 'open' || this.goawaySentId !== undefined) return;
    if (this.role === 'client') {
      this.writeGoaway(0, ErrorCode.NO_ERROR, '');
      return;
    }
    // RFC 9113 §6.8: first announce, and cut off only what comes after the peer has seen it.
    this.writeGoaway(LARGEST_STREAM_ID, ErrorCode.NO_ERROR, '');
    this.writer.ping(DRAIN_PING, false);
  }

  /** Ends the connection with GOAWAY; the transport flushes `output` and closes. */
  terminate(code: number, reason: string): void {
    if (this.status !== 'open') return;
    this.writeGoaway(this.lastPeerStreamId, code, reason);
    this.status = 'failed';
    this.receiver.stop();
  }

  /** The transport is gone: every stream is lost, nothing will be sent. */
  close(error: Error): void {
    if (this.status === 'closed') return;
    this.status = 'closed';
    this.receiver.stop();
    this.budget.forget(this);
    this.output.clear();
    for (const stream of this.streams.values()) {
      this.streams.delete(stream.id);
      stream.state = 'closed';
      stream.events.onLost(error);
    }
  }

  releaseWithheldCredit(): void {
    const credit = this.withheldCredit;
    this.withheldCredit = 0;
    if (credit > 0) this.returnConnectionCredit(credit);
  }

  /** @internal */
  fail(error: Http2ConnectionError): void {
    if (this.status !== 'open') return;
    this.terminate(error.code, error.message);
    this.events.onFailure(error);
  }

  /** @internal */
  addStream(id: number, events: StreamEvents, phase: StreamPhase, request?: RequestKind): Http2Stream {
    const window = this.limits.streamWindowBytes + this.unacknowledgedWindow;
    const stream = new Http2Stream(id, events, phase, this.peer.initialWindowBytes, window, request);
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

  /** @internal `bytes` of DATA were handed to the stream's user. */
  received(bytes: number): void {
    if (this.budget.hasRoom) this.returnConnectionCredit(bytes);
    else {
      this.withheldCredit += bytes;
      this.budget.wait(this);
    }
  }

  /** @internal */
  enqueue(bytes: number): void {
    this.budget.add(bytes);
  }

  /** @internal */
  returnConnectionCredit(bytes: number): void {
    this.credit += bytes;
    if (this.credit * CREDIT_FRACTION < this.limits.connectionWindowBytes || this.status !== 'open') return;
    this.writer.windowUpdate(0, this.credit);
    this.receiveWindow += this.credit;
    this.credit = 0;
  }

  /** @internal */
  returnStreamCredit(stream: Http2Stream, bytes: number): void {
    if (!stream.canReceive || this.status !== 'open') return;
    stream.credit += bytes;
    if (stream.credit * CREDIT_FRACTION < this.limits.streamWindowBytes) return;
    this.writer.windowUpdate(stream.id, stream.credit);
    stream.receiveWindow += stream.credit;
    stream.credit = 0;
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

  /** @internal Our SETTINGS apply to what the peer sends from now on (RFC 9113 §6.5.3). */
  settingsAcknowledged(): void {
    for (const stream of this.streams.values()) stream.receiveWindow -= this.unacknowledgedWindow;
    this.unacknowledgedWindow = 0;
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
    if (this.role === 'server' && this.goawaySentId === LARGEST_STREAM_ID && opaque.equals(DRAIN_PING)) {
      this.writeGoaway(this.lastPeerStreamId, ErrorCode.NO_ERROR, '');
    } else this.events.onPingAck(opaque);
  }

  /** @internal */
  goawayReceived(lastStreamId: number, code: number): void {
    if (this.goawayReceivedId !== undefined && lastStreamId > this.goawayReceivedId) {
      throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'GOAWAY raised its last stream');
    }
    this.goawayReceivedId = lastStreamId;
    if (this.role === 'client') {
      for (const stream of this.streams.values()) {
        if (stream.id <= lastStreamId) continue;
        this.closeStream(stream, 'reset');
        stream.events.onReset(ErrorCode.REFUSED_STREAM, 'peer');
      }
    }
    this.events.onGoaway(lastStreamId, code);
  }

  /** @internal Server: the peer was told that streams above this are not processed. */
  isRefusedByGoaway(id: number): boolean {
    return this.goawaySentId !== undefined && id > this.goawaySentId;
  }

  /** @internal Whether the peer may never have used this id. */
  isIdle(id: number): boolean {
    const peerInitiated = (id & 1) === (this.role === 'server' ? 1 : 0);
    return peerInitiated ? id > this.lastPeerStreamId : id >= this.nextStreamId || this.role === 'server';
  }

  private start(): void {
    const { limits, role } = this;
    if (role === 'client') this.output.raw(CLIENT_PREFACE);
    this.writer.settings([
      [SettingId.initialWindowSize, limits.streamWindowBytes],
      [SettingId.maxFrameSize, limits.maxFrameBytes],
      [SettingId.maxHeaderListSize, limits.maxHeaderListBytes],
      role === 'client'
        ? [SettingId.enablePush, 0]
        : [SettingId.maxConcurrentStreams, limits.maxConcurrentStreams],
      ...(role === 'server' && this.rules.extendedConnect ? [extendedConnectSetting] : []),
    ]);
    const more = limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) {
      this.writer.windowUpdate(0, more);
      this.receiveWindow += more;
    }
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

  private writeGoaway(lastStreamId: number, code: number, reason: string): void {
    this.writer.goaway(lastStreamId, code, reason);
    this.goawaySentId = lastStreamId;
  }

  /** A peer that makes us answer and doesn't read the answers (CVE-2019-9512, -9515, -9517). */
  private guardUnread(): void {
    if (this.status !== 'open' || this.output.pendingBytes <= this.limits.maxUnreadBytes) return;
    const reason = 'the peer does not read our answers';
    this.fail(new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, reason, 'unread-answers'));
  }
}
