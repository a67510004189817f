import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { grouped, rawPairs } from './client.ts';
import type { Fields } from './exchange.ts';
import type { UpstreamPorts } from './config.ts';
import { HeaderMap } from '../../engine/types.ts';
import { createHttp2Server, type Http2Message } from './http2.ts';
import { freePorts } from '../proxy-child.ts';

/** What a case asks the upstream to do, as JSON in the request header `x-reply`. */
export interface ReplyScript {
  readonly status?: number;
  /** How many attempts of the case get this reply; later ones get a plain 200. All by default. */
  readonly times?: number;
  readonly delayMs?: number;
  readonly headers?: Fields;
  readonly body?: string;
  readonly trailers?: Fields;
  /** Bytes for the connection in place of a response; then it is closed. HTTP/1 only. */
  readonly raw?: string;
}

/** What an upstream received; it is the body of the answer. */
export interface Received {
  readonly upstream: string;
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Fields;
  readonly body: string;
  readonly trailers: Fields;
  readonly attempt: number;
}

/** Echo servers on loopback: `a`, `b` (HTTP/1.1), `h2`; `dead` refuses connections. */
export class Upstreams {
  readonly ports: UpstreamPorts;
  private readonly servers: readonly Server[];
  private readonly sockets: Set<Socket>;

  private constructor(ports: UpstreamPorts, servers: readonly Server[], sockets: Set<Socket>) {
    this.ports = ports;
    this.servers = servers;
    this.sockets = sockets;
  }

  static async start(): Promise<Upstreams> {
    const attempts: Attempts = new Map();
    const sockets = new Set<Socket>();
    const http1 = (name: string): Server => {
      const server = createServer((request, response) => void overHttp1(name, attempts, request, response));
      server.keepAliveTimeout = 60_000;
      return server;
    };
    const servers: readonly Server[] = [
      http1('a'),
      http1('b'),
      createHttp2Server((request) => overHttp2('h2', attempts, request)),
    ];
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

type Attempts = Map<string, number>;

async function overHttp1(
  upstream: string,
  attempts: Attempts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
  } catch {
    return; // The proxy gave the request up.
  }
  const reply = await replyTo(attempts, {
    upstream,
    protocol: request.httpVersion,
    method: request.method ?? '',
    path: request.url ?? '',
    headers: rawPairs(request.rawHeaders),
    body: Buffer.concat(chunks).toString('latin1'),
    trailers: rawPairs(request.rawTrailers),
  });
  if (reply.raw !== undefined) {
    request.socket.end(reply.raw, 'latin1', () => request.socket.destroy());
    return;
  }
  response.statusCode = reply.status;
  for (const [name, values] of Object.entries(grouped(reply.headers)))
    response.setHeader(name, values.length === 1 ? (values[0] ?? '') : values);
  if (reply.trailers !== undefined) {
    response.write(reply.body);
    response.addTrailers(Object.fromEntries(reply.trailers));
    response.end();
    return;
  }
  response.end(reply.body);
}

async function overHttp2(
  upstream: string,
  attempts: Attempts,
  { headers, body, trailers }: Http2Message,
): Promise<Http2Message> {
  const { method = '', path = '', scheme = '', authority = '' } = headers;
  const reply = await replyTo(attempts, {
    upstream,
    protocol: '2.0',
    method,
    path,
    headers: [[':scheme', scheme], [':authority', authority], ...headers],
    body,
    trailers,
  });
  const head = HeaderMap.response(reply.status);
  for (const [name, value] of reply.headers) head.append(name, value);
  return { headers: head, body: reply.body, trailers: reply.trailers ?? [] };
}

/** What the request's script asks for; without one, what was received. */
async function replyTo(
  attempts: Attempts,
  request: Omit<Received, 'attempt'>,
): Promise<
  Required<Pick<ReplyScript, 'status' | 'headers' | 'body'>> & Pick<ReplyScript, 'trailers' | 'raw'>
> {
  const field = (wanted: string): string | undefined =>
    request.headers.find(([name]) => name === wanted)?.[1];
  const key = `${field('x-peer')} ${field('x-case')}`;
  const attempt = (attempts.get(key) ?? 0) + 1;
  attempts.set(key, attempt);
  const script = JSON.parse(field('x-reply') ?? '{}') as ReplyScript; // the cases' own
  const reply = attempt > (script.times ?? Number.POSITIVE_INFINITY) ? {} : script;
  if (reply.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.delayMs));
  const received: Received = { ...request, attempt };
  return {
    ...reply,
    status: reply.status ?? 200,
    headers: [['x-upstream', request.upstream], ...(reply.headers ?? [])],
    body: reply.body ?? JSON.stringify(received),
  };
}
