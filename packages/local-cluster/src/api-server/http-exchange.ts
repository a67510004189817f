import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { gzip } from 'node:zlib';
import { ApiError, tooLarge } from './api-error.ts';
import type { JsonValue } from './object.ts';

export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** Smaller bodies aren't worth compressing; the real server's threshold is the same. */
const COMPRESS_FROM_BYTES = 128 * 1024;
/** A watcher that is this far behind is cut off; it lists again. */
const MAX_STREAM_BACKLOG_BYTES = 16 * 1024 * 1024;

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** One request and its answer, over HTTP/1.1 or HTTP/2. */
export class HttpExchange {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly signal: AbortSignal;
  /** Texts for `Warning` headers; to be added before the answer. */
  readonly warnings: string[] = [];
  private readonly request: HttpRequest;
  private readonly response: HttpResponse;

  constructor(request: HttpRequest, response: HttpResponse) {
    this.request = request;
    this.response = response;
    this.method = request.method ?? 'GET';
    this.headers = request.headers;
    this.url = new URL(request.url ?? '/', 'https://kubernetes');
    const abort = new AbortController();
    this.signal = abort.signal;
    response.on('close', () => {
      abort.abort();
    });
  }

  get answered(): boolean {
    return this.response.headersSent;
  }

  async body(): Promise<Buffer> {
    const announced = Number(this.headers['content-length'] ?? 0);
    if (announced > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.request) {
      const bytes = chunk as Buffer; // no encoding was set
      size += bytes.length;
      if (size > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES);
      chunks.push(bytes);
    }
    return Buffer.concat(chunks);
  }

  json(status: number, value: JsonValue | object, headers: Readonly<Record<string, string>> = {}): void {
    this.send(status, JSON.stringify(value), { 'content-type': 'application/json', ...headers });
  }

  text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): void {
    this.send(status, body, { 'content-type': 'text/plain; charset=utf-8', ...headers });
  }

  error(error: ApiError): void {
    const retryAfter = error.details?.retryAfterSeconds;
    const headers = retryAfter === undefined ? undefined : { 'retry-after': String(retryAfter) };
    this.json(error.code, error.toStatus(), headers);
  }

  send(status: number, body: string, headers: Readonly<Record<string, string>>): void {
    if (this.response.destroyed || this.response.headersSent) return;
    const bytes = Buffer.from(body);
    const accepted = String(this.headers['accept-encoding'] ?? '');
    if (bytes.length < COMPRESS_FROM_BYTES || !/\bgzip\b/.test(accepted)) {
      this.finish(status, bytes, headers);
      return;
    }
    gzip(bytes, { level: 1 }, (error, compressed) => {
      if (error === null)
        this.finish(status, compressed, { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
      else this.finish(status, bytes, headers);
    });
  }

  /** Headers now, body bit by bit: watches and logs. */
  stream(contentType: string): BodyStream {
    this.head(200, { 'content-type': contentType, 'cache-control': 'no-cache, private' });
    // Without this the headers wait for the first chunk, and a watch of nothing has none.
    if ('flushHeaders' in this.response) this.response.flushHeaders();
    return new BodyStream(this.response);
  }

  destroy(): void {
    const { response } = this;
    if ('stream' in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else response.destroy();
  }

  private finish(status: number, body: Uint8Array, headers: Readonly<Record<string, string>>): void {
    if (this.response.destroyed || this.response.headersSent) return;
    this.head(status, {
      'cache-control': 'no-cache, private',
      ...headers,
      'content-length': String(body.length),
    });
    if (this.method === 'HEAD') this.response.end();
    else this.response.end(body);
  }

  private head(status: number, headers: Readonly<Record<string, string>>): void {
    const { response } = this;
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (this.warnings.length > 0) {
      response.setHeader(
        'warning',
        this.warnings.map(
          (text) => `299 - "${text.replace(/[^\x20-\x7e]/g, ' ').replace(/["\\]/g, '\\$&')}"`,
        ),
      );
    }
  }
}

/** The body of a streamed answer. Cuts the connection of a client that reads too slowly. */
export class BodyStream {
  private readonly response: HttpResponse;
  private backlogBytes = 0;

  constructor(response: HttpResponse) {
    this.response = response;
  }

  /** False once the client is gone or was cut off. */
  write(text: string | Uint8Array): boolean {
    const { response } = this;
    if (response.destroyed || response.writableEnded) return false;
    const size = Buffer.byteLength(text);
    this.backlogBytes += size;
    if (this.backlogBytes > MAX_STREAM_BACKLOG_BYTES) {
      if ('stream' in response) response.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else response.destroy();
      return false;
    }
    const written = () => {
      this.backlogBytes -= size;
    };
    // The two `write` signatures differ in the callback's parameter only; a union of them can't be called.
    (response as ServerResponse).write(text, written);
    return true;
  }

  end(): void {
    if (!this.response.writableEnded) this.response.end();
  }
}
