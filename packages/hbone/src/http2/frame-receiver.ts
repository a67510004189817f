import type { Http2Connection } from './connection.ts';
import { DEFAULT_HEADER_TABLE_BYTES, ErrorCode, Flag, FrameType, LARGEST_WINDOW_BYTES } from './constants.ts';
import { FrameReader, type FrameSink, type PayloadMode } from './frame-reader.ts';
import { HeaderReceiver, streamDependency } from './header-receiver.ts';
import { Http2ConnectionError } from './protocol-error.ts';
import type { ReceiveCredit } from './receive-credit.ts';
import { applySettings, MAX_SETTINGS_ENTRIES } from './settings.ts';
import type { Http2Stream } from './stream.ts';

/** GOAWAY with more debug data than this is abuse. */
const MAX_GOAWAY_BYTES = 16 * 1024;

/** Checks each received frame against RFC 9113 §6 and the stream's state, and applies it to the connection. */
export class FrameReceiver implements FrameSink {
  private readonly connection: Http2Connection;
  private readonly credit: ReceiveCredit;
  private readonly reader: FrameReader;
  private readonly headers: HeaderReceiver;
  private settingsSeen = false;
  /** The stream of the DATA frame that is being read; undefined when it was closed meanwhile. */
  private dataStream: Http2Stream | undefined;
  /** The stream of the HEADERS frame that has begun and isn't complete; 0: none. */
  private headFrameOf = 0;
  private dataFrameBytes = 0;
  private dataBytes = 0;

  constructor(connection: Http2Connection) {
    this.connection = connection;
    this.credit = connection.credit;
    this.headers = new HeaderReceiver(connection, DEFAULT_HEADER_TABLE_BYTES);
    this.reader = new FrameReader(this, connection.limits.maxFrameBytes, connection.role === 'server');
  }

  get headerBlockOf(): number {
    return this.headers.pendingStreamId || this.headFrameOf;
  }

  receive(bytes: Buffer): void {
    this.reader.receive(bytes);
  }

  stop(): void {
    this.reader.stop();
  }

