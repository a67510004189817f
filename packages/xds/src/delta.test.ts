import type { AddressInfo } from 'node:net';
import { createServer, type Server as TcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD } from '@weft/api';
import { createLogger, LogLevels } from '@weft/telemetry';
import fc from 'fast-check';
import { RESOURCES_PER_MESSAGE } from './delta-connection.ts';
import { DeltaClient, type DeltaClientOptions } from './delta-client.ts';
import {
  DeltaDiscoveryRequest,
  readDeltaResponse,
  readResource,
  type DeltaRequestFields,
  type DeltaResponseFrame,
} from './delta-message.ts';
import { Demand } from './demand.ts';
import { DeltaServer, deltaServerChannelOptions, type DeltaServerOptions } from './delta-server.ts';
import type { Ending } from './reconnect.ts';
import { MemorySource } from './resource-source.ts';
import { versionedResource, type VersionedResource } from './resource.ts';
import { Subscription, type AnySubscription } from './subscription.ts';

const ADDRESS = 'type.googleapis.com/test.Address';
const POLICY = 'type.googleapis.com/test.Policy';
const node = { id: 'ztunnel~1.1.1.1~z.istio-system~istio-system.svc.cluster.local' };
const resource = (name: string, text: string): VersionedResource =>
  versionedResource(name, Buffer.from(text));
const resources = (of: Record<string, string>): VersionedResource[] =>
  Object.entries(of).map(([n, t]) => resource(n, t));

