import type { Duplex } from 'node:stream';
import { ErrorCode } from '../http2/constants.ts';
import type { ResponseHead } from '../http2/message-head.ts';
import type { DataSource, Http2Stream, StreamEvents } from '../http2/stream.ts';
import { streamDuplex } from './stream-duplex.ts';
import {
  isCleanEnd,
  type StreamClose,
  type TunnelStream,
  type TunnelStreamHandler,
} from './tunnel-stream.ts';

/** Bytes that a stream takes from its user before `write` says false. */
export const STREAM_SEND_HIGH_WATER_BYTES = 256 * 1024;
/** Where `onDrain` comes. */
const STREAM_SEND_LOW_WATER_BYTES = 64 * 1024;
/** Smaller chunks are copied together while they wait, or a peer could make each byte cost a Buffer. */
const COALESCE_BELOW_BYTES = 4 * 1024;
const COALESCE_BLOCK_BYTES = 16 * 1024;

export interface ResponseListener {
  onResponse(head: ResponseHead): void;
  /** The stream closed before a response came. */
  onFailed(close: StreamClose): void;
}

/** What a stream needs from its session. */
export interface StreamHost {
  /** Bytes that it brings are gone after the call. */
  readonly lendsBytes: boolean;
  /** Frames what windows and the batch of this turn allow. */
  sendNow(stream: SessionStream): void;
  /** The stream has something to send. */
  schedule(stream: SessionStream): void;
  sendEnd(stream: SessionStream): void;
  delivered(stream: SessionStream, bytes: number): void;
  resetStream(stream: SessionStream, code: number): void;
}

/** The stream of a session: its send queue, its receive queue, and the order of its last events. */
export class SessionStream implements TunnelStream, StreamEvents, DataSource {
  bytesReceived = 0;
  bytesSent = 0;
  /** The session's: the codec's record of this stream. */
  codec: Http2Stream | undefined;
  /** Whether it waits for its turn to send. */
  scheduled = false;
  /** Client: who waits for the response. */
  response: ResponseListener | undefined;
  /** Server: called when the stream closes before the request was answered. */
  onAbandoned: (() => void) | undefined;
  private readonly host: StreamHost;
  private handler: TunnelStreamHandler | undefined;
  private paused = true;
  private delivering = false;

  private outgoing: Buffer[] = [];
  private outgoingOffset = 0;
  size = 0;
  ended = false;
  private needDrain = false;

  private incoming: Buffer[] = [];
  /** Filled part of the last block in `incoming`, when that is one that gathers small chunks. */
  private blockUsed = -1;
  private peerEnded = false;
  private endDelivered = false;
  private close: StreamClose | undefined;
  private closeDelivered = false;

  constructor(host: StreamHost) {
    this.host = host;
  }

  get id(): number {
    return this.codec?.id ?? 0;
  }

  get closed(): boolean {
    return this.close !== undefined;
  }

  get lends(): boolean {
    return this.host.lendsBytes;
  }

  get closeReason(): StreamClose | undefined {
    return this.close;
  }

  attach(handler: TunnelStreamHandler): void {
    this.handler = handler;
    this.paused = false;
    // The caller gets its reference before the first event.
    process.nextTick(() => this.deliver());
  }

  write(chunk: Buffer): boolean {
    if (this.ended || this.close !== undefined) return false;
    if (chunk.length > 0) {
      this.outgoing.push(chunk);
      this.size += chunk.length;
      this.host.schedule(this);
    }
    return this.hasRoom();
  }

  writeLent(chunk: Buffer): boolean {
    if (this.ended || this.close !== undefined) return false;
    if (chunk.length === 0) return true;
    this.outgoing.push(chunk);
    this.size += chunk.length;
    if (this.outgoing.length === 1 && !this.scheduled) this.host.sendNow(this);
    if (this.size === 0 || this.outgoing.length === 0) return true;
    const rest = chunk.subarray(this.outgoing.length === 1 ? this.outgoingOffset : 0);
    this.outgoing[this.outgoing.length - 1] = Buffer.from(rest);
    if (this.outgoing.length === 1) this.outgoingOffset = 0;
    this.host.schedule(this);
    return this.hasRoom();
  }

