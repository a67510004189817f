import type { RequestHead } from '@weft/hbone/http2';
import type { ByteStream } from '../../engine/types.ts';
import type { ConnectionEnd, HttpCodecOptions, HttpServerCodec, HttpServerEvents } from '../codec.ts';
import { requestFromHead } from './fields.ts';
import type { MessageStream } from './message-stream.ts';
import { Http2Session, type SessionOwner } from './session.ts';

class Http2ServerCodec implements HttpServerCodec, SessionOwner {
  readonly protocol = 'HTTP/2';
  private readonly events: HttpServerEvents;
  private readonly session: Http2Session;
  private readonly underscores: HttpCodecOptions['underscores'];
  private reported = 0;
  private headerBlockOf = 0;

  constructor(connection: ByteStream, events: HttpServerEvents, options: HttpCodecOptions) {
    this.events = events;
    this.underscores = options.underscores;
    this.session = new Http2Session('server', connection, this, options);
  }

  get activeStreams(): number {
    return this.session.connection.streams.size;
  }

  drain(): void {
    this.session.drain();
  }

  close(): void {
    this.session.destroy();
  }

  refuseHead(): void {
    this.session.destroy(undefined, 'request_header_timeout');
  }

  onHeaderBlock(streamId: number): void {
    if (streamId === this.headerBlockOf) return;
    if (this.headerBlockOf !== 0) this.events.onHeadEnd?.();
    this.headerBlockOf = streamId;
    if (streamId !== 0) this.events.onHeadBegin?.();
  }

  onRequest(stream: MessageStream, head: RequestHead, endStream: boolean): void {
    const headers = requestFromHead(head);
    this.onChange();
    if (this.underscores !== undefined && this.underscores !== 'allow') {
      const underscored = head.fields.some((field, i) => i % 2 === 0 && field.includes('_'));
      if (underscored && this.underscores === 'drop-header')
        headers.deleteWhere((name) => name.includes('_'));
      else if (underscored) {
        this.events.onBadRequest(stream, {
          status: 400,
          details: 'http2.unexpected_underscore',
          headers,
        });
        return;
      }
    }
    stream.attach(this.events.onStream(stream));
    stream.onRequestHeaders(headers, endStream);
  }

  onChange(): void {
    // The session calls this during its own construction.
    const active = this.session?.connection.streams.size ?? 0;
    if (active === this.reported) return;
    this.reported = active;
    this.events.onActiveStreams(active);
  }

  onClose(end: ConnectionEnd): void {
    this.events.onClose(end);
  }
}

/** HTTP/2 with prior knowledge, or after ALPN `h2`. */
export function createHttp2ServerCodec(
  connection: ByteStream,
  events: HttpServerEvents,
  options: HttpCodecOptions = {},
): HttpServerCodec {
  return new Http2ServerCodec(connection, events, options);
}
