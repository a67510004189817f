import { afterEach, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { socketEngine } from '../testing/socket-engine.ts';
import { dialTcp, listen, tunnelPair, type TunnelPair } from '../testing/tunnel-pair.ts';
import { ReactorSocket } from './reactor/reactor-socket.ts';
import { relay, socketEnd, tunnelEnd } from './relay.ts';
import type { TunnelStream } from './tunnel-stream.ts';

/** Application → relay → pool ⇒ server → relay → application, all with plain sockets at the ends. */
interface Path {
  readonly pair: TunnelPair;
  readonly entryPort: number;
  /** How each relay ended. */
  readonly ends: string[];
  close(): Promise<void>;
}

const open: Path[] = [];
afterEach(async () => {
  for (const path of open.splice(0)) await path.close();
});

async function path(application: (socket: Socket) => void): Promise<Path> {
  const upstream = await listen(application);
  const ends: string[] = [];
  const engine = socketEngine();
  const join = (socket: Socket | ReactorSocket, stream: TunnelStream): void => {
    relay(socketEnd(socket), tunnelEnd(stream), { received: 0, sent: 0 }, new AbortController().signal).then(
      () => ends.push('ended'),
      (error: unknown) => ends.push(String(error)),
    );
  };
  const pair = await tunnelPair((request) => {
    engine.dial(upstream.port).then(
      (socket) => join(socket, request.accept()),
      () => request.reject(503),
    );
  });
  const entry = await engine.listen((socket) => {
    if (!(socket instanceof ReactorSocket)) socket.on('error', () => undefined);
    pair.pool.connect(pair.request()).then(
      ({ stream }) => join(socket, stream),
      () => socket.destroy(),
    );
  });
  const made: Path = {
    pair,
    entryPort: entry.port,
    ends,
    close: async () => {
      await pair.close();
      await entry.close();
      upstream.listener.close();
      await closed(upstream.listener);
      engine.close();
    },
  };
  open.push(made);
  return made;
}

const closed = async (listener: Server): Promise<void> => {
  if (listener.listening) await once(listener, 'close');
};

/** Answers, after the end of what it gets, with its digest and then `bytes` of its own; reads slowly if told. */
function application(payload: Buffer): (socket: Socket) => void {
  let count = 0;
  return (socket) => {
    const slow = count++ % 7 === 0;
    const hash = createHash('sha256');
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      if (!slow) return;
      socket.pause();
      setImmediate(() => setImmediate(() => socket.resume()));
    });
    socket.on('end', () => {
      socket.write(hash.digest());
      socket.end(payload);
    });
    socket.on('error', () => undefined);
  };
}

/** Sends `size` bytes, half-closes, and checks both digests. */
async function transfer(port: number, index: number, downloadDigest: string): Promise<void> {
  const socket = await dialTcp(port);
  const size = [0, 1, 100, 20_000, 300_000, 1_500_000][index % 6] ?? 0;
  const body = randomBytes(size);
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk);
    if (index % 5 !== 0) return;
    socket.pause();
    setImmediate(() => socket.resume());
  });
  for (let at = 0; at < size; at += 70_000) {
    if (!socket.write(body.subarray(at, at + 70_000))) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'end');
  const all = Buffer.concat(received);
  expect(all.subarray(0, 32).toString('hex')).toBe(createHash('sha256').update(body).digest('hex'));
  expect(createHash('sha256').update(all.subarray(32)).digest('hex')).toBe(downloadDigest);
}

it('finishes 150 parallel checksummed transfers with half-close and slow readers, again and again', async () => {
  const payload = randomBytes(400_000);
  const digest = createHash('sha256').update(payload).digest('hex');
  const { entryPort, pair, ends } = await path(application(payload));
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 150 }, (_, index) => transfer(entryPort, index, digest)));
  }
  expect(ends.filter((end) => end !== 'ended')).toEqual([]);
  expect(pair.serverErrors).toEqual([]);
  // 150 at once need two connections of 100 streams at most; later rounds use them again.
  expect(pair.dials()).toBeLessThanOrEqual(2);
}, 60_000);

it("lets other streams pass while one tunnel's reader stands still with its window full", async () => {
  const stalled: Socket[] = [];
  const payload = Buffer.alloc(1_000, 'x');
  let first = true;
  const answer = application(payload);
  const { entryPort } = await path((socket) => {
    if (!first) {
      answer(socket);
      return;
    }
    first = false;
    socket.pause();
    socket.on('error', () => undefined);
    stalled.push(socket);
  });
  const writer = await dialTcp(entryPort);
  writer.on('error', () => undefined);
  // More than the stream's window and every socket buffer on the way.
  let accepted = 0;
  while (accepted < 24_000_000) {
    accepted += 1_000_000;
    if (!writer.write(Buffer.alloc(1_000_000))) {
      const drained = await Promise.race([once(writer, 'drain').then(() => true), turns(200)]);
      if (!drained) break;
    }
  }
  expect(accepted).toBeLessThan(24_000_000);
  const digest = createHash('sha256').update(payload).digest('hex');
  for (let index = 1; index < 30; index++) await transfer(entryPort, index, digest);
  writer.destroy();
  for (const socket of stalled) socket.destroy();
}, 60_000);

/** False, after so many turns of the event loop without progress. */
async function turns(count: number): Promise<boolean> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  return false;
}

it('passes an abort of either application on, and survives it', async () => {
  const sockets: Socket[] = [];
  const { entryPort, ends, pair } = await path((socket) => {
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.resume();
    sockets.push(socket);
  });
  const down = await dialTcp(entryPort);
  down.on('error', () => undefined);
  down.write('x');
  while (sockets.length < 1) await turns(1);
  const [upstream] = sockets;
  if (upstream === undefined) throw new Error('no upstream');
  down.resetAndDestroy();
  // Not by once(), which takes the reset that must come for a failure.
  await new Promise((resolve) => upstream.once('close', resolve));

  const second = await dialTcp(entryPort);
  second.on('error', () => undefined);
  second.write('x');
  second.resume();
  second.on('end', () => second.end());
  while (sockets.length < 2) await turns(1);
  sockets[1]?.resetAndDestroy();
  await new Promise((resolve) => second.once('close', resolve));
  while (ends.length < 4) await turns(1);
  // The side of the broken socket names it, the other the reset that came through the tunnel.
  expect(ends.filter((end) => end.includes('ECONNRESET'))).toHaveLength(2);
  expect(ends.filter((end) => end.includes('tunnel reset by peer'))).toHaveLength(2);
  expect(pair.dials()).toBe(1);
});
