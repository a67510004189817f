import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { encodeBody } from './content-encoding.ts';
import { systemErrorCode } from './errors.ts';
import { listenOn, readBody } from './server-socket.ts';

export interface AdminResponse {
  readonly status?: number;
  readonly contentType?: string;
  /** What is too large to be held as a whole comes as a stream; anything else may be compressed. */
  readonly body: string | Uint8Array | Readable;
}
export interface AdminRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  /** Empty when the peer has gone already. */
  readonly remoteAddress: string;
  /** At most 64 KiB; longer bodies are refused with 413 before the handler runs. */
  readonly body: string;
}
export type AdminHandler = (request: AdminRequest) => AdminResponse | Promise<AdminResponse>;

const MAX_BODY_BYTES = 64 * 1024;
const HEADER_TIMEOUT_MS = 2_000;

/** A small HTTP/1.1 server for operators: exact paths, 404 for the rest. */
export class AdminServer {
  private readonly routes: Readonly<Record<string, AdminHandler>>;
  private readonly servers: Server[] = [];

  constructor(routes: Readonly<Record<string, AdminHandler>>) {
    this.routes = routes;
  }

  /**
   * Resolves to the bound port. Without a host every address is served; `localhost` is both loopback addresses,
   * whatever the hosts file says, for a port-forward may come to either.
   */
  async listen(port: number, host?: string): Promise<number> {
    if (host !== 'localhost') return this.bind(port, host);
    const bound = await this.bind(port, '127.0.0.1');
    try {
      await this.bind(bound, '::1');
    } catch (error) {
      if (!['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(systemErrorCode(error) ?? '')) throw error;
    }
    return bound;
  }

  async close(): Promise<void> {
    await Promise.all(
      this.servers.splice(0).map((server) => {
        server.closeAllConnections();
        return new Promise<void>((resolve) => {
          server.close(() => resolve());
        });
      }),
    );
  }

  private async bind(port: number, host: string | undefined): Promise<number> {
    const server = createServer(
      { headersTimeout: HEADER_TIMEOUT_MS, requestTimeout: 30_000 },
      (request, response) => {
        void respond(this.routes, request, response);
      },
    );
    server.maxHeadersCount = 100;
    const bound = await listenOn(server, port, host);
    this.servers.push(server);
    return bound;
  }
}

async function respond(
  routes: Readonly<Record<string, AdminHandler>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const url = new URL(request.url ?? '/', 'http://admin');
    const handler = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
    if (handler === undefined) return await send(request, response, { status: 404, body: 'Not Found\n' });
    const body = await readBody(request, MAX_BODY_BYTES);
    if (body === undefined) return await send(request, response, { status: 413, body: 'body too large\n' });
    const { method = 'GET', headers } = request;
    const remoteAddress = request.socket.remoteAddress ?? '';
    await send(request, response, await handler({ method, url, headers, remoteAddress, body }));
  } catch (error) {
    if (!response.headersSent) await send(request, response, { status: 500, body: `${String(error)}\n` });
    else response.destroy();
  }
}

async function send(
  { headers }: IncomingMessage,
  response: ServerResponse,
  { status = 200, contentType = 'text/plain; charset=utf-8', body }: AdminResponse,
): Promise<void> {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    response.writeHead(status, { 'content-type': contentType });
    return pipeline(body, response);
  }
  const { bytes, encoding } = await encodeBody(body, headers['accept-encoding']);
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': bytes.length,
    vary: 'accept-encoding',
    ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
  });
  response.end(bytes);
}
