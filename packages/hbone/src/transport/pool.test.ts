import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Socket } from 'node:net';
import type { WorkloadCertificate } from '@weft/spiffe';
import { dialTcp, tunnelPair, type TunnelPair } from '../testing/tunnel-pair.ts';
import type { ConnectRequest } from './connect-request.ts';
import type { HbonePoolOptions, Tunnel } from './pool.ts';
import type { TunnelStream } from './tunnel-stream.ts';

const pairs: TunnelPair[] = [];
afterEach(async () => {
  jest.useRealTimers();
  for (const pair of pairs.splice(0)) await pair.close();
});

interface Recorded extends TunnelPair {
  readonly requests: ConnectRequest[];
  readonly accepted: TunnelStream[];
}

const idle = {
  onData: () => undefined,
  onEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};

/** Accepts everything and holds it open. */
async function pairOf(
  pool: Partial<HbonePoolOptions> = {},
  onConnect?: (request: ConnectRequest) => void,
): Promise<Recorded> {
  const requests: ConnectRequest[] = [];
  const accepted: TunnelStream[] = [];
  const pair = await tunnelPair(
    (request) => {
      requests.push(request);
      if (onConnect !== undefined) onConnect(request);
      else {
        const stream = request.accept();
        stream.attach(idle);
        accepted.push(stream);
      }
    },
    { pool },
  );
  pairs.push(pair);
  return { ...pair, requests, accepted };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 2_000) throw new Error('it never came');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('the pool', () => {
  it('dials once for concurrent first users of a key', async () => {
    const pair = await pairOf();
    await Promise.all(Array.from({ length: 50 }, () => pair.pool.connect(pair.request())));
    expect(pair.dials()).toBe(1);
  });

  it('dials for each hundred of them', async () => {
    const pair = await pairOf();
    await Promise.all(Array.from({ length: 250 }, () => pair.pool.connect(pair.request())));
    expect(pair.dials()).toBe(3);
    expect(Math.max(...[...pair.pool.sessions].map((s) => s.activeStreams))).toBe(100);
  });

  it.each([
    ['source address', { sourceIp: '10.1.1.1' }],
    [
      'order of the identities',
      { acceptable: ['spiffe://cluster.local/ns/x/sa/y', 'spiffe://cluster.local/ns/server/sa/server'] },
    ],
  ])('shares no connection with another %s', async (_name, other) => {
    const pair = await pairOf();
    await pair.pool.connect(pair.request());
    await pair.pool.connect(pair.request(other));
    expect(pair.dials()).toBe(2);
  });

  it('uses a connection again that was full', async () => {
    const pair = await pairOf({ limits: { maxStreamsPerConnection: 2 } });
    const first = await pair.pool.connect(pair.request());
    await pair.pool.connect(pair.request());
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(2);
    first.stream.attach(idle);
    first.stream.reset();
    await pair.pool.connect(pair.request());
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(2);
  });

  it('makes requests wait for a place when no more connections are allowed', async () => {
    const pair = await pairOf({
      limits: { maxStreamsPerConnection: 1, maxConnectionsPerKey: 1, maxWaitersPerKey: 1 },
    });
    const first = await pair.pool.connect(pair.request());
    first.stream.attach(idle);
    const second = pair.pool.connect(pair.request());
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1208' });
    first.stream.reset();
    await second;
    expect(pair.dials()).toBe(1);
  });

  it('fails all who wait when the dial fails, and dials anew for the next', async () => {
    let refuse = true;
    const pair = await pairOf({
      dial: async ({ address }) => {
        if (refuse) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
        return dialTcp(address.port);
      },
    });
    const both = await Promise.allSettled([
      pair.pool.connect(pair.request()),
      pair.pool.connect(pair.request()),
    ]);
    expect(both.map((r) => r.status === 'rejected' && (r.reason as { code: string }).code)).toEqual([
      'WEFT1209',
      'WEFT1209',
    ]);
    refuse = false;
    await pair.pool.connect(pair.request());
  });

  it('gives up a dial that takes too long', async () => {
    const pair = await pairOf({
      limits: { dialTimeoutMs: 30 },
      dial: (_key, signal) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
        ),
    });
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1205' });
  });

  it('gives up a server that does not do TLS', async () => {
    const sockets: Socket[] = [];
    const pair = await pairOf({ limits: { dialTimeoutMs: 50 } });
    const { listen } = await import('../testing/tunnel-pair.js');
    const silent = await listen((socket) => void sockets.push(socket.on('error', () => undefined)));
    await expect(
      pair.pool.connect(pair.request({ address: { ip: '127.0.0.1', port: silent.port } })),
    ).rejects.toMatchObject({ code: 'WEFT1205' });
    for (const socket of sockets) socket.destroy();
    silent.listener.close();
  });

  it('ends the wait of a caller that aborts, and resets its stream', async () => {
    const pair = await pairOf({}, () => undefined);
    const abort = new AbortController();
    const connecting = pair.pool.connect(pair.request({ signal: abort.signal }));
    await until(() => pair.requests.length === 1);
    const [request] = pair.requests;
    if (request === undefined) throw new Error('no request');
    const gone = new Promise<void>((resolve) =>
      request.signal.addEventListener('abort', resolve, { once: true }),
    );
    abort.abort(new Error('enough'));
    await expect(connecting).rejects.toThrow('enough');
    await gone;
    expect(request.accept().closed).toBe(true);
    await expect(pair.pool.connect(pair.request({ signal: abort.signal }))).rejects.toThrow('enough');
  });

  it('has the next connection made before the last one is full, if it is large', async () => {
    const pair = await pairOf({ limits: { maxStreamsPerConnection: 20 } });
    const connect = (): Promise<Tunnel> => pair.pool.connect(pair.request());
    for (let i = 0; i < 18; i++) await connect();
    expect(pair.dials()).toBe(1);
    await connect();
    expect(pair.dials()).toBe(2);
    await until(() => pair.pool.sessions.size === 2);
    await connect();
    await connect();
    expect(pair.dials()).toBe(2);
    expect([...pair.pool.sessions].map((session) => session.activeStreams)).toEqual([20, 1]);
  });

  it('replaces a busy connection as soon as its server drains or is lost, and one that nobody used never', async () => {
    const pair = await pairOf();
    await pair.pool.connect(pair.request());
    [...pair.server.sessions][0]?.drain();
    await until(() => pair.dials() === 2);
    await until(() => pair.server.sessions.size === 2);
    // Nobody used the second one, so it isn't missed.
    [...pair.server.sessions][1]?.destroy();
    await until(() => pair.pool.sessions.size === 1);
    expect(pair.dials()).toBe(2);
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(3);
    [...pair.server.sessions].at(-1)?.destroy();
    await until(() => pair.pool.sessions.size === 2 && pair.dials() === 4);
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(4);
  });

  it('leaves a draining server and dials another', async () => {
    const pair = await pairOf();
    const first = await pair.pool.connect(pair.request());
    first.stream.attach(idle);
    const [session] = pair.server.sessions;
    session?.drain();
    await until(() => !first.session.canOpen);
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(2);
    expect(first.stream.closed).toBe(false);
    first.stream.end();
    pair.accepted[0]?.end();
    await until(() => first.session.isClosed);
  });

  it('sends a CONNECT again when its connection died before the answer', async () => {
    let count = 0;
    const pair = await pairOf({}, (request) => {
      if (count++ === 0) request.session.destroy();
      else request.accept();
    });
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(2);
  });

  it('lets go of a connection that nobody asked for, once its last stream ended', async () => {
    const pair = await pairOf({ limits: { unusedReleaseMs: 40 } });
    const { stream, session } = await pair.pool.connect(pair.request());
    stream.attach(idle);
    await until(() => !session.canOpen);
    expect(session.isClosed).toBe(false);
    stream.reset();
    await until(() => session.isClosed);
    expect(pair.pool.sessions.size).toBe(0);
  });

  it('closes every connection at once, and refuses from then on', async () => {
    const pair = await pairOf();
    const { stream } = await pair.pool.connect(pair.request());
    const closed = new Promise((resolve) => stream.attach({ ...idle, onClose: resolve }));
    pair.pool.close();
    expect(await closed).toMatchObject({ kind: 'lost', error: { code: 'WEFT1213' } });
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1213' });
    await until(() => pair.server.sessions.size === 0);
  });
});

