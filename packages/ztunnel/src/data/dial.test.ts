import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, it } from '@jest/globals';
import { resetSocket } from '@weft/linux';
import type { IpAddress } from '../state/ip-address.ts';
import { dial } from './dial.ts';

it('gives a socket whose failure is harmless while nobody listens to it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepting = once(server, 'connection');
  const socket = await dial({
    namespaceFd: undefined,
    target: { ip: '127.0.0.1' as IpAddress, port: (server.address() as AddressInfo).port },
    settings: {
      mark: undefined,
      reusePort: false,
      transparent: 'never',
      ipv6: false,
      keepAlive: undefined,
      userTimeoutMs: undefined,
    },
    signal: new AbortController().signal,
  });
  const [accepted] = (await accepting) as [Socket];
  const closed = new Promise((resolve) => socket.once('close', resolve));
  resetSocket(accepted);
  await expect(closed).resolves.toBe(true);
  server.close();
});
