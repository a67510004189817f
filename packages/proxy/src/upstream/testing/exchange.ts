import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import {
  type ByteStream,
  HeaderMap,
  type HttpStream,
  type UpstreamContext,
  type UpstreamFailure,
  type UpstreamInfo,
} from '../../engine/types.ts';
import type { UpstreamCluster } from '../cluster.ts';

export interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  readonly reset: string | undefined;
  readonly upstream: UpstreamInfo;
}

/** A request whose end can be watched and whose stream can be steered. */
export interface Exchange {
  stream: HttpStream | undefined;
  readonly done: Promise<Answer | UpstreamFailure>;
  cancel(): void;
}

export function startRequest(
  cluster: UpstreamCluster,
  context: UpstreamContext,
  o: { readonly headers?: HeaderMap; readonly hold?: boolean } = {},
): Exchange {
  const endpoint = cluster.pick(context);
  if (endpoint === undefined) {
    return {
      stream: undefined,
      done: Promise.resolve({ kind: 'no-healthy-upstream' }),
      cancel: () => undefined,
    };
  }
  let settle: (result: Answer | UpstreamFailure) => void = () => undefined;
  const done = new Promise<Answer | UpstreamFailure>((resolve) => {
    settle = resolve;
  });
  const exchange: Exchange = { stream: undefined, done, cancel: () => pending.cancel() };
  const pending = cluster.openStream(endpoint, context, {
    onFailure: (failure) => settle(failure),
    onReady: (stream, upstream) => {
      exchange.stream = stream;
      const headers =
        o.headers ?? HeaderMap.request({ method: 'GET', path: '/', authority: 'test.local', scheme: 'http' });
      queueMicrotask(() => stream.sendHeaders(headers, o.hold !== true));
      let status: number | undefined;
      const chunks: Buffer[] = [];
      const finish = (reset?: string): void =>
        settle({ status, body: Buffer.concat(chunks).toString(), reset, upstream });
      return {
        onHeaders: (response, endStream) => {
          status = response.status;
          if (endStream) finish();
        },
        onData: (chunk, endStream) => {
          chunks.push(chunk);
          if (endStream) finish();
        },
        onTrailers: () => finish(),
        onReset: (reason) => finish(reason),
        onDrain: () => undefined,
      };
    },
  });
  return exchange;
}

export function request(
  cluster: UpstreamCluster,
  context: UpstreamContext,
  headers?: HeaderMap,
): Promise<Answer | UpstreamFailure> {
  return startRequest(cluster, context, headers === undefined ? {} : { headers }).done;
}

export function connect(
  cluster: UpstreamCluster,
  context: UpstreamContext,
): Promise<{ readonly stream: ByteStream; readonly upstream: UpstreamInfo } | UpstreamFailure> {
  const endpoint = cluster.pick(context);
  if (endpoint === undefined) return Promise.resolve({ kind: 'no-healthy-upstream' });
  return new Promise((resolve) => {
    cluster.connect(endpoint, context, {
      onConnected: (stream, upstream) => resolve({ stream, upstream }),
      onFailure: resolve,
    });
  });
}

/** A server on the loopback, with its sockets: what a fault test breaks. */
export interface LoopbackServer {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
  /** Connections accepted so far. */
  readonly accepted: number;
  close(): Promise<void>;
}

export async function listen(server: Server): Promise<LoopbackServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server has no other kind of address.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    sockets,
    get accepted() {
      return accepted;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}
