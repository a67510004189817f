import { type ByteStream, HeaderMap } from '../../engine/types.ts';
import type {
  HttpClientCodec,
  HttpClientEvents,
  HttpCodecOptions,
  HttpStream,
  HttpStreamEvents,
  ResetReason,
} from '../codec.ts';
import { type MessageLimits, messageLimits } from '../message-limits.ts';
import { Http1Error } from './error.ts';
import { type BodyFraming, frameFields } from './framing.ts';
import { parseFields, parseStatusLine } from './head.ts';
import { Http1Parser, type ParserSink } from './parser.ts';
import { Http1ClientStream, type ClientStreamHost } from './client-stream.ts';
import { Http1Writer } from './writer.ts';

/** Interim responses before the final one. */
const MAX_INTERIM = 16;
const EMPTY = Buffer.alloc(0);

interface Head {
  readonly headers: HeaderMap;
  readonly keepAlive: boolean;
}

/** One HTTP/1 connection to a server: one request at a time. */
class Http1ClientCodec implements HttpClientCodec, ParserSink, ClientStreamHost {
  readonly protocol = 'HTTP/1.1';
  readonly maxConcurrentStreams = 1;
  readonly writer: Http1Writer;
  readonly properCase: boolean;
  readonly trailersEnabled: boolean;
  private readonly transport: ByteStream;
  private readonly events: HttpClientEvents;
  private readonly options: HttpCodecOptions;
  private readonly limits: MessageLimits;
  private readonly parser: Http1Parser;
  private stream: Http1ClientStream | undefined;
  private head: Head | undefined;
  private interim = 0;
  private draining = false;
  private closing = false;
  private error: Error | undefined;
  private protocolError: string | undefined;

  constructor(transport: ByteStream, events: HttpClientEvents, options: HttpCodecOptions) {
    this.transport = transport;
    this.events = events;
    this.options = options;
    this.limits = messageLimits(options);
    this.properCase = options.headerKeyFormat === 'proper-case';
    this.trailersEnabled = options.enableTrailers === true;
    this.writer = new Http1Writer(transport, this.limits.bufferBytes);
    this.writer.onRoom = () => this.stream?.events.onDrain();
    this.parser = new Http1Parser(this.limits, this);
    transport.onData = (chunk) => this.receive(chunk);
    transport.onDrain = () => this.writer.drained();
    transport.onEnd = () => this.onTransportEnd();
    transport.onClose = (error) => this.onTransportClose(error);
    transport.resume();
  }

  get activeStreams(): number {
    return this.stream === undefined ? 0 : 1;
  }

  get canOpen(): boolean {
    return this.usable && this.stream === undefined;
  }

  get usable(): boolean {
    return !this.closing && !this.draining;
  }

