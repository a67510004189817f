import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface AdminResponse {
  readonly status?: number;
  readonly contentType?: string;
  readonly body: string | Uint8Array;
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
  private readonly server: Server;

  constructor(routes: Readonly<Record<string, AdminHandler>>) {
    this.server = createServer(
      { headersTimeout: HEADER_TIMEOUT_MS, requestTimeout: 30_000 },
      (request, response) => {
        void respond(routes, request, response);
      },
    );
    this.server.maxHeadersCount = 100;
  }

  /** Resolves to the bound port. */
  async listen(port: number, host?: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
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
    if (handler === undefined) return send(response, { status: 404, body: 'Not Found\n' });
    const body = await readBody(request);
    if (body === undefined) return send(response, { status: 413, body: 'body too large\n' });
    const { method = 'GET', headers } = request;
    const remoteAddress = request.socket.remoteAddress ?? '';
    send(response, await handler({ method, url, headers, remoteAddress, body }));
  } catch (error) {
    if (!response.headersSent) send(response, { status: 500, body: `${String(error)}\n` });
    else response.destroy();
  }
}

function send(
  response: ServerResponse,
  { status = 200, contentType = 'text/plain; charset=utf-8', body }: AdminResponse,
): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer; // node:http yields Buffers unless setEncoding was called
    size += bytes.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
