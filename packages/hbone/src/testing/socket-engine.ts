import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createTcpListener, createTcpSocket } from '@weft/linux';
import { Reactor } from '../transport/reactor/reactor.ts';
import { ReactorListener } from '../transport/reactor/reactor-listener.ts';
import { connectSocket, type ReactorSocket } from '../transport/reactor/reactor-socket.ts';

/** Where the sockets of a test come from: node, or a reactor. */
export interface SocketEngine {
  listen(onSocket: (socket: Socket | ReactorSocket) => void): Promise<TestListener>;
  dial(port: number, host?: string): Promise<Socket | ReactorSocket>;
  close(): void;
}

export interface TestListener {
  readonly port: number;
  close(): Promise<void>;
}

/** A test file that runs another one on the reactor says so by this variable. */
export const ENGINE_VARIABLE = 'WEFT_TEST_ENGINE';

export function socketEngine(): SocketEngine {
  return process.env[ENGINE_VARIABLE] === 'reactor' ? reactorEngine() : nodeEngine;
}

const nodeEngine: SocketEngine = {
  listen: async (onSocket) => {
    const listener = createServer({ allowHalfOpen: true }, onSocket);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return {
      port: address.port,
      close: async () => {
        listener.close();
        await once(listener, 'close');
      },
    };
  },
  dial: async (port, host = '127.0.0.1') => {
    const socket = connect({ port, host, allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  },
  close: () => undefined,
};

function reactorEngine(): SocketEngine {
  const reactor = new Reactor();
  return {
    listen: (onSocket) => {
      const { fd } = createTcpListener({ host: '127.0.0.1', port: 0 });
      const port = reactor.io.localAddress(fd)?.port ?? 0;
      const listener = new ReactorListener(reactor, fd, {
        socket: onSocket,
        error: (error) => {
          throw error;
        },
      });
      return Promise.resolve({ port, close: async () => listener.close() });
    },
    dial: (port, host = '127.0.0.1') => {
      const { fd } = createTcpSocket({ family: 4 });
      const { signal } = new AbortController();
      const timeout = { ms: 5_000, error: () => new Error('no connection in time') };
      return connectSocket(reactor, fd, { ip: host, port, signal, timeout });
    },
    close: () => reactor.close(),
  };
}
