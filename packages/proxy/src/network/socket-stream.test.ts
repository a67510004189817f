import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createConnectionInfo } from './connection-info.ts';
import { SocketStream, UNREAD_MS } from './socket-stream.ts';

/** More than the kernel's buffers of both ends take. */
const ANSWER = Buffer.alloc(16 * 1024 * 1024, 'x');
const ADDRESS = { kind: 'ip', ip: '127.0.0.1', port: 1 } as const;

let server: Server;
let client: Socket;
let accepted: Socket;

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is always this
  client = connect({ host: '127.0.0.1', port }).pause();
  client.on('error', () => undefined);
  [accepted] = (await once(server, 'connection')) as [Socket]; // that event's argument
});
afterEach(async () => {
  client.destroy();
  accepted.destroy();
  server.close();
  await once(server, 'close');
});

function closing(times: { readonly lingerMs: number; readonly unreadMs: number }): {
  readonly stream: SocketStream;
  readonly closed: Promise<void>;
} {
  const info = createConnectionInfo({ remoteAddress: ADDRESS, localAddress: ADDRESS, startTimeMs: 0 });
  const stream = new SocketStream(accepted, info, undefined, times);
  const closed = new Promise<void>((resolve) => {
    stream.onClose = () => resolve();
  });
  stream.write(ANSWER);
  stream.close();
  return { stream, closed };
}

describe('a connection that is closed with bytes left for its peer', () => {
  it('ends when the peer reads none of them for a time', async () => {
    const { stream, closed } = closing({ lingerMs: 1, unreadMs: 20 });
    await closed;
    expect(stream.closed).toBe(true);
  });

  it('stays until a peer that reads late has read all of them', async () => {
    const { closed } = closing({ lingerMs: 1, unreadMs: UNREAD_MS });
    // Long after the linger time began to count only what is read.
    await new Promise((resolve) => setTimeout(resolve, 20));
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    const ended = once(client, 'end');
    client.resume();
    await Promise.all([closed, ended]);
    expect(received).toBe(ANSWER.length);
  });
});
