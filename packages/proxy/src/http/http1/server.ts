import { type ByteStream, HeaderMap } from '../../engine/types.ts';
import type {
  BadRequest,
  HttpCodecOptions,
  HttpServerCodec,
  HttpServerEvents,
  ResetReason,
} from '../codec.ts';
import { type MessageLimits, messageLimits } from '../message-limits.ts';
import { Http1Error } from './error.ts';
import { type BodyFraming, frameFields, NO_BODY } from './framing.ts';
import { checkHost, parseFields, parseRequestLine, parseTarget } from './head.ts';
import { Http1Parser, type ParserSink } from './parser.ts';
import { Http1ServerStream, type Request, type ServerStreamHost } from './server-stream.ts';
import { forbiddenTrailers, Http1Writer } from './writer.ts';

/** Bytes of following requests (or of an upgrade's protocol) that are taken before the transport is paused. */
const MAX_HELD_BYTES = 16 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * One HTTP/1 connection of a client. Requests are served one after the other (RFC 9112 §9.3.2): the parser stands still
 * between the end of a request and the end of its response.
 */
class Http1ServerCodec implements HttpServerCodec, ParserSink, ServerStreamHost {
  readonly protocol = 'HTTP/1.1';
  readonly writer: Http1Writer;
  readonly properCase: boolean;
  readonly trailersEnabled: boolean;
  private readonly transport: ByteStream;
  private readonly events: HttpServerEvents;
  private readonly options: HttpCodecOptions;
  private readonly limits: MessageLimits;
  private readonly parser: Http1Parser;
  private request: Request | undefined;
  private headBegun = false;
  private stream: Http1ServerStream | undefined;
  private draining = false;
  private closing = false;
  private protocolError: string | undefined;

  constructor(transport: ByteStream, events: HttpServerEvents, options: HttpCodecOptions) {
    this.transport = transport;
    this.events = events;
    this.options = options;
    this.limits = messageLimits(options);
    this.properCase = options.headerKeyFormat === 'proper-case';
    this.trailersEnabled = options.enableTrailers === true;
    this.writer = new Http1Writer(transport, this.limits.bufferBytes);
    this.writer.onRoom = () => this.stream?.receiver?.onDrain();
    this.parser = new Http1Parser(this.limits, this);
    transport.onData = (chunk) => this.read(() => this.parser.receive(chunk));
    transport.onDrain = () => this.writer.drained();
    transport.onEnd = () => this.onTransportEnd();
    transport.onClose = (error) => this.onTransportClose(error);
    transport.resume();
  }

  get activeStreams(): number {
    return this.stream === undefined ? 0 : 1;
  }

  /** The next response must say `connection: close`. */
  get lastResponse(): boolean {
    return this.draining || this.request?.keepAlive !== true;
  }

  drain(): void {
    this.draining = true;
    if (this.stream === undefined && !this.parser.inMessage) this.close();
  }

  close(): void {
    if (this.closing) return;
    this.closing = true;
    this.loseStream('connection-termination');
    this.writer.flush();
    this.transport.close();
  }

  refuseHead(): void {
    if (this.stream === undefined && !this.closing) {
      this.refuse(new Http1Error('request_header_timeout', 408));
    }
  }

