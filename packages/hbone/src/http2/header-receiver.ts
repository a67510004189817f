import type { Http2Connection } from './connection.ts';
import { ErrorCode, Flag } from './constants.ts';
import { HpackDecoder, type DecodedBlock, type FlatFields } from './hpack/decoder.ts';
import { contentLength, parseRequestHead, parseResponseHead, parseTrailers } from './message-head.ts';
import { Http2ConnectionError } from './protocol-error.ts';
import { type Http2Stream, unattachedStreamEvents } from './stream.ts';

/** Gathers HEADERS and CONTINUATION to header blocks, decodes them, and applies them to streams. */
export class HeaderReceiver {
  /** The stream whose block is incomplete, or 0: nothing but its CONTINUATION may come (RFC 9113 §6.10). */
  pendingStreamId = 0;
  private readonly connection: Http2Connection;
  private readonly decoder: HpackDecoder;
  private pieces: Buffer[] = [];
  private blockBytes = 0;
  private continuations = 0;
  private endStream = false;
  private selfDependent = false;

  constructor(connection: Http2Connection, tableLimit: number) {
    this.connection = connection;
    this.decoder = new HpackDecoder(tableLimit, {
      maxListBytes: connection.limits.maxHeaderListBytes,
      maxFields: connection.limits.maxHeaderFields,
    });
  }

