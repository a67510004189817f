import { CLIENT_PREFACE, ErrorCode, Flag, FRAME_HEADER_BYTES, FrameType } from './constants.ts';
import { Http2ConnectionError } from './protocol-error.ts';

/** What becomes of a frame's payload: handed over complete, in pieces as it comes (DATA), or dropped. */
export type PayloadMode = 'whole' | 'data' | 'skip';

/** Views that it is given are valid during the call only, unless the transport never reuses its buffers. */
export interface FrameSink {
  onFrameHeader(type: number, flags: number, streamId: number, length: number): PayloadMode;
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void;
  onDataPiece(streamId: number, piece: Buffer): void;
  onDataEnd(streamId: number, flags: number): void;
}

type ReaderState = 'preface' | 'header' | 'whole' | 'pad-length' | 'data' | 'skip' | 'stopped';

const EMPTY = Buffer.alloc(0);

/**
 * Splits a byte stream into frames, in place. Only what a chunk boundary cuts is copied: a frame header (9 bytes) or
 * a control frame, whose size the sink bounds in `onFrameHeader`. DATA is never gathered, so a frame of 16 MB costs
 * no more memory than one of 16 KB.
 *
 *   preface ──► header ─┬─► whole ──────────────┐
 *                 ▲     ├─► pad-length ─► data ─┼─► header      any error ─► stopped
 *                 │     │       └──────► skip ──┤
 *                 │     └─► data, skip ─────────┘
 */
export class FrameReader {
  private readonly sink: FrameSink;
  private readonly maxFrameBytes: number;
  private state: ReaderState;
  /** Progress of the preface, of a cut header or of a cut control frame. */
  private gathered = 0;
  private readonly headerScratch = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES);
  private wholeScratch = EMPTY;
  private type = 0;
  private flags = 0;
  private streamId = 0;
  /** Payload octets still to come, without `padding`. */
  private remaining = 0;
  private padding = 0;
  /** The padded DATA frame belongs to no stream that takes it. */
  private discarding = false;

  /** `maxFrameBytes` is our SETTINGS_MAX_FRAME_SIZE. */
  constructor(sink: FrameSink, maxFrameBytes: number, expectPreface: boolean) {
    this.sink = sink;
    this.maxFrameBytes = maxFrameBytes;
    this.state = expectPreface ? 'preface' : 'header';
  }

  /** Ignores everything from now on; callable from inside the sink. */
  stop(): void {
    this.state = 'stopped';
    this.wholeScratch = EMPTY;
  }

  /** @throws Http2ConnectionError */
  receive(bytes: Buffer): void {
    let at = 0;
    const end = bytes.length;
    while (at < end) {
      switch (this.state) {
        case 'preface':
          at = this.readPreface(bytes, at);
          break;
        case 'header':
          at = this.readHeader(bytes, at);
          break;
        case 'whole':
          at = this.readWhole(bytes, at);
          break;
        case 'pad-length':
          this.padding = bytes[at++] ?? 0;
          // RFC 9113 §6.1: padding as long as the payload or longer. `remaining` excludes the pad length octet.
          if (this.padding > this.remaining) {
            throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'padding exceeds the payload');
          }
          this.beginPadded();
          break;
        case 'data':
          at = this.readData(bytes, at);
          break;
        case 'skip':
          at = this.readSkipped(bytes, at);
          break;
        case 'stopped':
          return;
      }
    }
  }

  private readPreface(bytes: Buffer, start: number): number {
    let at = start;
    while (at < bytes.length && this.gathered < CLIENT_PREFACE.length) {
      if (bytes[at++] !== CLIENT_PREFACE[this.gathered++]) {
        throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'not an HTTP/2 connection preface');
      }
    }
    if (this.gathered === CLIENT_PREFACE.length) {
      this.gathered = 0;
      this.state = 'header';
    }
    return at;
  }

  private readHeader(bytes: Buffer, start: number): number {
    if (this.gathered === 0 && bytes.length - start >= FRAME_HEADER_BYTES) {
      this.beginFrame(bytes, start);
      return start + FRAME_HEADER_BYTES;
    }
    const taken = bytes.copy(
      this.headerScratch,
      this.gathered,
      start,
      Math.min(bytes.length, start + FRAME_HEADER_BYTES - this.gathered),
    );
    this.gathered += taken;
    if (this.gathered === FRAME_HEADER_BYTES) {
      this.gathered = 0;
      this.beginFrame(this.headerScratch, 0);
    }
    return start + taken;
  }

  private beginFrame(bytes: Buffer, at: number): void {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes.readUInt8(at + 3);
    const flags = bytes.readUInt8(at + 4);
    const streamId = bytes.readUInt32BE(at + 5) & 0x7f_ff_ff_ff;
    if (length > this.maxFrameBytes) {
      throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `frame of ${length} bytes`);
    }
    this.type = type;
    this.flags = flags;
    this.streamId = streamId;
    this.remaining = length;
    this.padding = 0;
    const padded = type === FrameType.data && (flags & Flag.padded) !== 0;
    if (padded && length === 0)
      throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'no room for the pad length');
    const mode = this.sink.onFrameHeader(type, flags, streamId, length);
    if (this.state === 'stopped') return;
    if (mode === 'whole') {
      if (length === 0) this.sink.onFrame(type, flags, streamId, EMPTY);
      else this.state = 'whole';
    } else if (padded) {
      this.remaining--;
      this.discarding = mode === 'skip';
      this.state = 'pad-length';
    } else if (mode === 'skip') {
      if (length > 0) this.state = 'skip';
    } else {
      this.state = 'data';
      if (length === 0) this.endData();
    }
  }

  /** Padding is checked whatever becomes of the data (RFC 9113 §6.1). */
  private beginPadded(): void {
    if (this.discarding) {
      this.state = this.remaining > 0 ? 'skip' : 'header';
      return;
    }
    this.remaining -= this.padding;
    this.state = 'data';
    if (this.remaining === 0) this.endData();
  }

  private readWhole(bytes: Buffer, start: number): number {
    const length = this.remaining;
    if (this.gathered === 0 && bytes.length - start >= length) {
      this.state = 'header';
      this.sink.onFrame(this.type, this.flags, this.streamId, bytes.subarray(start, start + length));
      return start + length;
    }
    if (this.gathered === 0) this.wholeScratch = Buffer.allocUnsafe(length);
    const taken = bytes.copy(
      this.wholeScratch,
      this.gathered,
      start,
      Math.min(bytes.length, start + length - this.gathered),
    );
    this.gathered += taken;
    if (this.gathered === length) {
      const payload = this.wholeScratch;
      this.wholeScratch = EMPTY;
      this.gathered = 0;
      this.state = 'header';
      this.sink.onFrame(this.type, this.flags, this.streamId, payload);
    }
    return start + taken;
  }

  private readData(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + this.remaining);
    this.remaining -= end - start;
    this.sink.onDataPiece(
      this.streamId,
      start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end),
    );
    if (this.remaining === 0) this.endData();
    return end;
  }

  /** The last piece was delivered, though the padding may still be on its way. */
  private endData(): void {
    if (this.state === 'stopped') return;
    this.remaining = this.padding;
    this.state = this.padding > 0 ? 'skip' : 'header';
    this.sink.onDataEnd(this.streamId, this.flags);
  }

  private readSkipped(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + this.remaining);
    this.remaining -= end - start;
    if (this.remaining === 0) this.state = 'header';
    return end;
  }
}