describe('a session', () => {
  const fast = { intervalMs: 20, timeoutMs: 40, settingsTimeoutMs: 1_000 };

  it('lives on answered PINGs and dies without', async () => {
    const pair = await pairOf({ keepalive: fast });
    const { stream, session } = await pair.pool.connect(pair.request());
    const closed = new Promise((resolve) => stream.attach({ ...idle, onClose: resolve }));
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(session.isClosed).toBe(false);
    // The other side falls silent.
    for (const s of pair.server.sessions) {
      const { connection } = s as unknown as { connection: { receive(): void } }; // reaches into the session for the fault
      connection.receive = () => undefined;
    }
    expect(await closed).toMatchObject({ kind: 'lost', error: { code: 'WEFT1210' } });
  });

  it('cuts one stream, or all of them, and stays', async () => {
    const pair = await pairOf();
    const tunnels = await Promise.all([1, 2, 3].map(() => pair.pool.connect(pair.request())));
    const ends = tunnels.map(
      ({ stream }) => new Promise((resolve) => stream.attach({ ...idle, onClose: resolve })),
    );
    pair.accepted[0]?.reset(8);
    expect(await ends[0]).toEqual({ kind: 'reset', code: 8, by: 'peer' });
    expect(tunnels[1]?.stream.closed).toBe(false);
    for (const session of pair.server.sessions) session.resetStreams(8);
    await Promise.all(ends);
    await pair.pool.connect(pair.request());
    expect(pair.dials()).toBe(1);
  });

  it('cuts what a drain leaves at its deadline', async () => {
    const pair = await pairOf();
    const { stream } = await pair.pool.connect(pair.request());
    const closed = new Promise((resolve) => stream.attach({ ...idle, onClose: resolve }));
    expect(await pair.server.drain(30)).toBe(false);
    expect(await closed).toMatchObject({ kind: 'lost' });
  });

  it('tells a paused user that gives up of a close that waits behind data', async () => {
    const pair = await pairOf();
    const { stream } = await pair.pool.connect(pair.request());
    const [accepted] = pair.accepted;
    if (accepted === undefined) throw new Error('nothing was accepted');
    let closed = false;
    accepted.attach({ ...idle, onClose: () => (closed = true) });
    await new Promise((resolve) => setImmediate(resolve));
    accepted.pause();
    stream.write(Buffer.from('unread'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    stream.reset();
    await until(() => accepted.closed);
    expect(closed).toBe(false);
    accepted.reset();
    expect(closed).toBe(true);
  });

  it('pays for a fault of a handler with its connection alone', async () => {
    const pair = await pairOf({}, () => {
      throw new Error('a bug');
    });
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1207' });
    await until(() => pair.serverErrors.length === 3);
    expect(pair.serverErrors.map((error) => error.code)).toEqual(Array(3).fill('WEFT1214'));
  });

  it('is served on a connection whose handshake was under way when the server began to drain', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let isAccepted = false;
    const certificateFor = (): Promise<WorkloadCertificate> => {
      isAccepted = true;
      return held.then(() => pair.serverCertificate);
    };
    const pair: TunnelPair = await tunnelPair((request) => request.accept().attach(idle), {
      server: { certificateFor },
    });
    pairs.push(pair);
    const attempt = pair.pool.connect(pair.request());
    await until(() => isAccepted);
    const drained = pair.server.drain();
    release();
    const { stream, session } = await attempt;
    await until(() => !session.canOpen);
    stream.reset();
    expect(await drained).toBe(true);
  });

  it('ends a drain of the server only after its streams', async () => {
    const pair = await pairOf();
    const { stream } = await pair.pool.connect(pair.request());
    stream.attach(idle);
    let drained = false;
    const draining = pair.server.drain().then(() => {
      drained = true;
    });
    await until(() => !pair.pool.sessions.values().next().value?.canOpen);
    expect(drained).toBe(false);
    stream.reset();
    await draining;
    await until(() => pair.pool.sessions.size === 0);
  });
});

it('loses nothing of the last stream when a draining server closes', async () => {
  const bytes = 3_000_000;
  const pair = await pairOf({}, (request) => {
    const stream = request.accept();
    stream.attach({ ...idle, onEnd: () => undefined });
    stream.write(Buffer.alloc(bytes, 1));
    stream.end();
  });
  const { stream } = await pair.pool.connect(pair.request());
  const draining = pair.server.drain();
  stream.end();
  let received = 0;
  const close = await new Promise((resolve) => {
    stream.attach({
      ...idle,
      onData: (chunk) => {
        received += chunk.length;
        stream.pause();
        setImmediate(() => stream.resume());
      },
      onClose: resolve,
    });
  });
  expect(close).toEqual({ kind: 'ended' });
  expect(received).toBe(bytes);
  await draining;
});