  onFrameHeader(type: number, flags: number, streamId: number, length: number): PayloadMode {
    if (
      this.headers.pendingStreamId !== 0 &&
      (type !== FrameType.continuation || streamId !== this.headers.pendingStreamId)
    ) {
      throw protocolError('a header block was interrupted');
    }
    if (!this.settingsSeen && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      throw protocolError('the first frame is not SETTINGS');
    }
    switch (type) {
      case FrameType.data:
        return this.dataHeader(flags, streamId, length);
      case FrameType.headers:
        if (streamId === 0) throw protocolError('HEADERS on stream 0');
        this.headers.checkSize(length);
        this.headFrameOf = streamId;
        return 'whole';
      case FrameType.continuation:
        if (this.headers.pendingStreamId === 0) throw protocolError('CONTINUATION without HEADERS');
        this.headers.checkSize(length);
        return 'whole';
      case FrameType.priority:
        return this.priorityHeader(streamId, length);
      case FrameType.rstStream:
        expectLength(length, 4);
        if (streamId === 0 || this.connection.isIdle(streamId))
          throw protocolError('RST_STREAM on an idle stream');
        return 'whole';
      case FrameType.settings:
        if (streamId !== 0) throw protocolError('SETTINGS on a stream');
        if ((flags & Flag.ack) !== 0) expectLength(length, 0);
        if (length > MAX_SETTINGS_ENTRIES * 6) throw calm('too many settings in a frame');
        return 'whole';
      case FrameType.pushPromise:
        throw protocolError('PUSH_PROMISE');
      case FrameType.ping:
        if (streamId !== 0) throw protocolError('PING on a stream');
        expectLength(length, 8);
        return 'whole';
      case FrameType.goaway:
        if (streamId !== 0) throw protocolError('GOAWAY on a stream');
        if (length < 8) throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'short GOAWAY');
        if (length > MAX_GOAWAY_BYTES) throw calm('huge GOAWAY');
        return 'whole';
      case FrameType.windowUpdate:
        expectLength(length, 4);
        if (streamId !== 0 && this.connection.isIdle(streamId))
          throw protocolError('WINDOW_UPDATE on an idle stream');
        return 'whole';
      default:
        this.connection.floods.count('ignored');
        return 'skip';
    }
  }

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FrameType.headers:
        this.headFrameOf = 0;
        this.headers.onHeaders(flags, streamId, payload);
        break;
      case FrameType.continuation:
        this.headers.onContinuation(flags, payload);
        break;
      case FrameType.priority:
        this.onPriority(streamId, streamDependency(payload));
        break;
      case FrameType.rstStream:
        this.onReset(streamId, payload.readUInt32BE(0));
        break;
      case FrameType.settings:
        this.onSettings(flags, payload);
        break;
      case FrameType.ping:
        if ((flags & Flag.ack) !== 0) {
          this.connection.floods.count('pings');
          this.connection.pingAcknowledged(payload);
        } else {
          this.connection.floods.count('pings');
          this.connection.acknowledgePing(payload);
        }
        break;
      case FrameType.goaway:
        this.connection.floods.count('ignored');
        this.connection.goawayReceived(payload.readUInt32BE(0) & 0x7f_ff_ff_ff, payload.readUInt32BE(4));
        break;
      case FrameType.windowUpdate:
        this.onWindowUpdate(streamId, payload.readUInt32BE(0) & 0x7f_ff_ff_ff);
        break;
    }
  }

  onDataPiece(_streamId: number, piece: Buffer): void {
    this.dataBytes += piece.length;
    const stream = this.dataStream;
    if (stream === undefined || !stream.canReceive) {
      this.credit.returnToConnection(piece.length);
      return;
    }
    if (stream.expectedBytes !== undefined) {
      stream.expectedBytes -= piece.length;
      if (stream.expectedBytes < 0) {
        this.credit.returnToConnection(piece.length);
        this.connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
        return;
      }
    }
    this.credit.enqueue(piece.length);
    stream.events.onData(piece);
    this.credit.received(piece.length);
  }

  onDataEnd(_streamId: number, flags: number): void {
    const { connection, dataStream: stream } = this;
    this.dataStream = undefined;
    const end = (flags & Flag.endStream) !== 0;
    if (this.dataBytes === 0 && !end) connection.floods.count('emptyData');
    const overhead = this.dataFrameBytes - this.dataBytes;
    if (overhead > 0) this.credit.returnToConnection(overhead);
    if (stream === undefined || !stream.canReceive) return;
    if (overhead > 0) this.credit.returnToStream(stream, overhead);
    if (!end) return;
    if (stream.expectedBytes !== undefined && stream.expectedBytes > 0) {
      connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    connection.endRemote(stream);
    stream.events.onEnd();
  }

  /** Flow control counts the whole frame when it begins, padding included (RFC 9113 §6.9.1). */
  private dataHeader(flags: number, streamId: number, length: number): PayloadMode {
    const { connection } = this;
    if (streamId === 0) throw protocolError('DATA on stream 0');
    if (length > this.credit.window) {
      throw new Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'DATA beyond the connection window');
    }
    const stream = connection.streams.get(streamId);
    const error = stream === undefined ? this.closedError(streamId) : dataError(stream, length);
    this.credit.window -= length;
    if (stream === undefined || error !== undefined) {
      if (error !== undefined) connection.streamError(streamId, error);
      else connection.floods.count('ignored');
      this.credit.returnToConnection(length);
      return 'skip';
    }
    stream.receiveWindow -= length;
    this.dataStream = stream;
    this.dataFrameBytes = length;
    this.dataBytes = 0;
    return 'data';
  }

  /** Undefined for DATA on a stream whose late frames are to be ignored. */
  private closedError(streamId: number): number | undefined {
    const { connection } = this;
    if (connection.isIdle(streamId)) throw protocolError('DATA on an idle stream');
    switch (connection.closedStreams.of(streamId)) {
      case 'ended':
        throw new Http2ConnectionError(ErrorCode.STREAM_CLOSED, 'DATA on a closed stream');
      case 'reset-by-peer':
        return ErrorCode.STREAM_CLOSED;
      default:
        return undefined;
    }
  }

  private priorityHeader(streamId: number, length: number): PayloadMode {
    if (streamId === 0) throw protocolError('PRIORITY on stream 0');
    this.connection.floods.count('ignored');
    if (length === 5) return 'whole';
    if (!this.connection.streams.has(streamId)) expectLength(length, 5);
    this.connection.streamError(streamId, ErrorCode.FRAME_SIZE_ERROR);
    return 'skip';
  }

  /** Without effect (RFC 9113 §5.3.2), but a stream that depends on itself is an error still (RFC 7540 §5.3.1). */
  private onPriority(streamId: number, dependency: number): void {
    if (dependency !== streamId) return;
    if (this.connection.isIdle(streamId)) throw protocolError('an idle stream depends on itself');
    if (this.connection.streams.has(streamId))
      this.connection.streamError(streamId, ErrorCode.PROTOCOL_ERROR);
  }

  private onReset(streamId: number, code: number): void {
    const { connection } = this;
    const stream = connection.streams.get(streamId);
    if (stream === undefined) {
      connection.floods.count('ignored');
      return;
    }
    // Resetting an established tunnel is how a TCP abort travels; doing it before the answer is the attack.
    if (connection.role === 'server' && !stream.answered) connection.floods.count('resets');
    connection.closeStream(stream, 'reset-by-peer');
    stream.events.onReset(code, 'peer');
  }

  private onSettings(flags: number, payload: Buffer): void {
    const { connection } = this;
    connection.floods.count('settings');
    if ((flags & Flag.ack) !== 0) {
      this.credit.settingsAcknowledged(connection.streams.values());
      return;
    }
    this.settingsSeen = true;
    const before = connection.peer.initialWindowBytes;
    applySettings(payload, connection.peer, connection.role === 'server' ? 'client' : 'server');
    connection.setPeerHeaderTable(connection.peer.headerTableBytes);
    connection.acknowledgeSettings();
    const change = connection.peer.initialWindowBytes - before;
    if (change !== 0) {
      for (const stream of connection.streams.values()) {
        stream.sendWindow += change;
        // RFC 9113 §6.9.2
        if (stream.sendWindow > LARGEST_WINDOW_BYTES) {
          throw new Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'window overflow by SETTINGS');
        }
        connection.windowOpened(stream);
      }
    }
    connection.events.onSettings();
  }

  private onWindowUpdate(streamId: number, increment: number): void {
    const { connection } = this;
    connection.floods.windowUpdate();
    if (streamId === 0) {
      if (increment === 0) throw protocolError('WINDOW_UPDATE of 0');
      connection.sendWindow += increment;
      if (connection.sendWindow > LARGEST_WINDOW_BYTES) {
        throw new Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'connection window overflow');
      }
      connection.connectionWindowOpened();
      return;
    }
    const stream = connection.streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) {
      connection.streamError(streamId, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > LARGEST_WINDOW_BYTES)
      connection.streamError(streamId, ErrorCode.FLOW_CONTROL_ERROR);
    else connection.windowOpened(stream);
  }
}

function dataError(stream: Http2Stream, length: number): number | undefined {
  if (!stream.canReceive) return ErrorCode.STREAM_CLOSED;
  // RFC 9113 §8.1: a response begins with a header section.
  if (stream.phase === 'awaiting-response') return ErrorCode.PROTOCOL_ERROR;
  if (length > stream.receiveWindow) return ErrorCode.FLOW_CONTROL_ERROR;
  return undefined;
}

function expectLength(length: number, expected: number): void {
  if (length !== expected) {
    throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `length ${length}, not ${expected}`);
  }
}

function protocolError(reason: string): Http2ConnectionError {
  return new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, reason);
}

function calm(reason: string): Http2ConnectionError {
  return new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, reason);
}