/** Waits for real sockets. Gives up loudly, since a loop that outlives its test would keep the process alive. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}; ${log.join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
const log: string[] = [];
const logger = createLogger({
  scope: 'xds',
  levels: new LogLevels('trace'),
  sink: { write: (line) => log.push(line), flush: () => undefined },
});

class ControlPlane {
  readonly address: MemorySource;
  readonly policy: MemorySource;
  readonly pushes: string[] = [];
  readonly refused: string[] = [];
  readonly delta: DeltaServer<string>;
  private readonly server = new grpc.Server(deltaServerChannelOptions);
  port = 0;

  constructor(from?: ControlPlane, o: Partial<DeltaServerOptions<string>> = {}) {
    this.address = from?.address ?? new MemorySource(ADDRESS);
    this.policy = from?.policy ?? new MemorySource(POLICY);
    this.delta = new DeltaServer({
      types: [{ source: this.policy, removals: 'last' }, { source: this.address }],
      authenticate: async ({ metadata }) => {
        const [token] = metadata.get('authorization');
        if (token !== 'Bearer good') throw new Error(`bad token ${String(token)}`);
        return 'ztunnel';
      },
      debounceMs: 5,
      logger,
      observer: {
        pushed: (typeUrl, count, removed) =>
          this.pushes.push(`${typeUrl === ADDRESS ? 'address' : 'policy'} +${count} -${removed}`),
        refused: (code) => this.refused.push(code),
      },
      ...o,
    });
    this.delta.addTo(this.server);
  }

  async listen(port = 0): Promise<this> {
    this.port = await new Promise((resolve, reject) => {
      this.server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return this;
  }

  stop(): void {
    this.delta.close();
    this.server.forceShutdown();
  }
}

let controlPlane: ControlPlane;
const cleanups: (() => void | Promise<void>)[] = [];
beforeEach(async () => {
  log.length = 0;
  controlPlane = await new ControlPlane().listen();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  controlPlane.stop();
});

interface Proxy {
  readonly client: DeltaClient;
  readonly addresses: Map<string, string>;
  readonly policies: Map<string, string>;
  readonly log: string[];
}
function startProxy(o: Partial<DeltaClientOptions> = {}): Proxy {
  const abort = new AbortController();
  const log: string[] = [];
  const subscription = (typeUrl: string, into: Map<string, string>): Subscription<string> =>
    new Subscription(
      {
        typeUrl,
        decode: (bytes) => {
          const text = Buffer.from(bytes).toString();
          if (text.startsWith('bad')) throw new Error('unknown enum value');
          return text;
        },
      },
      ({ upserted, removed }) => {
        for (const name of removed) {
          into.delete(name);
          log.push(`-${name}`);
        }
        for (const { name, resource: text } of upserted) {
          into.set(name, text);
          log.push(`+${name}`);
        }
      },
    );
  const addresses = new Map<string, string>();
  const policies = new Map<string, string>();
  const client = new DeltaClient({
    address: `http://127.0.0.1:${controlPlane.port}`,
    credentials: () => grpc.credentials.createInsecure(),
    headers: () => [['authorization', 'Bearer good']],
    node,
    subscriptions: [subscription(ADDRESS, addresses), subscription(POLICY, policies)],
    onReady: () => log.push('ready'),
    onConnection: (connected) => log.push(connected ? 'connected' : 'disconnected'),
    signal: abort.signal,
    logger,
    ...o,
  });
  cleanups.push(async () => {
    abort.abort();
    await client.done;
  });
  return { client, addresses, policies, log };
}

const contents = (source: MemorySource): Record<string, string> =>
  Object.fromEntries([...source.list()].map((r) => [r.name, Buffer.from(r.bytes).toString()]));

describe('client and server', () => {
  it('bring the whole state first, then exactly what changes', async () => {
    controlPlane.address.update({ upserted: resources({ a: '1', b: '1' }) });
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    expect(Object.fromEntries(proxy.addresses)).toEqual({ a: '1', b: '1' });
    expect(controlPlane.pushes).toEqual(['address +2 -0', 'policy +0 -0']);
    controlPlane.address.update({ upserted: resources({ a: '2', c: '1' }), removed: ['b'] });
    await until(() => proxy.addresses.has('c'));
    expect(Object.fromEntries(proxy.addresses)).toEqual({ a: '2', c: '1' });
    expect(controlPlane.pushes.slice(2)).toEqual(['address +2 -1']);
    await until(() => controlPlane.delta.connections()[0]?.types.every((t) => t.state === 'SYNCED') ?? false);
    expect(controlPlane.delta.connections()[0]).toMatchObject({
      node,
      types: [{ wildcard: true }, { wildcard: true }],
    });
  });

  it('bring policies before the workloads that use them, and take them away after', async () => {
    controlPlane.policy.update({ upserted: resources({ old: '1' }) });
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    proxy.log.length = 0;
    controlPlane.address.update({ upserted: resources({ workload: '1' }) });
    controlPlane.policy.update({ upserted: resources({ new: '1' }), removed: ['old'] });
    await until(() => proxy.log.length === 3);
    expect(proxy.log).toEqual(['+new', '+workload', '-old']);
  });

  it('send only differences after the control plane was restarted, removals included', async () => {
    controlPlane.address.update({ upserted: resources({ a: '1', b: '1', c: '1' }) });
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    const { port } = controlPlane;
    controlPlane.stop();
    await until(() => !proxy.client.connected);
    controlPlane.address.update({ upserted: resources({ b: '2', d: '1' }), removed: ['c'] });
    proxy.log.length = 0;
    controlPlane = await new ControlPlane(controlPlane).listen(port);
    await until(() => proxy.addresses.has('d'));
    expect(proxy.log).toEqual(['connected', '-c', '+b', '+d']);
    expect(controlPlane.pushes[0]).toBe('address +2 -1');
    expect(Object.fromEntries(proxy.addresses)).toEqual(contents(controlPlane.address));
  });

  it('apply the good part of a push, report the rest, and recover with the next version', async () => {
    controlPlane.address.update({ upserted: resources({ a: '1', b: 'bad' }) });
    const proxy = startProxy();
    const status = () => controlPlane.delta.connections()[0]?.types.find((t) => t.typeUrl === ADDRESS);
    await until(() => status()?.state === 'ERROR');
    expect(status()?.error).toBe('b: unknown enum value');
    expect(Object.fromEntries(proxy.addresses)).toEqual({ a: '1' });
    expect(proxy.client.ready).toBe(false);
    controlPlane.address.update({ upserted: resources({ b: '2' }) });
    await until(() => proxy.client.ready && status()?.state === 'SYNCED');
    expect(proxy.addresses.get('b')).toBe('2');
  });

  it('keep the last good version of a resource that was rejected later', async () => {
    controlPlane.address.update({ upserted: resources({ a: '1' }) });
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    controlPlane.address.update({ upserted: resources({ a: 'bad' }) });
    await until(() => controlPlane.delta.connections()[0]?.types.some((t) => t.state === 'ERROR') ?? false);
    expect(proxy.addresses.get('a')).toBe('1');
  });

  it('keep the first answer whole and cut later pushes into messages', async () => {
    const many = (text: string): VersionedResource[] =>
      Array.from({ length: 1_000 }, (_, i) => resource(`r${i}`, text));
    controlPlane.address.update({ upserted: many('1') });
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    expect(controlPlane.pushes[0]).toBe('address +1000 -0');
    controlPlane.address.update({ upserted: many('2') });
    await until(() => [...proxy.addresses.values()].every((text) => text === '2'));
    const counts = controlPlane.pushes.slice(2).map((p) => Number(/\+(\d+)/.exec(p)?.[1]));
    expect(Math.max(...counts)).toBe(RESOURCES_PER_MESSAGE);
    expect(counts.reduce((a, b) => a + b)).toBe(1_000);
  });

  it('wait for a server that comes later, and reconnect for every token until one is accepted', async () => {
    const { port } = controlPlane;
    controlPlane.stop();
    let tokens = 0;
    const proxy = startProxy({
      headers: () => [['authorization', ++tokens < 3 ? 'Bearer stale' : 'Bearer good']],
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    controlPlane = await new ControlPlane(controlPlane).listen(port);
    await until(() => proxy.client.ready);
    expect(controlPlane.refused).toEqual(['WEFT1504', 'WEFT1504']);
  });

  it('end up with the same state after any series of changes and restarts', async () => {
    const proxy = startProxy();
    await until(() => proxy.client.ready);
    const step = fc.record({
      upserts: fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.constantFrom('1', '2', '3')),
      removals: fc.subarray(['a', 'b', 'c', '__proto__']),
      restart: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        for (const { upserts, removals, restart } of steps) {
          controlPlane.address.update({ removed: removals, upserted: resources(upserts) });
          if (!restart) continue;
          const { port } = controlPlane;
          controlPlane.stop();
          controlPlane = await new ControlPlane(controlPlane).listen(port);
        }
        const expected = contents(controlPlane.address);
        await until(
          () => JSON.stringify(sorted(proxy.addresses)) === JSON.stringify(sorted(Object.entries(expected))),
        );
      }),
      { numRuns: 15 },
    );
  });
});

const sorted = (entries: Iterable<[string, string]>): [string, string][] =>
  [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

/** A client by hand, for what a well-behaved one doesn't do. */
function rawClient(headers: Record<string, string> = { authorization: 'Bearer good' }) {
  const client = new grpc.Client(`127.0.0.1:${controlPlane.port}`, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const call = client.makeBidiStreamRequest<Buffer, Buffer>(
    DELTA_ADS_METHOD,
    (b) => b,
    (b) => b,
    metadata,
  );
  const frames: DeltaResponseFrame[] = [];
  let failure: grpc.ServiceError | undefined;
  call.on('error', (error: grpc.ServiceError) => {
    failure = error;
  });
  cleanups.push(() => {
    call.cancel();
    client.close();
  });
  return {
    call,
    frames,
    get failure() {
      return failure;
    },
    read: () => call.on('data', (bytes: Buffer) => frames.push(readDeltaResponse(bytes))),
    send: (fields: DeltaRequestFields) =>
      call.write(Buffer.from(DeltaDiscoveryRequest.encode(fields).finish())),
  };
}
const namesIn = (frame: DeltaResponseFrame | undefined): string[] =>
  [...(frame?.resources ?? [])].map((r) => readResource(r).name);

describe('DeltaServer', () => {
  it('refuses a client without a good token, telling it nothing', async () => {
    const raw = rawClient({ authorization: 'Bearer evil' });
    raw.read();
    raw.send({ node, typeUrl: ADDRESS });
    await until(() => raw.failure !== undefined);
    expect(raw.failure).toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: 'WEFT1504 authentication failure',
    });
    expect(controlPlane.delta.connections()).toEqual([]);
  });

  it.each<[string, (raw: ReturnType<typeof rawClient>) => void]>([
    ['without a node', (raw) => void raw.send({ typeUrl: ADDRESS })],
    ['that is garbage', (raw) => void raw.call.write(Buffer.from('ffffffff', 'hex'))],
  ])('refuses a first request %s', async (_, misbehave) => {
    const raw = rawClient();
    raw.read();
    misbehave(raw);
    await until(() => raw.failure !== undefined);
    expect(raw.failure?.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(controlPlane.refused).toEqual(['WEFT1505']);
  });

  it('refuses a node that the identity may not be, before sending anything', async () => {
    controlPlane.stop();
    controlPlane = await new ControlPlane(undefined, {
      authorize: () => {
        throw new Error('namespace differs');
      },
    }).listen();
    const raw = rawClient();
    raw.read();
    raw.send({ node, typeUrl: ADDRESS });
    await until(() => raw.failure !== undefined);
    expect(controlPlane.refused).toEqual(['WEFT1504']);
    expect([raw.frames, controlPlane.pushes]).toEqual([[], []]);
  });

  it('refuses connections above its limit', async () => {
    controlPlane.stop();
    controlPlane = await new ControlPlane(undefined, { maxConnections: 1 }).listen();
    const first = rawClient();
    first.read();
    first.send({ node, typeUrl: ADDRESS });
    await until(() => first.frames.length === 1);
    const second = rawClient();
    second.read();
    await until(() => second.failure !== undefined);
    expect(second.failure?.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });

  it('ignores a type that it does not serve and goes on with the others', async () => {
    const raw = rawClient();
    raw.read();
    raw.send({ node, typeUrl: 'type.googleapis.com/unknown.Type' });
    raw.send({ typeUrl: ADDRESS });
    await until(() => raw.frames.length === 1);
    expect(raw.frames[0]?.typeUrl).toBe(ADDRESS);
  });

  it('answers on-demand clients by name, tells them what does not exist, and follows what it returned', async () => {
    controlPlane.address.update({
      upserted: [versionedResource('uid-1', Buffer.from('1'), ['/10.0.0.1']), resource('uid-2', '1')],
    });
    const raw = rawClient();
    raw.read();
    raw.send({ node, typeUrl: ADDRESS, resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] });
    await until(() => raw.frames.length === 1);
    expect(raw.frames[0]).toMatchObject({ resourceCount: 0, removed: [] });
    raw.send({ typeUrl: ADDRESS, resourceNamesSubscribe: ['uid-2', '/10.0.0.9'] });
    await until(() => raw.frames.length === 2);
    expect([namesIn(raw.frames[1]), raw.frames[1]?.removed]).toEqual([['uid-2'], ['/10.0.0.9']]);
    // uid-1 isn't followed; the alias asked for above gets an owner; uid-2 changes.
    controlPlane.address.update({
      upserted: [
        versionedResource('uid-1', Buffer.from('2'), ['/10.0.0.1']),
        versionedResource('uid-3', Buffer.from('1'), ['/10.0.0.9']),
        resource('uid-2', '2'),
      ],
    });
    await until(() => raw.frames.length === 3);
    // In whatever order: on a fast machine the first of all changes is yet to be pushed, too.
    expect(new Set(namesIn(raw.frames[2]))).toEqual(new Set(['uid-3', 'uid-2']));
    controlPlane.address.update({ removed: ['uid-1', 'uid-3'] });
    await until(() => raw.frames.length === 4);
    expect(raw.frames[3]).toMatchObject({ resourceCount: 0, removed: ['uid-3'] });
  });

  it('holds one merged set of changes for a client that does not read, and sends it the latest state', async () => {
    const big = 'x'.repeat(200_000);
    const raw = rawClient();
    raw.read();
    raw.send({ node, typeUrl: ADDRESS });
    await until(() => raw.frames.length === 1);
    raw.call.pause();
    for (let round = 0; round < 200; round++) {
      controlPlane.address.update({ upserted: [resource('a', `${round}${big}`)] });
      await new Promise((resolve) => setTimeout(resolve, 8));
    }
    const pushedWhileStalled = controlPlane.pushes.length;
    expect(pushedWhileStalled).toBeLessThan(60);
    raw.call.resume();
    const last = (): string =>
      Buffer.from(
        readResource([...(raw.frames.at(-1)?.resources ?? [])][0] ?? new Uint8Array()).resource?.value ?? [],
      ).toString();
    await until(() => raw.frames.length > 1 && last().startsWith('199x'));
    expect(raw.frames.length).toBeLessThanOrEqual(pushedWhileStalled + 2);
  });

  it('on demand: sends nothing unasked, what there is by any of its names, and says what there is not', async () => {
    controlPlane.address.update({
      upserted: [
        versionedResource('uid-1', Buffer.from('one'), ['/10.0.0.1']),
        versionedResource('uid-2', Buffer.from('two'), ['/10.0.0.2']),
      ],
    });
    const { address } = controlPlane;
    Object.assign(address, {
      resolve: (name: string) =>
        [...address.list()].filter((r) => r.name === name || r.aliases?.includes(name)),
    });
    const received: string[] = [];
    const demand = new Demand();
    const subscription = new Subscription(
      { typeUrl: ADDRESS, decode: (bytes) => Buffer.from(bytes).toString() },
      ({ upserted }) => void received.push(...upserted.map(({ name }) => name)),
      demand,
    );
    const { client } = startProxy({ subscriptions: [subscription] });
    await until(() => client.ready);
    expect(received).toEqual([]);
    await demand.ask('/10.0.0.2');
    await demand.ask('/192.0.2.1');
    await demand.ask('/10.0.0.2');
    expect(received).toEqual(['uid-2']);
    controlPlane.address.update({
      upserted: [versionedResource('uid-3', Buffer.from('three'), ['/192.0.2.1'])],
    });
    await until(() => received.length === 2);
    controlPlane.stop();
    controlPlane = await new ControlPlane(controlPlane).listen(controlPlane.port);
    controlPlane.address.update({
      upserted: [versionedResource('uid-2', Buffer.from('changed'), ['/10.0.0.2'])],
    });
    await until(() => received.length === 3);
    expect(received).toEqual(['uid-2', 'uid-3', 'uid-2']);
  });

  it('backs off from a fault of its own in applying a response, which would return at once', async () => {
    const endings: Ending[] = [];
    const faulty: AnySubscription = {
      typeUrl: ADDRESS,
      acknowledged: false,
      versions: () => [],
      receive: () => Promise.reject(new TypeError('boom')),
    };
    startProxy({ subscriptions: [faulty], onEnd: (ending) => endings.push(ending) });
    await until(() => endings.length > 0);
    expect(endings[0]).toEqual({ kind: 'malformed' });
    await until(() => log.some((line) => line.includes('xDS stream ended') && line.includes('WEFT1501')));
  });

  it('forgets a client that went away', async () => {
    const raw = rawClient();
    raw.send({ node, typeUrl: ADDRESS });
    await until(() => controlPlane.delta.connections().length === 1);
    raw.call.cancel();
    await until(() => controlPlane.delta.connections().length === 0);
  });
});

describe('DeltaClient', () => {
  it('does not spin on a server that talks something else', async () => {
    let connections = 0;
    const garbage: TcpServer = createServer((socket) => {
      connections++;
      socket.on('error', () => undefined);
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => garbage.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => void garbage.close());
    const { port } = garbage.address() as AddressInfo;
    const { client } = startProxy({ address: `127.0.0.1:${port}` });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(client.connected).toBe(false);
    expect(connections).toBeLessThan(10);
  });

  it('stops at once when told to, even while connecting', async () => {
    const abort = new AbortController();
    const { client } = startProxy({ address: '127.0.0.1:1', signal: abort.signal });
    abort.abort();
    await client.done;
    expect(client.ready).toBe(false);
  });
});
