import type { HeaderMap } from '../../engine/types.ts';
import type { HttpProtocol, HttpServerStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import type { BodyFraming } from './framing.ts';
import { MessageSender, type StreamHost } from './message-sender.ts';
import { statusText } from './writer.ts';

export interface Request {
  readonly headers: HeaderMap;
  readonly framing: BodyFraming;
  readonly protocol: HttpProtocol;
  readonly keepAlive: boolean;
}

/** The connection, as a stream on it needs it. */
export interface ServerStreamHost extends StreamHost {
  /** The next response must say `connection: close`. */
  readonly lastResponse: boolean;
  /** The response is complete. */
  responseEnded(stream: Http1ServerStream, keepAlive: boolean): void;
  /** A 101, or a 2xx to CONNECT, was sent. */
  upgraded(): void;
  resetConnection(): void;
}

/** One request and its response. */
export class Http1ServerStream extends MessageSender<ServerStreamHost> implements HttpServerStream {
  readonly protocol: HttpProtocol;
  readonly headers: HeaderMap;
  receiver: HttpStreamEvents | undefined;
  requestEnded = false;
  responseStarted = false;
  upgraded = false;
  private keepAlive = false;
  private last = false;
  private ended = false;

  constructor(codec: ServerStreamHost, request: Request) {
    super(codec);
    this.protocol = request.protocol;
    this.headers = request.headers;
  }

  endConnection(): void {
    this.last = true;
  }

  sendInformational(headers: HeaderMap): void {
    if (this.gone || this.responseStarted || this.protocol === 'HTTP/1.0') return;
    const status = headers.status ?? 100;
    this.codec.writer.head(`HTTP/1.1 ${status} ${statusText(status)}`, headers, '', this.codec.properCase);
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.gone || this.responseStarted) return;
    this.responseStarted = true;
    const { codec } = this;
    const status = headers.status ?? 500;
    const tunnel =
      status === 101 || (this.headers.method === 'CONNECT' && status >= 200 && status < 300 && !endStream);
    let extra = '';
    // An answer ahead of the request's end ends the connection: the rest is as long as its sender likes.
    this.keepAlive = !this.last && !codec.lastResponse && this.requestEnded;
    if (tunnel) {
      headers.delete('content-length');
      if (status === 101) {
        const protocol = headers.protocol ?? this.headers.protocol ?? '';
        extra += `connection: upgrade\r\nupgrade: ${protocol}\r\n`;
      }
      this.framing = { kind: 'close' };
    } else {
      extra += this.frameResponse(headers, status, endStream);
      if (!this.keepAlive) extra += 'connection: close\r\n';
      else if (this.protocol === 'HTTP/1.0') extra += 'connection: keep-alive\r\n';
    }
    const version = this.protocol === 'HTTP/1.0' ? 'HTTP/1.0' : 'HTTP/1.1';
    codec.writer.head(`${version} ${status} ${statusText(status)}`, headers, extra, codec.properCase);
    if (tunnel) {
      this.upgraded = true;
      codec.upgraded();
    }
    if (endStream) this.finish();
  }

  reset(_reason: ResetReason): void {
    if (this.gone) return;
    this.gone = true;
    this.codec.resetConnection();
  }

  /** Chooses the framing of the response; returns the lines that tell it. */
  private frameResponse(headers: HeaderMap, status: number, endStream: boolean): string {
    const bodiless = status === 204 || status === 304 || this.headers.method === 'HEAD';
    const length = headers.get('content-length');
    if (status === 204) headers.delete('content-length');
    if (bodiless) {
      const chunked =
        this.headers.method === 'HEAD' && length === undefined && status !== 204 && status !== 304;
      return chunked && this.protocol === 'HTTP/1.1' ? 'transfer-encoding: chunked\r\n' : '';
    }
    if (endStream) {
      headers.delete('content-length');
      return 'content-length: 0\r\n';
    }
    if (length !== undefined && /^\d{1,15}$/.test(length)) {
      this.framing = { kind: 'length', left: Number(length) };
      return '';
    }
    headers.delete('content-length');
    if (this.protocol === 'HTTP/1.0') {
      this.framing = { kind: 'close' };
      this.keepAlive = false;
      return '';
    }
    this.framing = { kind: 'chunked' };
    return 'transfer-encoding: chunked\r\n';
  }

  protected get sending(): boolean {
    return !this.gone && !this.ended && this.responseStarted;
  }

  protected finish(): void {
    if (this.ended) return;
    this.ended = true;
    if (this.upgraded) {
      if (this.requestEnded) this.leave(false);
      else this.codec.endTransport();
      return;
    }
    this.leave(this.keepAlive && !this.short && this.framing.kind !== 'close');
  }

  /** The other direction of an upgrade ended. */
  peerEnded(): void {
    if (this.ended && !this.gone) this.leave(false);
  }

  private leave(keepAlive: boolean): void {
    if (this.paused) {
      this.paused = false;
      this.codec.resumeReading();
    }
    this.gone = true;
    this.codec.responseEnded(this, keepAlive);
  }
}