  onHead(text: string): BodyFraming {
    this.headBegun = false;
    const lineEnd = text.indexOf('\n');
    const line = parseRequestLine(text.slice(0, lineEnd).replace(/\r$/, ''));
    if (line.minor === 0 && this.options.acceptHttp10 !== true) throw new Http1Error('low_version', 426);
    const spelling = this.options.headerKeyFormat === 'preserve-case' ? new Map<string, string>() : undefined;
    const raw = parseFields(text, lineEnd + 1, this.limits.maxFields, spelling);
    this.checkUnderscores(raw);
    const framed = frameFields(raw, {
      minor: line.minor,
      allowChunkedLength: this.options.allowChunkedLength ?? false,
    });
    // RFC 9112 §3.2: more than one is an error. Envoy joins them, and may route the result.
    if (framed.host.length > 1) throw new Http1Error('http1.codec_error');
    const host = framed.host[0];
    if (host !== undefined) checkHost(host);
    const target = parseTarget(line.method, line.target);
    const headers = new HeaderMap(framed.fields);
    headers.spelling = spelling;
    headers.method = line.method;
    headers.authority = host ?? (line.minor === 0 ? this.options.defaultHostForHttp10 : undefined);
    if (target.form !== 'origin') headers.authority = target.authority;
    if (target.form === 'absolute') headers.scheme = target.scheme;
    if (target.form !== 'authority') headers.path = target.path;
    let framing = framed.framing ?? NO_BODY;
    // An upgrade with a body is served without upgrading (RFC 9110 §7.8 lets a server do so).
    const bodiless = framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0);
    if (bodiless && framed.upgrade !== undefined) headers.protocol = framed.upgrade;
    if (headers.protocol !== undefined || line.method === 'CONNECT') {
      if (!bodiless) throw new Http1Error('http1.codec_error');
      headers.delete('content-length');
      framing = { kind: 'held' };
    }
    this.request = {
      headers,
      framing,
      protocol: line.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
      keepAlive: line.minor === 0 ? framed.connection.has('keep-alive') : !framed.connection.has('close'),
    };
    return framing;
  }

  onStart(complete: boolean): void {
    const { request } = this;
    if (request === undefined) return;
    const stream = new Http1ServerStream(this, request);
    stream.requestEnded = complete;
    this.stream = stream;
    this.events.onActiveStreams(1);
    if (request.headers.authority === undefined) {
      const details = 'missing_host_header';
      this.draining = true;
      this.events.onBadRequest(stream, { status: 400, details, headers: request.headers });
      return;
    }
    stream.receiver = this.events.onStream(stream);
    stream.receiver.onHeaders(request.headers, complete);
  }

  onBody(piece: Buffer, last: boolean): void {
    if (last && this.stream !== undefined) this.stream.requestEnded = true;
    this.stream?.receiver?.onData(piece, last);
  }

  onEnd(trailers: string[]): void {
    const { stream } = this;
    if (stream === undefined) return;
    stream.requestEnded = true;
    const kept = this.trailersEnabled ? withoutForbidden(trailers) : [];
    if (kept.length === 0) stream.receiver?.onData(EMPTY, true);
    else stream.receiver?.onTrailers(new HeaderMap(kept));
  }

  /** The response is complete. */
  responseEnded(stream: Http1ServerStream, keepAlive: boolean): void {
    if (this.stream !== stream) return;
    this.stream = undefined;
    this.request = undefined;
    this.events.onActiveStreams(0);
    // The rest of an unfinished request isn't read: it could be as long as its sender likes.
    if (!keepAlive || !stream.requestEnded || this.draining) {
      this.close();
      return;
    }
    this.read(() => {
      this.parser.next();
      this.transport.resume();
    });
  }

  /** A 101, or a 2xx to CONNECT, was sent. */
  upgraded(): void {
    this.read(() => this.parser.passThrough());
    if (!this.stream?.paused) this.transport.resume();
  }

  /** The upgrade's own half-close. */
  endTransport(): void {
    this.writer.flush();
    this.transport.end();
  }

  resetConnection(): void {
    if (this.closing) return;
    this.closing = true;
    this.stream = undefined;
    this.transport.reset();
  }

  pauseReading(): void {
    this.parser.pause();
    this.transport.pause();
  }

  resumeReading(): void {
    this.transport.resume();
    this.read(() => this.parser.resume());
  }

  private read(work: () => void): void {
    if (this.closing) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      this.refuse(error);
      return;
    }
    if (this.parser.heldBytes > MAX_HELD_BYTES && !this.closing) this.transport.pause();
    if (this.stream !== undefined || !this.parser.inMessage || this.headBegun) return;
    this.headBegun = true;
    this.events.onHeadBegin?.();
  }

  private refuse(error: Http1Error): void {
    const { stream } = this;
    this.draining = true;
    this.parser.pause();
    this.transport.pause();
    if (stream !== undefined) {
      // The body of a request in progress is broken.
      const bad: BadRequest = { status: error.status, details: error.details, headers: stream.headers };
      if (!stream.responseStarted) {
        stream.requestEnded = false;
        this.events.onBadRequest(stream, bad);
      } else {
        this.protocolError = error.details;
        this.loseStream('protocol-error', error.details);
        this.close();
      }
      return;
    }
    const headers = new HeaderMap();
    this.request = { headers, framing: NO_BODY, protocol: 'HTTP/1.1', keepAlive: false };
    this.stream = new Http1ServerStream(this, this.request);
    this.events.onActiveStreams(1);
    this.events.onBadRequest(this.stream, { status: error.status, details: error.details });
  }

  private checkUnderscores(fields: string[]): void {
    const { underscores } = this.options;
    if (underscores === undefined || underscores === 'allow') return;
    for (let i = 0; i < fields.length; ) {
      if (fields[i]?.includes('_') !== true) {
        i += 2;
        continue;
      }
      if (underscores === 'reject-request') throw new Http1Error('http1.unexpected_underscore');
      fields.splice(i, 2);
    }
  }

  private onTransportEnd(): void {
    const { stream } = this;
    if (stream?.upgraded === true) {
      stream.requestEnded = true;
      stream.receiver?.onData(EMPTY, true);
      stream.peerEnded();
      return;
    }
    // As Envoy: outside of upgrades a client that ends has gone.
    this.close();
  }

  private onTransportClose(error: Error | undefined): void {
    this.closing = true;
    this.loseStream('connection-termination');
    this.events.onClose({
      ...(this.protocolError === undefined ? {} : { protocolError: this.protocolError }),
      ...(error === undefined ? {} : { error }),
    });
  }

  private loseStream(reason: ResetReason, details?: string): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.stream = undefined;
    stream.gone = true;
    this.events.onActiveStreams(0);
    stream.receiver?.onReset(reason, details);
  }
}

function withoutForbidden(fields: readonly string[]): string[] {
  return fields.filter((_, i) => !forbiddenTrailers.has(fields[i - (i % 2)] ?? ''));
}

export function createHttp1ServerCodec(
  connection: ByteStream,
  events: HttpServerEvents,
  options: HttpCodecOptions = {},
): HttpServerCodec {
  return new Http1ServerCodec(connection, events, options);
}
