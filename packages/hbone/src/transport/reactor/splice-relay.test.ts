import { afterEach, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { resetSocket, SystemError } from '@weft/linux';
import { ENGINE_VARIABLE, socketEngine, type SocketEngine } from '../../testing/socket-engine.ts';
import { dialTcp, listen } from '../../testing/tunnel-pair.ts';
import { relay, type RelayRecord } from '../relay.ts';
import type { Reactor } from './reactor.ts';
import { ReactorSocket } from './reactor-socket.ts';
import { spliceRelay } from './splice-relay.ts';

process.env[ENGINE_VARIABLE] = 'reactor';
const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Joined {
  readonly client: Socket;
  readonly server: Socket;
  readonly counts: RelayRecord;
  readonly cut: AbortController;
  /** How the relay ended. */
  readonly outcome: Promise<string>;
}

/** client ═ relay ═ server: the outer ends are node's, the relay's own are the reactor's. */
async function joined(
  how: typeof relay | typeof spliceRelay,
  before: (client: Socket) => void = () => undefined,
  beforeRelay: (reactor: Reactor) => void = () => undefined,
): Promise<Joined> {
  const engine: SocketEngine = socketEngine();
  const counts: RelayRecord = { received: 0, sent: 0 };
  const cut = new AbortController();
  let onServer: (socket: Socket) => void = () => undefined;
  const accepted = new Promise<Socket>((resolve) => (onServer = resolve));
  const far = await listen((socket) => onServer(socket.on('error', () => undefined)));
  let onOutcome: (outcome: string) => void = () => undefined;
  const outcome = new Promise<string>((resolve) => (onOutcome = resolve));
  let begin = (): void => undefined;
  const ready = new Promise<void>((resolve) => (begin = resolve));
  const near = await engine.listen((down) => {
    void ready
      .then(() => engine.dial(far.port))
      .then((up) => {
        if (!(down instanceof ReactorSocket && up instanceof ReactorSocket))
          throw new Error('not of the reactor');
        beforeRelay(down.reactor);
        how(down, up, counts, cut.signal).then(
          () => onOutcome('ended'),
          (error: unknown) => onOutcome(error instanceof Error ? error.message : String(error)),
        );
      });
  });
  const client = (await dialTcp(near.port)).on('error', () => undefined);
  before(client);
  await setTimeout(20); // until it has arrived
  begin();
  closers.push(
    () => engine.close(),
    () => near.close(),
    () => void far.listener.close(),
    () => void client.destroy(),
  );
  return { client, server: await accepted, counts, cut, outcome };
}

/** Of all that comes, leaving the socket open. */
function digest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  return new Promise((resolve) => socket.once('end', () => resolve(hash.digest('hex'))));
}

/** Whether it closed by an error. */
function closing(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => socket.once('close', resolve));
}

describe.each([
  ['by splice', spliceRelay],
  ['by copying', relay],
])('a relay of two plain sockets %s', (_, how) => {
  it('carries both directions, each to its own end, and counts them', async () => {
    const { client, server, counts, outcome } = await joined(how);
    const [up, down] = [randomBytes(3_000_000), randomBytes(2_000_000)];
    const digests = Promise.all([digest(server), digest(client)]);
    client.end(up);
    server.end(down);
    expect(await digests).toEqual([up, down].map((b) => createHash('sha256').update(b).digest('hex')));
    expect(await outcome).toBe('ended');
    expect(counts).toEqual({ received: up.length, sent: down.length });
  });

  it('lets one direction flow on after the end of the other', async () => {
    // The end is there before the relay begins.
    const { client, server, outcome } = await joined(how, (socket) => socket.end('ask'));
    expect(await digest(server)).toBe(createHash('sha256').update('ask').digest('hex'));
    const answer = digest(client);
    server.end('answer');
    expect(await answer).toBe(createHash('sha256').update('answer').digest('hex'));
    expect(await outcome).toBe('ended');
  });

  it('waits for a slow reader', async () => {
    const { client, server, counts, outcome } = await joined(how);
    const bytes = randomBytes(20_000_000);
    server.pause();
    client.end(bytes);
    await setTimeout(50);
    expect(counts.received).toBeLessThan(bytes.length);
    const seen = digest(server);
    server.resume();
    expect(await seen).toBe(createHash('sha256').update(bytes).digest('hex'));
    server.end();
    client.resume();
    expect(await outcome).toBe('ended');
  });

  it('keeps the order of small messages before, between and behind many bytes', async () => {
    const { client, server } = await joined(how);
    const sizes = [1, 200, 700_000, 3, 16_384, 16_385, 40, 2_000_000, 7];
    const seen = digest(server);
    const hash = createHash('sha256');
    for (const size of sizes) {
      const bytes = randomBytes(size);
      hash.update(bytes);
      client.write(bytes);
      if (size < 1_000) await new Promise((resolve) => setImmediate(resolve));
    }
    client.end();
    expect(await seen).toBe(hash.digest('hex'));
  });

  it.each(['downstream', 'upstream'] as const)(
    'passes a reset by the %s end on, and tells whose it was',
    async (end) => {
      const { client, server, counts, outcome } = await joined(how);
      client.write('x');
      await once(server, 'data');
      const [own, other] = end === 'downstream' ? [client, server] : [server, client];
      const closed = closing(other);
      resetSocket(own);
      expect(await closed).toBe(true);
      expect(await outcome).toContain('ECONNRESET');
      expect(counts.failedEnd).toBe(end);
    },
  );

  it('resets both ends when it is cut', async () => {
    const { client, server, counts, cut, outcome } = await joined(how);
    client.resume();
    server.resume();
    const closed = Promise.all([closing(client), closing(server)]);
    cut.abort(new Error('a policy says so'));
    expect(await closed).toEqual([true, true]);
    expect(await outcome).toBe('a policy says so');
    expect(counts.failedEnd).toBeUndefined();
  });
});

it('copies all of it when there is no descriptor left for a pipe', async () => {
  let refused = 0;
  const { client, server, counts } = await joined(spliceRelay, undefined, ({ pipes }) => {
    pipes.splice.openPipe = () => {
      refused++;
      throw new SystemError('pipe2', constants.errno.EMFILE);
    };
  });
  const bytes = randomBytes(3_000_000);
  const seen = digest(server);
  client.end(bytes);
  expect(await seen).toBe(createHash('sha256').update(bytes).digest('hex'));
  expect(counts.received).toBe(bytes.length);
  expect(refused).toBeGreaterThan(0);
});
