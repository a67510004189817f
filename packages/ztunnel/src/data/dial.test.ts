import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, expect, it, jest } from '@jest/globals';
import { resetSocket } from '@weft/linux';
import type { IpAddress } from '../state/ip-address.ts';
import { CONNECT_TIMEOUT_MS, dial, type DialRequest } from './dial.ts';

let server: Server;
afterEach(() => void server.close());

async function listeningPort(): Promise<number> {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // it listens on TCP
}

function requestTo(port: number): DialRequest {
  return {
    namespaceFd: undefined,
    target: { ip: '127.0.0.1' as IpAddress, port }, // is one
    settings: {
      mark: undefined,
      reusePort: false,
      transparent: 'never',
      ipv6: false,
      keepAlive: undefined,
      userTimeoutMs: undefined,
    },
    signal: new AbortController().signal,
  };
}

it('gives a socket whose failure is harmless while nobody listens to it', async () => {
  const port = await listeningPort();
  const accepting = once(server, 'connection');
  const socket = await dial(requestTo(port));
  const [accepted] = (await accepting) as [Socket];
  const closed = new Promise((resolve) => socket.once('close', resolve));
  resetSocket(accepted);
  await expect(closed).resolves.toBe(true);
});

it('gives up after ten seconds without an answer', async () => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
  try {
    const dialled = dial(requestTo(await listeningPort()));
    // The answer is there, but the event loop doesn't turn before the time has passed.
    jest.advanceTimersByTime(CONNECT_TIMEOUT_MS);
    await expect(dialled).rejects.toMatchObject({ code: 'ETIMEDOUT', message: 'no answer within 10 s' });
  } finally {
    jest.useRealTimers();
  }
});