  openStream(events: HttpStreamEvents): HttpStream | undefined {
    if (!this.canOpen) return undefined;
    this.interim = 0;
    this.stream = new Http1ClientStream(this, events);
    return this.stream;
  }

  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.events.onDraining();
    if (this.stream === undefined) this.close();
  }

  close(error?: Error): void {
    if (this.closing) return;
    this.error ??= error;
    this.closing = true;
    this.writer.flush();
    this.loseStream('connection-termination');
    this.transport.close();
  }

  onHead(text: string): BodyFraming {
    const { stream } = this;
    if (stream === undefined) throw new Http1Error('http1.codec_error');
    const lineEnd = text.indexOf('\n');
    const line = parseStatusLine(text.slice(0, lineEnd).replace(/\r$/, ''));
    const spelling = this.options.headerKeyFormat === 'preserve-case' ? new Map<string, string>() : undefined;
    const framed = frameFields(parseFields(text, lineEnd + 1, this.limits.maxFields, spelling), {
      minor: line.minor,
      allowChunkedLength: this.options.allowChunkedLength ?? false,
    });
    const { status } = line;
    const headers = new HeaderMap(framed.fields);
    headers.spelling = spelling;
    headers.status = status;
    const tunnel = (stream.method === 'CONNECT' && status >= 200 && status < 300) || status === 101;
    if (status === 101) {
      if (stream.upgrade === undefined) throw new Http1Error('http1.codec_error');
      headers.protocol = framed.upgrade ?? stream.upgrade;
    }
    const keepAlive =
      line.minor === 0 ? framed.connection.has('keep-alive') : !framed.connection.has('close');
    this.head = { headers, keepAlive };
    if (tunnel) {
      stream.tunnel = true;
      // Its bytes ended before the answer came.
      if (stream.requestEnded) this.endTransport();
      return { kind: 'close' };
    }
    // RFC 9112 §6.3
    if (status < 200 || status === 204 || status === 304 || stream.method === 'HEAD') return { kind: 'none' };
    return framed.framing ?? { kind: 'close' };
  }

  onStart(complete: boolean): void {
    const { stream, head } = this;
    if (stream === undefined || head === undefined) return;
    const status = head.headers.status ?? 0;
    if (status < 200 && status !== 101) {
      if (++this.interim > MAX_INTERIM) throw new Http1Error('http1.codec_error');
      stream.events.onInformational?.(head.headers);
      this.parser.next();
      return;
    }
    if (complete) this.responseEnded(stream, () => stream.events.onHeaders(head.headers, true));
    else stream.events.onHeaders(head.headers, false);
  }

  onBody(piece: Buffer, last: boolean): void {
    const { stream } = this;
    if (stream === undefined) return;
    if (last) this.responseEnded(stream, () => stream.events.onData(piece, true));
    else stream.events.onData(piece, false);
  }

  onEnd(trailers: string[]): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.responseEnded(stream, () => {
      if (trailers.length === 0 || !this.trailersEnabled) stream.events.onData(EMPTY, true);
      else stream.events.onTrailers(new HeaderMap(frameFields(trailers, TRAILERS).fields));
    });
  }

  /** The request was given up: this connection is of no use any more. */
  abandon(stream: Http1ClientStream): void {
    if (this.stream !== stream) return;
    this.stream = undefined;
    if (this.closing) return;
    this.closing = true;
    if (stream.started) this.transport.reset();
    else this.transport.close();
  }

  /** A stream that was given up before it sent anything: the connection is as good as before. */
  release(stream: Http1ClientStream): void {
    if (this.stream !== stream) return;
    this.stream = undefined;
    if (this.draining) this.close();
    else this.events.onCapacity();
  }

  endTransport(): void {
    this.writer.flush();
    this.transport.end();
  }

  pauseReading(): void {
    this.parser.pause();
    this.transport.pause();
  }

  resumeReading(): void {
    this.transport.resume();
    this.guard(() => this.parser.resume());
  }

  private receive(chunk: Buffer): void {
    if (this.closing) return;
    if (this.stream === undefined) {
      // Nobody asked: what follows could be taken for the answer to the next request.
      this.close(new Error('unsolicited bytes'));
      return;
    }
    this.guard(() => this.parser.receive(chunk));
  }

  private guard(work: () => void): void {
    if (this.closing) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      this.protocolError = error.details;
      this.error ??= error;
      this.closing = true;
      this.loseStream('protocol-error', error.details);
      this.transport.reset();
    }
  }

  /** The response is complete: the connection becomes free before its last event is delivered. */
  private responseEnded(stream: Http1ClientStream, deliver: () => void): void {
    const reusable = this.head?.keepAlive === true && stream.requestEnded && this.parser.heldBytes === 0;
    this.stream = undefined;
    this.head = undefined;
    stream.gone = true;
    if (stream.paused) this.transport.resume();
    if (!reusable || this.draining) {
      deliver();
      this.draining = true;
      this.events.onDraining();
      this.close();
      return;
    }
    deliver();
    if (this.closing) return;
    this.parser.next();
    this.events.onCapacity();
  }

  private onTransportEnd(): void {
    const { stream } = this;
    if (stream !== undefined && this.parser.untilClose) {
      if (stream.tunnel) {
        stream.peerEnded = true;
        stream.events.onData(EMPTY, true);
        if (stream.requestEnded) this.finishTunnel(stream);
        return;
      }
      this.responseEnded(stream, () => stream.events.onData(EMPTY, true));
      return;
    }
    this.closeTruncated();
  }

  finishTunnel(stream: Http1ClientStream): void {
    if (this.stream !== stream) return;
    this.stream = undefined;
    stream.gone = true;
    this.close();
  }

  private closeTruncated(): void {
    // Bytes of a message without its end: RFC 9112 §8 calls it incomplete, whatever was delivered of it.
    const begun = this.head !== undefined && this.stream !== undefined;
    if (begun) this.protocolError = 'http1.incomplete_message';
    this.loseStream(begun ? 'protocol-error' : 'connection-termination');
    this.close();
  }

  private onTransportClose(error: Error | undefined): void {
    this.error ??= error;
    if (!this.closing && error === undefined && this.head !== undefined) this.closeTruncated();
    this.closing = true;
    this.loseStream('connection-termination');
    this.events.onClose({
      ...(this.protocolError === undefined ? {} : { protocolError: this.protocolError }),
      ...(this.error === undefined ? {} : { error: this.error }),
    });
  }

  private loseStream(reason: ResetReason, details?: string): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.stream = undefined;
    stream.gone = true;
    stream.events.onReset(reason, details);
  }
}

const TRAILERS = { minor: 1, allowChunkedLength: true } as const;

export function createHttp1ClientCodec(
  connection: ByteStream,
  events: HttpClientEvents,
  options: HttpCodecOptions = {},
): HttpClientCodec {
  return new Http1ClientCodec(connection, events, options);
}
