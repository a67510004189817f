import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { Socket, type AddressInfo } from 'node:net';
import { grouped, rawPairs } from './client.ts';
import type { UpstreamPorts } from './config.ts';
import { freePorts } from './proxy-process.ts';

/** What a case asks the upstream to do, as JSON in the request header `x-reply`. */
export interface ReplyScript {
  readonly status?: number;
  /** How many attempts of the case get this reply; later ones get a plain 200. All by default. */
  readonly times?: number;
  readonly delayMs?: number;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly trailers?: readonly (readonly [string, string])[];
  /** Bytes for the connection in place of a response; then it is closed. HTTP/1 only. */
  readonly raw?: string;
}

/** What an upstream received; it is the body of the answer. */
export interface Received {
  readonly upstream: string;
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [string, string])[];
  readonly attempt: number;
}

/** Echo servers on loopback: `a`, `b` (HTTP/1.1), `h2`; `dead` refuses connections. */
export class Upstreams {
  readonly ports: UpstreamPorts;
  private readonly servers: readonly (Server | Http2Server)[];
  private readonly sockets: Set<Socket>;

  private constructor(
    ports: UpstreamPorts,
    servers: readonly (Server | Http2Server)[],
    sockets: Set<Socket>,
  ) {
    this.ports = ports;
    this.servers = servers;
    this.sockets = sockets;
  }

  static async start(): Promise<Upstreams> {
    const attempts = new Map<string, number>();
    const sockets = new Set<Socket>();
    const http1 = (name: string): Server => {
      const server = createServer((request, response) => void answer(name, attempts, request, response));
      server.keepAliveTimeout = 60_000;
      return server;
    };
    const servers = [
      http1('a'),
      http1('b'),
      // The compatibility API has the same methods for what is used here.
      createHttp2Server(
        (request, response) =>
          void answer(
            'h2',
            attempts,
            request as unknown as IncomingMessage,
            response as unknown as ServerResponse,
          ),
      ),
    ] as const;
    const ports: number[] = [];
    for (const server of servers) {
      server.on('connection', (socket: Socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ports.push((server.address() as AddressInfo).port); // a TCP server's address is always this
    }
    const [a = 0, b = 0, h2 = 0] = ports;
    const [dead = 0] = await freePorts(1);
    return new Upstreams({ a, b, h2, dead }, servers, sockets);
  }

  async stop(): Promise<void> {
    for (const server of this.servers) server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

async function answer(
  upstream: string,
  attempts: Map<string, number>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
  } catch {
    return; // The proxy gave the request up.
  }
  const key = `${String(request.headers['x-peer'])} ${String(request.headers['x-case'])}`;
  const attempt = (attempts.get(key) ?? 0) + 1;
  attempts.set(key, attempt);
  const received: Received = {
    upstream,
    protocol: request.httpVersion,
    method: request.method ?? '',
    path: request.url ?? '',
    headers: rawPairs(request.rawHeaders),
    body: Buffer.concat(chunks).toString('latin1'),
    trailers: rawPairs(request.rawTrailers),
    attempt,
  };
  const script = JSON.parse(String(request.headers['x-reply'] ?? '{}')) as ReplyScript; // the cases' own
  const reply = attempt > (script.times ?? Number.POSITIVE_INFINITY) ? {} : script;
  if (reply.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.delayMs));
  if (reply.raw !== undefined) {
    request.socket.end(reply.raw, 'latin1', () => request.socket.destroy());
    return;
  }
  response.statusCode = reply.status ?? 200;
  response.setHeader('x-upstream', upstream);
  for (const [name, values] of Object.entries(grouped(reply.headers ?? [])))
    response.setHeader(name, values.length === 1 ? (values[0] ?? '') : values);
  if (reply.trailers !== undefined) {
    response.write(reply.body ?? JSON.stringify(received));
    response.addTrailers(Object.fromEntries(reply.trailers));
    response.end();
    return;
  }
  response.end(reply.body ?? JSON.stringify(received));
}
