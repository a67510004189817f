import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { timingSafeEqual } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { WebSocketServer, type WebSocket } from 'ws';
import { describeError, listenOn, type Logger } from '@weft/telemetry';
import { readLog } from '../logs/log-reader.ts';
import type { PodContainer } from '../pod-container.ts';
import type { PodWorker } from '../pod-worker.ts';
import { attachSession } from './attach-session.ts';
import { ChannelSocket } from './channel-socket.ts';
import { execSession } from './exec-session.ts';
import { connectInPod, forwardPort } from './port-forward.ts';

export interface KubeletServerOptions {
  readonly token: string;
  readonly findPod: (namespace: string, name: string) => PodWorker | undefined;
  readonly logger: Logger;
}

export const KUBELET_TOKEN_HEADER = 'x-weft-kubelet-token';
const CHANNEL_PROTOCOL = 'v5.channel.k8s.io';
/** Of one WebSocket message from the API server. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** A failure that the API server passes on to the client with this status. */
class RequestError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * What the API server asks of a node: logs over HTTP; exec, attach and port-forward over WebSocket.
 *
 *     GET /containerLogs/NS/POD/CONTAINER?follow&tailLines&…
 *     GET /exec/NS/POD/CONTAINER?command=…&stdin&stdout&stderr&tty     channels of v5.channel.k8s.io
 *     GET /attach/NS/POD/CONTAINER?…                                    likewise
 *     GET /portForward/NS/POD?port=N                                    messages are the connection's bytes
 */
export class KubeletServer {
  private readonly options: KubeletServerOptions;
  private readonly server: Server;
  private readonly webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (offered) => (offered.has(CHANNEL_PROTOCOL) ? CHANNEL_PROTOCOL : false),
  });

  constructor(options: KubeletServerOptions) {
    this.options = options;
    this.server = createServer((request, response) => void this.respond(request, response));
    this.server.on('upgrade', (request, socket, head) => void this.upgrade(request, socket, head));
  }

  /** Resolves to the port. */
  listen(host: string, port: number): Promise<number> {
    return listenOn(this.server, port, host);
  }

  async close(): Promise<void> {
    for (const client of this.webSockets.clients) client.terminate();
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { segments, query } = this.authorize(request);
      if (segments[0] === 'healthz') response.end('ok');
      else if (segments[0] === 'containerLogs') await this.logs(segments, query, response);
      else throw new RequestError(404, 'not found');
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const status = error instanceof RequestError ? error.status : 500;
      response.writeHead(status, { 'content-type': 'text/plain' }).end(describeError(error));
    }
  }

  private async logs(
    segments: readonly string[],
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const { worker, container } = this.container(segments);
    const previous = query.get('previous') === 'true';
    const run = container.status().restartCount - (previous ? 1 : 0);
    const path = `${worker.logDir}/${container.name}/${run}.log`;
    if (run < 0 || !(await exists(path))) {
      if (previous) {
        throw new RequestError(
          400,
          `previous terminated container "${container.name}" in pod "${worker.current.metadata.name}" not found`,
        );
      }
      const waiting = container.status().state.waiting?.reason ?? 'ContainerCreating';
      throw new RequestError(
        400,
        `container "${container.name}" in pod "${worker.current.metadata.name}" is waiting to start: ${waiting}`,
      );
    }
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.flushHeaders();
    const isFinished = (): boolean =>
      previous || container.running === undefined || container.status().restartCount !== run;
    const since = query.get('sinceTime') ?? undefined;
    const seconds = number(query, 'sinceSeconds');
    const logQuery = {
      follow: query.get('follow') === 'true',
      tailLines: number(query, 'tailLines'),
      sinceMs:
        since !== undefined
          ? Date.parse(since)
          : seconds !== undefined
            ? Date.now() - seconds * 1000
            : undefined,
      timestamps: query.get('timestamps') === 'true',
      limitBytes: number(query, 'limitBytes'),
    };
    for await (const chunk of readLog(path, logQuery, isFinished, abort.signal)) {
      if (!response.write(chunk)) await drained(response, abort.signal);
    }
    response.end();
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      const { segments, query } = this.authorize(request);
      const start = await this.session(segments, query);
      this.webSockets.handleUpgrade(request, socket, head, (client) => {
        client.on('error', () => client.terminate());
        start(client);
      });
    } catch (error) {
      const status = error instanceof RequestError ? error.status : 500;
      const text = describeError(error);
      const length = Buffer.byteLength(text);
      socket.end(
        `HTTP/1.1 ${status} Error\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${text}`,
      );
    }
  }

  /** Prepares what an upgrade asks for, so that a refusal is still an HTTP answer. */
  private async session(
    segments: readonly string[],
    query: URLSearchParams,
  ): Promise<(client: WebSocket) => void> {
    switch (segments[0]) {
      case 'exec': {
        const { container } = this.container(segments);
        const current = container.currentRun;
        if (current === undefined) throw new RequestError(400, `container ${container.name} is not running`);
        const command = query.getAll('command');
        if (command.length === 0) throw new RequestError(400, 'no command');
        const tty = flag(query, 'tty');
        return (client) =>
          execSession(new ChannelSocket(client), current, { command, tty, stdin: flag(query, 'stdin') });
      }
      case 'attach': {
        const { container } = this.container(segments);
        if (container.currentRun === undefined)
          throw new RequestError(400, `container ${container.name} is not running`);
        return (client) =>
          attachSession(new ChannelSocket(client), container, { stdin: flag(query, 'stdin') });
      }
      case 'portForward': {
        const worker = this.pod(segments);
        const port = number(query, 'port') ?? 0;
        const connection = await connectInPod(worker.netns, port);
        return (client) => forwardPort(client, connection);
      }
      default:
        throw new RequestError(404, 'not found');
    }
  }

  private authorize(request: IncomingMessage): { segments: readonly string[]; query: URLSearchParams } {
    const offered = Buffer.from(String(request.headers[KUBELET_TOKEN_HEADER] ?? ''));
    const expected = Buffer.from(this.options.token);
    if (offered.length !== expected.length || !timingSafeEqual(offered, expected)) {
      throw new RequestError(401, 'unauthorized');
    }
    const url = new URL(request.url ?? '/', 'http://kubelet');
    return { segments: url.pathname.split('/').slice(1).map(decodeURIComponent), query: url.searchParams };
  }

  private pod([, namespace = '', name = '']: readonly string[]): PodWorker {
    const worker = this.options.findPod(namespace, name);
    if (worker === undefined) throw new RequestError(404, `pod ${namespace}/${name} is not on this node`);
    return worker;
  }

  private container(segments: readonly string[]): { worker: PodWorker; container: PodContainer } {
    const worker = this.pod(segments);
    const container = worker.containers.find(({ name }) => name === segments[3]);
    if (container === undefined) throw new RequestError(404, `container ${segments[3]} is not in the pod`);
    return { worker, container };
  }
}

/** Both spellings are in use: kubectl's and the kubelet's own. */
function flag(query: URLSearchParams, name: string): boolean {
  const alias = { stdin: 'input', stdout: 'output', stderr: 'error' }[name] ?? name;
  return [query.get(name), query.get(alias)].some((value) => value === 'true' || value === '1');
}

function number(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw new RequestError(400, `${name}=${text}: expected a whole number`);
  return Number(text);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
