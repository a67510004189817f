import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { resetSocket } from './reset-socket.ts';

const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});

/** A connection whose server side reads nothing. */
async function unreadConnection(): Promise<{ client: Socket; accepted: Socket }> {
  const accepting = once(server, 'connection');
  const client = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  const [accepted] = (await accepting) as [Socket];
  return { client, accepted };
}

it.each([
  ['with nothing written', () => undefined],
  ['whose end is under way', (socket: Socket) => socket.end()],
  ['whose end waits behind what the peer does not read', (socket: Socket) => socket.end(Buffer.alloc(32e6))],
])('resets a connection %s, tells its close and frees its descriptor', async (_, before) => {
  const descriptors = readdirSync('/proc/self/fd').length;
  const { client, accepted } = await unreadConnection();
  before(client);
  const closed = once(client, 'close');
  resetSocket(client);
  await closed;
  const reset = once(accepted, 'error') as Promise<[NodeJS.ErrnoException]>;
  accepted.resume();
  expect((await reset)[0].code).toBe('ECONNRESET');
  expect(readdirSync('/proc/self/fd').length).toBe(descriptors);
});

it('leaves a socket alone that is closed already', async () => {
  const { client, accepted } = await unreadConnection();
  client.destroy();
  await once(client, 'close');
  expect(() => resetSocket(client)).not.toThrow();
  accepted.destroy();
});
