import { type DataSource, ErrorCode, type FlatFields, type Http2Stream } from '@weft/hbone/http2';
import type { ResponseHead, StreamEvents } from '@weft/hbone/http2';
import type { HeaderMap } from '../../engine/types.ts';
import type { HttpServerStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import { responseFields, responseFromHead, trailerFields, trailersFromFields } from './fields.ts';

const EMPTY = Buffer.alloc(0);

/** What a stream needs from its session. */
export interface MessageHost {
  readonly bufferLimitBytes: number;
  schedule(stream: MessageStream): void;
  sendFrom(stream: MessageStream): void;
  sendHeaders(stream: MessageStream, fields: FlatFields, endStream: boolean): void;
  openStream(stream: MessageStream, headers: HeaderMap, endStream: boolean): void;
  reset(stream: MessageStream, code: number): void;
  delivered(stream: MessageStream, bytes: number): void;
}

type Ending = { readonly kind: 'end' } | { readonly kind: 'trailers'; readonly fields: FlatFields };

/** One stream of an HTTP/2 session: its send queue, its receive queue while paused, and the order of its events. */
export class MessageStream implements HttpServerStream, StreamEvents, DataSource {
  readonly protocol = 'HTTP/2';
  /** The session's. Absent: a client that sent no head yet, or whose stream couldn't be opened. */
  codec: Http2Stream | undefined;
  /** The session's: waits for its turn to send. */
  scheduled = false;
  /** `:protocol` of an extended CONNECT. */
  upgrade: string | undefined;
  size = 0;
  /** A CONNECT that was accepted: its directions end one by one. */
  tunnel = false;
  private readonly host: MessageHost;
  private readonly role: 'client' | 'server';
  private receiver: HttpStreamEvents | undefined;
  private outgoing: Buffer[] = [];
  private outgoingOffset = 0;
  private sendEnded = false;
  private trailers: FlatFields | undefined;
  private needDrain = false;
  private incoming: Buffer[] = [];
  private ending: Ending | undefined;
  private endDelivered = false;
  private paused = false;
  private gone = false;

  constructor(host: MessageHost, role: 'client' | 'server') {
    this.host = host;
    this.role = role;
  }

  attach(receiver: HttpStreamEvents): void {
    this.receiver = receiver;
  }

  get ended(): boolean {
    return this.sendEnded && this.trailers === undefined;
  }

  /** Nothing will happen on it any more. */
  get isGone(): boolean {
    return this.gone;
  }

  get writableLength(): number {
    return this.size;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.gone || this.sendEnded) return;
    if (endStream) this.sendEnded = true;
    if (this.role === 'client') {
      this.host.openStream(this, headers, endStream);
      return;
    }
    this.tunnel = this.codec?.phase === 'connected' && (headers.status ?? 0) < 300;
    this.host.sendHeaders(this, responseFields(headers), endStream);
  }

  sendInformational(headers: HeaderMap): void {
    if (this.gone || this.role === 'client') return;
    this.host.sendHeaders(this, responseFields(headers), false);
  }

  sendData(chunk: Buffer, endStream: boolean): boolean {
    if (this.gone || this.sendEnded) return true;
    if (chunk.length > 0) {
      this.outgoing.push(chunk);
      this.size += chunk.length;
    }
    if (endStream) this.sendEnded = true;
    // An empty last frame needs no window, so it doesn't queue behind data that does.
    if (this.size === 0) this.host.sendFrom(this);
    else this.host.schedule(this);
    if (this.size < this.host.bufferLimitBytes) return true;
    this.needDrain = true;
    return false;
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.gone || this.sendEnded) return;
    this.sendEnded = true;
    const fields = trailerFields(trailers);
    if (fields.length === 0) {
      if (this.size === 0) this.host.sendFrom(this);
      else this.host.schedule(this);
    } else if (this.size === 0) this.host.sendHeaders(this, fields, true);
    else this.trailers = fields;
  }

  reset(reason: ResetReason): void {
    if (this.gone) return;
    this.gone = true;
    this.dropQueues();
    this.host.reset(this, resetCode(reason));
  }

  pauseReading(): void {
    this.paused = true;
  }

  resumeReading(): void {
    if (!this.paused) return;
    this.paused = false;
    this.deliver();
  }

  /** The session framed some of the queue. */
  sent(): void {
    if (this.size === 0 && this.trailers !== undefined) {
      const { trailers } = this;
      this.trailers = undefined;
      this.host.sendHeaders(this, trailers, true);
    }
    if (!this.needDrain || this.size > this.host.bufferLimitBytes / 2) return;
    this.needDrain = false;
    if (!this.sendEnded) this.receiver?.onDrain();
  }

  take(target: Buffer, offset: number, length: number): void {
    let left = length;
    let at = offset;
    while (left > 0) {
      const head = this.outgoing[0];
      if (head === undefined) return;
      const count = Math.min(left, head.length - this.outgoingOffset);
      head.copy(target, at, this.outgoingOffset, this.outgoingOffset + count);
      at += count;
      left -= count;
      this.outgoingOffset += count;
      if (this.outgoingOffset < head.length) continue;
      this.outgoing.shift();
      this.outgoingOffset = 0;
    }
    this.size -= length;
  }

  onResponse(head: ResponseHead, endStream: boolean): void {
    if (this.gone) return;
    this.endDelivered ||= endStream;
    this.receiver?.onHeaders(responseFromHead(head, this.upgrade), endStream);
  }

  onInterim(head: ResponseHead): void {
    if (!this.gone) this.receiver?.onInformational?.(responseFromHead(head, undefined));
  }

  onRequestHeaders(headers: HeaderMap, endStream: boolean): void {
    this.endDelivered ||= endStream;
    this.receiver?.onHeaders(headers, endStream);
  }

  onData(piece: Buffer): void {
    if (this.gone) {
      this.host.delivered(this, piece.length);
      return;
    }
    if (this.paused || this.incoming.length > 0) {
      this.incoming.push(piece);
      return;
    }
    this.host.delivered(this, piece.length);
    this.receiver?.onData(piece, false);
  }

  onEnd(): void {
    this.ending ??= { kind: 'end' };
    this.deliver();
  }

  onTrailers(fields: FlatFields): void {
    this.ending ??= { kind: 'trailers', fields };
    this.deliver();
  }

  onReset(code: number, by: 'peer' | 'local'): void {
    this.lost(by === 'local' ? 'protocol-error' : peerResetReason(code), by === 'local' ? LOCAL_DETAILS : '');
  }

  onWritable(): void {
    this.host.schedule(this);
  }

  onLost(error: Error): void {
    this.lost('connection-termination', error.message);
  }

  private lost(reason: ResetReason, details: string): void {
    if (this.gone) return;
    const over = this.role === 'client' && this.ending !== undefined;
    // What was received completely is still delivered to a reader that paused.
    if (over || (this.role === 'client' && this.endDelivered)) {
      this.sendEnded = true;
      return;
    }
    this.gone = true;
    this.dropQueues();
    // A server whose stream is complete on both sides isn't told: the codec forgot the stream before.
    this.receiver?.onReset(reason, details);
  }

  private deliver(): void {
    while (!this.paused && !this.gone) {
      const piece = this.incoming.shift();
      if (piece === undefined) break;
      this.host.delivered(this, piece.length);
      const last = this.incoming.length === 0 && this.ending?.kind === 'end';
      if (last) this.endDelivered = true;
      this.receiver?.onData(piece, last);
    }
    if (this.paused || this.gone || this.endDelivered || this.ending === undefined) return;
    if (this.incoming.length > 0) return;
    this.endDelivered = true;
    if (this.ending.kind === 'end') this.receiver?.onData(EMPTY, true);
    else this.receiver?.onTrailers(trailersFromFields(this.ending.fields));
  }

  private dropQueues(): void {
    let bytes = 0;
    for (const piece of this.incoming) bytes += piece.length;
    this.incoming = [];
    if (bytes > 0) this.host.delivered(this, bytes);
    this.outgoing = [];
    this.outgoingOffset = 0;
    this.size = 0;
    this.trailers = undefined;
    this.sendEnded = true;
  }
}

const LOCAL_DETAILS = 'http2.violation.of.messaging.rule';

function resetCode(reason: ResetReason): number {
  switch (reason) {
    case 'refused-stream':
    case 'overflow':
      return ErrorCode.REFUSED_STREAM;
    case 'protocol-error':
      return ErrorCode.PROTOCOL_ERROR;
    case 'connect-error':
      return ErrorCode.CONNECT_ERROR;
    case 'connection-termination':
      return ErrorCode.INTERNAL_ERROR;
    case 'remote-reset':
    case 'local-reset':
      return ErrorCode.CANCEL;
  }
}

function peerResetReason(code: number): ResetReason {
  if (code === ErrorCode.REFUSED_STREAM) return 'refused-stream';
  return code === ErrorCode.CONNECT_ERROR ? 'connect-error' : 'remote-reset';
}