  end(): void {
    if (this.ended || this.close !== undefined) return;
    this.ended = true;
    this.needDrain = false;
    // An empty frame needs no window, so it doesn't queue behind data that does.
    if (this.size === 0) this.host.sendEnd(this);
    else this.host.schedule(this);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused || this.handler === undefined) return;
    this.paused = false;
    this.deliver();
  }

  reset(code: number = ErrorCode.CANCEL): void {
    if (this.close !== undefined) {
      // Closed by the peer behind data that the paused user doesn't want any more: it still has to hear of the close.
      this.drop();
      this.deliver();
      return;
    }
    this.host.resetStream(this, code);
    this.finish({ kind: 'reset', code, by: 'local' });
  }

  toDuplex(): Duplex {
    return streamDuplex(this);
  }

  take(target: Buffer, offset: number, length: number): void {
    this.size -= length;
    this.bytesSent += length;
    let left = length;
    let done = 0;
    while (left > 0) {
      const chunk = this.outgoing[done];
      if (chunk === undefined) break;
      const from = this.outgoingOffset;
      const copied = chunk.copy(target, offset, from, Math.min(chunk.length, from + left));
      offset += copied;
      left -= copied;
      if (from + copied < chunk.length) this.outgoingOffset = from + copied;
      else {
        this.outgoingOffset = 0;
        done++;
      }
    }
    if (done === this.outgoing.length) this.outgoing.length = 0;
    else if (done > 0) this.outgoing.splice(0, done);
  }

  private hasRoom(): boolean {
    if (this.size < STREAM_SEND_HIGH_WATER_BYTES) return true;
    this.needDrain = true;
    return false;
  }

  /** The session framed some of it, or its end. */
  sent(): void {
    this.checkEnded();
    if (!this.needDrain || this.size > STREAM_SEND_LOW_WATER_BYTES || this.close !== undefined) return;
    this.needDrain = false;
    this.handler?.onDrain();
  }

  onResponse(head: ResponseHead, endStream: boolean): void {
    const waiting = this.response;
    this.response = undefined;
    waiting?.onResponse(head);
    if (endStream) this.onEnd();
  }

  onData(piece: Buffer): void {
    if (this.close !== undefined) {
      this.host.delivered(this, piece.length);
      return;
    }
    if (this.paused || this.delivering || this.incoming.length > 0) {
      this.hold(piece);
      return;
    }
    this.bytesReceived += piece.length;
    this.delivering = true;
    const { handler } = this;
    const isOwn = !this.host.lendsBytes || handler?.takesLoans === true;
    handler?.onData(isOwn ? piece : Buffer.from(piece));
    this.delivering = false;
    this.host.delivered(this, piece.length);
    if (this.incoming.length > 0 || this.peerEnded || this.close !== undefined) this.deliver();
  }

  onEnd(): void {
    this.peerEnded = true;
    this.checkEnded();
    this.deliver();
  }

  onReset(code: number, by: 'peer' | 'local'): void {
    this.finish({ kind: 'reset', code, by });
  }

  onWritable(): void {
    this.host.schedule(this);
  }

  onLost(error: Error): void {
    this.finish({ kind: 'lost', error });
  }

  private checkEnded(): void {
    if (
      this.close === undefined &&
      this.peerEnded &&
      this.ended &&
      this.size === 0 &&
      this.codec?.state === 'closed'
    ) {
      this.finish({ kind: 'ended' });
    }
  }

  private finish(close: StreamClose): void {
    if (this.close !== undefined) return;
    this.close = close;
    this.outgoing = [];
    this.size = 0;
    // What came before a clean end still belongs to the reader; after an abort it is nobody's.
    if (!isCleanEnd(close)) this.drop();
    const waiting = this.response;
    this.response = undefined;
    waiting?.onFailed(close);
    this.onAbandoned?.();
    this.deliver();
  }

  private drop(): void {
    let bytes = 0;
    for (const chunk of this.incoming) bytes += chunk.length;
    if (this.blockUsed >= 0) bytes -= COALESCE_BLOCK_BYTES - this.blockUsed;
    this.incoming = [];
    this.blockUsed = -1;
    if (bytes > 0) this.host.delivered(this, bytes);
  }

  private hold(piece: Buffer): void {
    if (piece.length >= COALESCE_BELOW_BYTES) {
      this.sealBlock();
      this.incoming.push(this.host.lendsBytes ? Buffer.from(piece) : piece);
      return;
    }
    if (this.blockUsed < 0 || this.blockUsed + piece.length > COALESCE_BLOCK_BYTES) {
      this.sealBlock();
      this.incoming.push(Buffer.allocUnsafeSlow(COALESCE_BLOCK_BYTES));
      this.blockUsed = 0;
    }
    const block = this.incoming.at(-1);
    if (block === undefined) return;
    piece.copy(block, this.blockUsed);
    this.blockUsed += piece.length;
  }

  private sealBlock(): void {
    if (this.blockUsed < 0) return;
    const block = this.incoming.pop();
    if (block !== undefined) this.incoming.push(block.subarray(0, this.blockUsed));
    this.blockUsed = -1;
  }

  /** Hands over what is there, in order: data, end, close. */
  private deliver(): void {
    const { handler } = this;
    if (handler === undefined || this.delivering) return;
    this.delivering = true;
    while (!this.paused && this.incoming.length > 0) {
      if (this.incoming.length === 1) this.sealBlock();
      const chunk = this.incoming.shift();
      if (chunk === undefined) break;
      this.bytesReceived += chunk.length;
      handler.onData(chunk);
      this.host.delivered(this, chunk.length);
    }
    this.delivering = false;
    if (this.incoming.length > 0) return;
    if (this.peerEnded && !this.endDelivered) {
      this.endDelivered = true;
      handler.onEnd();
    }
    if (this.close === undefined || this.closeDelivered) return;
    this.closeDelivered = true;
    handler.onClose(this.close);
  }
}