  /** Before a frame's payload is gathered: the block with it must stay below the limit. */
  checkSize(frameBytes: number): void {
    if (this.blockBytes + frameBytes > this.connection.limits.maxHeaderListBytes) {
      throw new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'header block too large');
    }
  }

  onHeaders(flags: number, streamId: number, payload: Buffer): void {
    const { fragment, dependency } = headerFragment(flags, payload);
    this.endStream = (flags & Flag.endStream) !== 0;
    this.selfDependent = dependency === streamId;
    if ((flags & Flag.endHeaders) !== 0) {
      this.apply(streamId, fragment);
      return;
    }
    this.pendingStreamId = streamId;
    this.continuations = 0;
    this.keep(fragment);
  }

  onContinuation(flags: number, payload: Buffer): void {
    if (++this.continuations > this.connection.limits.maxContinuations) {
      throw new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many CONTINUATION frames');
    }
    this.keep(payload);
    if ((flags & Flag.endHeaders) === 0) return;
    const streamId = this.pendingStreamId;
    const block = Buffer.concat(this.pieces, this.blockBytes);
    this.pieces = [];
    this.blockBytes = 0;
    this.pendingStreamId = 0;
    this.apply(streamId, block);
  }

  /** The view is the transport's: copy what outlives the call. */
  private keep(fragment: Buffer): void {
    this.pieces.push(Buffer.from(fragment));
    this.blockBytes += fragment.length;
  }

  private apply(streamId: number, block: Buffer): void {
    const { connection, endStream, selfDependent } = this;
    // Always decoded, whatever becomes of the stream: the table must stay in step (RFC 9113 §4.3).
    const decoded = this.decoder.decode(block);
    const stream = connection.streams.get(streamId);
    if (stream !== undefined) {
      if (!stream.canReceive) connection.streamError(streamId, ErrorCode.STREAM_CLOSED);
      else if (selfDependent) connection.streamError(streamId, ErrorCode.PROTOCOL_ERROR);
      else if (stream.phase === 'awaiting-response') this.applyResponse(stream, decoded, endStream);
      else this.applyTrailers(stream, decoded, endStream);
      return;
    }
    if (!connection.isIdle(streamId)) {
      this.checkLate(streamId);
      return;
    }
    // RFC 9113 §5.1.1: clients open odd streams; servers open none without push.
    if (connection.role === 'client' || (streamId & 1) === 0) {
      throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, `HEADERS on stream ${streamId}`);
    }
    if (selfDependent) {
      connection.lastPeerStreamId = streamId;
      connection.streamError(streamId, ErrorCode.PROTOCOL_ERROR);
    } else this.applyRequest(streamId, decoded, endStream);
  }

  private applyRequest(streamId: number, decoded: DecodedBlock, endStream: boolean): void {
    const { connection } = this;
    connection.lastPeerStreamId = streamId;
    if (connection.goaway.refuses(streamId)) {
      connection.floods.count('ignored');
      connection.closedStreams.add(streamId, 'reset');
      return;
    }
    if (connection.streams.size >= connection.limits.maxConcurrentStreams) {
      connection.streamError(streamId, ErrorCode.REFUSED_STREAM);
      return;
    }
    if (decoded.kind === 'too-large' && connection.rules.oversizedHead === 'reset-stream') {
      connection.streamError(streamId, ErrorCode.INTERNAL_ERROR);
      return;
    }
    if (decoded.kind === 'too-large') {
      // RFC 6585 §5. The reset tells that the rest of the request is not wanted (RFC 9113 §8.1).
      connection.floods.count('resets');
      const refused = connection.addStream(streamId, unattachedStreamEvents, 'message');
      if (endStream) connection.endRemote(refused);
      connection.sendHeaders(refused, [':status', '431'], true);
      connection.resetStream(refused, ErrorCode.NO_ERROR);
      return;
    }
    const parsed = parseRequestHead(decoded.fields, connection.rules.extendedConnect);
    if (parsed.kind === 'malformed') {
      connection.malformed(streamId, parsed.reason);
      return;
    }
    const phase = parsed.head.method === 'CONNECT' ? 'connected' : 'message';
    const length = phase === 'message' ? contentLength(parsed.head.fields) : undefined;
    if (length === 'invalid' || (endStream && length !== undefined && length > 0)) {
      connection.streamError(streamId, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    const stream = connection.addStream(streamId, unattachedStreamEvents, phase);
    stream.expectedBytes = length;
    if (endStream) connection.endRemote(stream);
    stream.events = connection.events.onRequest(stream, parsed.head, endStream);
  }

  private applyResponse(stream: Http2Stream, decoded: DecodedBlock, endStream: boolean): void {
    const { connection } = this;
    const parsed = decoded.kind === 'fields' ? parseResponseHead(decoded.fields) : undefined;
    if (parsed === undefined) {
      connection.streamError(stream.id, ErrorCode.ENHANCE_YOUR_CALM);
      return;
    }
    if (parsed.kind === 'malformed') {
      connection.malformed(stream.id, parsed.reason);
      return;
    }
    const { status } = parsed.head;
    if (status < 200) {
      connection.floods.count('ignored');
      if (endStream) connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
      else stream.events.onInterim?.(parsed.head);
      return;
    }
    stream.phase = stream.connect && status < 300 ? 'connected' : 'message';
    if (!this.expectBody(stream, status, parsed.head.fields, endStream)) return;
    if (endStream) connection.endRemote(stream);
    stream.events.onResponse(parsed.head, endStream);
  }

  /** False when the response contradicts its own length. */
  private expectBody(stream: Http2Stream, status: number, fields: FlatFields, endStream: boolean): boolean {
    if (stream.phase === 'connected' || stream.bodiless || status === 204 || status === 304) return true;
    const length = contentLength(fields);
    if (length === 'invalid' || (endStream && length !== undefined && length > 0)) {
      this.connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
      return false;
    }
    stream.expectedBytes = length;
    return true;
  }

  private applyTrailers(stream: Http2Stream, decoded: DecodedBlock, endStream: boolean): void {
    const { connection } = this;
    // RFC 9113 §8.5: a tunnel takes only DATA; §8.1: a second header section without END_STREAM is malformed.
    if (stream.phase === 'connected' || !endStream) {
      connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    if (decoded.kind === 'too-large') {
      connection.streamError(stream.id, ErrorCode.INTERNAL_ERROR);
      return;
    }
    const parsed = parseTrailers(decoded.fields);
    if (parsed.kind === 'malformed') {
      connection.malformed(stream.id, parsed.reason);
      return;
    }
    if (stream.expectedBytes !== undefined && stream.expectedBytes > 0) {
      connection.streamError(stream.id, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    connection.endRemote(stream);
    if (stream.events.onTrailers === undefined) stream.events.onEnd();
    else stream.events.onTrailers(parsed.head.fields);
  }

  private checkLate(streamId: number): void {
    switch (this.connection.closedStreams.of(streamId)) {
      case 'ended':
        throw new Http2ConnectionError(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream');
      case 'reset-by-peer':
        this.connection.streamError(streamId, ErrorCode.STREAM_CLOSED);
        return;
      case 'never-opened':
        throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'HEADERS on a lower stream than before');
      default:
        this.connection.floods.count('ignored');
    }
  }
}

interface HeaderFragment {
  readonly fragment: Buffer;
  /** The stream that this one depends on: of no effect, but it can't be itself (RFC 7540 §5.3.1). */
  readonly dependency: number | undefined;
}

/** Strips padding and the deprecated priority fields (RFC 9113 §6.2). */
function headerFragment(flags: number, payload: Buffer): HeaderFragment {
  let start = 0;
  let end = payload.length;
  if ((flags & Flag.padded) !== 0) {
    const padding = payload[0];
    if (padding === undefined)
      throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'no room for the pad length');
    start = 1;
    end -= padding;
  }
  let dependency: number | undefined;
  if ((flags & Flag.priority) !== 0) {
    if (start + 5 > payload.length)
      throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'no room for the priority');
    dependency = streamDependency(payload, start);
    start += 5;
  }
  if (end < start) throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'padding exceeds the payload');
  return { fragment: payload.subarray(start, end), dependency };
}

/** Without the exclusive flag. */
export function streamDependency(payload: Buffer, offset = 0): number {
  return payload.readUInt32BE(offset) & 0x7f_ff_ff_ff;
}
