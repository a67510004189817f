import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, expect, it } from '@jest/globals';
import { TestAuthority } from '../testing/certificates.ts';
import { CLIENT_ID } from '../testing/tunnel-pair.ts';
import { MAX_TURN_BYTES, nodeConnection } from './secure-connection.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const ignore = (): void => undefined;
/** What one read from the kernel may bring beyond the limit. */
const ONE_READ_BYTES = 64 * 1024;

it('reads no more in a turn of the event loop than leaves others theirs, and loses nothing by that', async () => {
  const authority = await TestAuthority.create();
  const { keyPem, chainPem, rootsPem } = await authority.issue(CLIENT_ID);
  const server = createServer({ key: keyPem, cert: chainPem }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepting = once(server, 'secureConnection');
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const client = connect({ port, host: '127.0.0.1', ca: rootsPem, checkServerIdentity: () => undefined });
  const [accepted] = (await accepting) as [TLSSocket];
  closers.push(
    () => client.destroy(),
    () => accepted.destroy(),
    () => server.close(),
  );
  const message = Buffer.alloc(4 * 1024 * 1024, 'abc');
  client.end(message);
  for (let turn = 0; turn < 100; turn++) await nextTurn(); // until the kernel holds what it can

  const received: Buffer[] = [];
  let inThisTurn = 0;
  let most = 0;
  const ended = new Promise<void>((resolve) => {
    nodeConnection(accepted).start({
      onBytes: (bytes) => {
        received.push(bytes);
        inThisTurn += bytes.length;
        most = Math.max(most, inThisTurn);
      },
      onEnd: resolve,
      onError: ignore,
      onClose: ignore,
    });
  });
  let isOver = false;
  void ended.then(() => (isOver = true));
  while (!isOver) {
    inThisTurn = 0;
    await nextTurn();
  }
  expect(Buffer.concat(received).equals(message)).toBe(true);
  expect(most).toBeGreaterThanOrEqual(MAX_TURN_BYTES);
  expect(most).toBeLessThanOrEqual(MAX_TURN_BYTES + ONE_READ_BYTES);
});
