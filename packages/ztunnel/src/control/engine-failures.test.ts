import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, it } from '@jest/globals';
import { DataThreads, MAX_FAST_FAILURES } from './data-threads.ts';
import { loadConfig } from '../config.ts';

const { sockets, tunnels } = loadConfig({});
/** A thread that fails in its first second would end the process. */
const pastInfancy = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1_100));

/** Ends when the kernel says so, and nobody's listener is behind the port afterwards. */
async function outcome(socket: Socket, port: number): Promise<string> {
  const closed = once(socket, 'close');
  socket.on('error', () => undefined).resume();
  await closed;
  const again = connect(port, '127.0.0.1');
  const [error] = (await once(again, 'error')) as [NodeJS.ErrnoException];
  return `closed, then ${error.code}`;
}

it('closes what a failed data thread had open, and gives the fast engine up when it fails again and again', async () => {
  const heard: string[] = [];
  const events = new EventEmitter();
  const lost: string[] = [];
  const givenUp: string[] = [];
  const threads = new DataThreads({
    engine: 'fast',
    count: 1,
    settings: { sockets, tunnels },
    program: new URL('../testing/crashing.worker.js', import.meta.url),
    onMessage: (message) => {
      if (message.kind !== 'trouble') return;
      heard.push(message.failure.message);
      events.emit('heard');
    },
    onThreadLost: ({ code }) => lost.push(code),
    onEngineGivenUp: ({ code }) => givenUp.push(code),
    onPodLost: () => undefined,
  });
  const next = async (): Promise<string> => {
    while (heard.length === 0) await once(events, 'heard');
    return heard.shift() ?? '';
  };
  try {
    for (let thread = 0; thread < MAX_FAST_FAILURES; thread++) {
      const [engine, port] = (await next()).split(' ');
      expect([engine, givenUp]).toEqual(['fast', []]);
      const client = connect(Number(port), '127.0.0.1');
      await once(client, 'connect');
      expect(await next()).toBe('accepted');
      await pastInfancy();
      const ending = outcome(client, Number(port));
      threads.cut(thread * 2 ** 33, 'which makes it fail');
      expect(await ending).toBe('closed, then ECONNREFUSED');
    }
    expect(await next()).toBe('portable');
    expect(lost).toEqual(['WEFT1340', 'WEFT1340', 'WEFT1340']);
    expect(givenUp).toEqual(['WEFT1344']);
  } finally {
    await threads.stop();
  }
});
