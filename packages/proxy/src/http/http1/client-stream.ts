import type { HeaderMap } from '../../engine/types.ts';
import type { HttpStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import { MessageSender, type StreamHost } from './message-sender.ts';
import { safeValue } from './writer.ts';

/** The connection, as a stream on it needs it. */
export interface ClientStreamHost extends StreamHost {
  /** The request was given up: this connection is of no use any more. */
  abandon(stream: Http1ClientStream): void;
  /** A stream that was given up before it sent anything: the connection is as good as before. */
  release(stream: Http1ClientStream): void;
  /** Both directions of an upgrade ended. */
  finishTunnel(stream: Http1ClientStream): void;
}

/** One request and its response. */
export class Http1ClientStream extends MessageSender<ClientStreamHost> implements HttpStream {
  readonly events: HttpStreamEvents;
  method = 'GET';
  upgrade: string | undefined;
  started = false;
  requestEnded = false;
  tunnel = false;
  peerEnded = false;

  constructor(codec: ClientStreamHost, events: HttpStreamEvents) {
    super(codec);
    this.events = events;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.gone || this.started) return;
    this.started = true;
    this.method = headers.method ?? 'GET';
    this.upgrade = headers.protocol;
    const host = safeValue(headers.authority ?? '');
    let extra = '';
    if (this.method === 'CONNECT' || this.upgrade !== undefined) {
      headers.delete('content-length');
      this.framing = { kind: 'close' };
      if (this.upgrade !== undefined) {
        extra = `connection: upgrade\r\nupgrade: ${safeValue(this.upgrade)}\r\n`;
      }
    } else if (endStream) {
      // RFC 9110 §8.6: a method that expects a body says that there is none.
      headers.delete('content-length');
      if (!bodilessMethods.has(this.method)) extra = 'content-length: 0\r\n';
    } else {
      const length = headers.get('content-length');
      if (length !== undefined && /^\d{1,15}$/.test(length)) {
        this.framing = { kind: 'length', left: Number(length) };
      } else {
        headers.delete('content-length');
        this.framing = { kind: 'chunked' };
        extra = 'transfer-encoding: chunked\r\n';
      }
    }
    const target = this.method === 'CONNECT' ? host : (headers.path ?? '/');
    this.codec.writer.head(
      `${this.method} ${target.replace(/[^!-~\x80-\xff]/g, '')} HTTP/1.1`,
      headers,
      extra,
      this.codec.properCase,
      host,
    );
    if (endStream) this.finish();
  }

  sendInformational(): void {
    // Requests have none.
  }

  reset(_reason: ResetReason): void {
    if (this.gone) return;
    this.gone = true;
    if (this.started) this.codec.abandon(this);
    else this.codec.release(this);
  }

  protected get sending(): boolean {
    return !this.gone && !this.requestEnded && this.started;
  }

  protected finish(): void {
    if (this.short) {
      this.gone = true;
      this.codec.abandon(this);
      return;
    }
    this.requestEnded = true;
    if (!this.tunnel) return;
    if (this.peerEnded) this.codec.finishTunnel(this);
    else this.codec.endTransport();
  }
}

const bodilessMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'TRACE']);
