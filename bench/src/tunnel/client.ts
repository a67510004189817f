import { Socket } from 'node:net';
import { createTcpSocket, inNetworkNamespace } from '@weft/linux';
import { type BenchPath, HTTP_PORT } from './paths/bench-path.ts';
import { BODY_BYTES } from './testbed.ts';

/** A few connections of the scenario's own, where a load tool can't say when it reads. */

const REQUEST_TIMEOUT_MS = 20_000;
/** Opened at once: nobody's queue of new connections may be what is measured. */
const OPENING = 50;

export function open({ client, ip }: BenchPath): Promise<Socket> {
  const { fd } = inNetworkNamespace(client, () => createTcpSocket({ family: 4 }));
  return new Promise((resolve, reject) => {
    const socket = new Socket({ fd }).connect({ host: ip, port: HTTP_PORT }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Connections that have had one answer, so that the whole way to the application is open. */
export async function openIdle(path: BenchPath, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const opening = Array.from({ length: Math.min(OPENING, count - sockets.length) }, async () => {
      const socket = await open(path);
      await request(socket);
      return socket;
    });
    sockets.push(...(await Promise.all(opening)));
  }
  return sockets;
}

/** One HTTP/1.1 request of 1 KB; resolves when its whole answer is here. */
export function request(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = '';
    const onData = (chunk: Buffer): void => {
      received += chunk.toString('latin1');
      const end = received.indexOf('\r\n\r\n');
      if (end >= 0 && received.length >= end + 4 + BODY_BYTES) settle();
    };
    const onClose = (): void => settle(new Error(`closed after ${received.length} bytes of an answer`));
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const timer = setTimeout(() => settle(new Error('no answer in time')), REQUEST_TIMEOUT_MS);
    socket.on('data', onData).on('close', onClose);
    ask(socket, '/');
  });
}

export function ask(socket: Socket, path: string): void {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
}

export async function answers(path: BenchPath): Promise<boolean> {
  const [socket] = await openIdle(path, 1);
  socket?.destroy();
  return true;
}
