import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { KubernetesClient } from './client.ts';
import type { Pod } from './objects.ts';
import { Reflector, type Change, type ReflectorOptions } from './reflector.ts';
import { resources } from './resources.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';

const PODS = '/api/v1/pods';
let server: FakeApiServer;
let client: KubernetesClient;
let clock: ManualClock;
let abort: AbortController;
let log: string[];
let reflector: Reflector<Pod> | undefined;

beforeEach(async () => {
  server = await FakeApiServer.start();
  client = new KubernetesClient(server.connection);
  clock = new ManualClock();
  abort = new AbortController();
  log = [];
});
afterEach(async () => {
  abort.abort();
  await reflector?.done;
  expect(clock.pending).toBe(0);
  client.close();
  await server.close();
});

const pod = (name: string, phase: 'Pending' | 'Running' = 'Pending'): Pod => ({
  metadata: { name, namespace: 'demo' },
  status: { phase },
});
const describeChange = (c: Change<Pod>): string =>
  c.kind === 'delete' ? `-${c.key}` : `+${c.key} ${c.object.status?.phase}`;

function start(o: Partial<ReflectorOptions<Pod>> = {}): void {
  reflector = new Reflector<Pod>({
    client,
    type: resources.pods,
    onChange: (changes) => log.push(...changes.map(describeChange)),
    onSynced: () => log.push('synced'),
    signal: abort.signal,
    clock,
    random: () => 0.5,
    ...o,
  });
}

/** Lets real sockets work and the manual clock run until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 5_000) throw new Error(`gave up; log: ${log.join(', ')}`);
    await clock.advance(20);
  }
}
const watching = (): boolean => server.watchCount === 1;

describe.each(['supported', 'refused'] as const)('Reflector when WatchList is %s', (watchList) => {
  beforeEach(() => {
    server.watchList = watchList;
  });

  it('reports the existing objects, then synced, then each change', async () => {
    server.put(PODS, pod('a'));
    server.put(PODS, pod('b'));
    start();
    await until(() => log.includes('synced') && watching());
    expect(log).toEqual(['+demo/a Pending', '+demo/b Pending', 'synced']);
    server.put(PODS, pod('a', 'Running'));
    server.remove(PODS, 'b', 'demo');
    await until(() => log.length === 5);
    expect(log.slice(3)).toEqual(['+demo/a Running', '-demo/b']);
    expect(reflector?.get('demo/a')?.status?.phase).toBe('Running');
    expect([...reflector!.list()]).toHaveLength(1);
  });

  it('is synced on an empty collection', async () => {
    start();
    await until(() => log.length > 0);
    expect(log).toEqual(['synced']);
  });

  it('continues from the last version when the stream is cut, without a relist', async () => {
    server.put(PODS, pod('a'));
    start();
    await until(() => log.includes('synced') && watching());
    server.bookmark();
    await until(() => true);
    const requestsBefore = server.requests.length;
    server.cutWatches();
    server.put(PODS, pod('b'));
    await until(() => log.includes('+demo/b Pending'));
    expect(log).toEqual(['+demo/a Pending', 'synced', '+demo/b Pending']);
    const later = server.requests.slice(requestsBefore);
    expect(later.every((r) => r.url.searchParams.has('resourceVersion'))).toBe(true);
  });

  it('sees through a relist what was deleted and recreated meanwhile', async () => {
    for (const name of ['a', 'b', 'c']) server.put(PODS, pod(name));
    start();
    await until(() => log.includes('synced') && watching());
    log.length = 0;
    server.intercept = (_, response) => {
      response.writeHead(503).end('{}');
      return true;
    };
    server.cutWatches();
    server.remove(PODS, 'a', 'demo');
    server.remove(PODS, 'b', 'demo');
    server.put(PODS, pod('b', 'Running'));
    server.compact();
    server.intercept = undefined;
    await until(() => log.length >= 3);
    expect(log).toEqual(['-demo/a', '-demo/b', '+demo/b Running']);
  });

  it('relists after an ERROR event with 410', async () => {
    server.put(PODS, pod('a'));
    start();
    await until(() => log.includes('synced') && watching());
    server.inject(`${JSON.stringify({ type: 'ERROR', object: { code: 410, reason: 'Expired' } })}\n`);
    await until(() => !watching());
    await until(watching);
    server.put(PODS, pod('b'));
    await until(() => log.length === 3);
    expect(log).toEqual(['+demo/a Pending', 'synced', '+demo/b Pending']);
  });

  it('recovers from garbage in the stream', async () => {
    start();
    await until(() => log.includes('synced') && watching());
    server.inject('{"type":"ADDED","object":\n');
    await until(() => !watching());
    server.put(PODS, pod('a'));
    await until(() => log.length === 2);
    expect(log).toEqual(['synced', '+demo/a Pending']);
  });
});

describe('Reflector', () => {
  it('falls back to list and watch when the closing bookmark never comes', async () => {
    server.watchList = 'ignored';
    server.put(PODS, pod('a'));
    start();
    await until(() => log.includes('synced'));
    expect(log).toEqual(['+demo/a Pending', 'synced']);
    expect(clock.now()).toBeGreaterThan(Date.UTC(2026, 0, 1) + 30_000);
  });

  it('keeps retrying with growing pauses while the server is away', async () => {
    server.intercept = (_, response) => {
      response.writeHead(500).end('{}');
      return true;
    };
    start();
    await clock.advance(0);
    await until(() => server.requests.length === 5);
    // 0.2 + 0.4 + 0.8 + 1.6 s between the five attempts.
    expect(clock.now() - Date.UTC(2026, 0, 1)).toBeGreaterThanOrEqual(3_000);
    server.intercept = undefined;
    await until(() => log.includes('synced'));
  });

  it('takes a type the server does not know as empty when told so, and picks it up when it appears', async () => {
    server.put(PODS, pod('a'));
    server.intercept = (_, response) => {
      response.writeHead(404).end('404 page not found');
      return true;
    };
    start({ absentIsEmpty: true });
    await until(() => log.includes('synced'));
    server.intercept = undefined;
    await until(() => log.length === 2);
    expect(log).toEqual(['synced', '+demo/a Pending']);
  });

  it('drops managed fields unless asked to keep them', async () => {
    server.put(PODS, { ...pod('a'), metadata: { name: 'a', namespace: 'demo', managedFields: [{}] } });
    start();
    await until(() => log.includes('synced'));
    expect(reflector?.get('demo/a')?.metadata).not.toHaveProperty('managedFields');
  });

  it('replaces a watch that is open and dead, and counts it', async () => {
    let stalls = 0;
    start({ onStall: () => void stalls++ });
    await until(() => log.includes('synced') && watching());
    server.muted = true;
    server.put(PODS, pod('a'));
    server.muted = false;
    await clock.advance(150_000);
    await until(() => log.length > 1);
    expect(log).toEqual(['synced', '+demo/a Pending']);
    expect(stalls).toBe(1);
  });

  it('replaces a silent watch when nobody answers the probe', async () => {
    let stalls = 0;
    start({ onStall: () => void stalls++ });
    await until(() => log.includes('synced') && watching());
    server.intercept = ({ url }, response) => {
      if (url.searchParams.get('limit') !== '1') return false;
      response.writeHead(500).end('{}');
      return true;
    };
    await clock.advance(150_000);
    await until(() => stalls === 1);
  });

  it('leaves a watch alone that is silent because nothing happens', async () => {
    let stalls = 0;
    start({ onStall: () => void stalls++ });
    await until(() => log.includes('synced') && watching());
    const probes = (): number => server.requests.filter(({ url }) => url.searchParams.has('limit')).length;
    for (let asked = 1; asked <= 2; asked++) {
      await clock.advance(150_000);
      await until(() => probes() === asked);
    }
    expect(stalls).toBe(0);
    expect(server.requests.filter(({ url }) => url.searchParams.has('watch'))).toHaveLength(1);
  });

  it('loses nothing when its watch is lost and its version expires in the middle of a burst', async () => {
    const names = Array.from({ length: 1_200 }, (_, i) => `p${i}`);
    for (const name of names.slice(0, 1_000)) server.put(PODS, pod(name));
    start();
    await until(() => log.includes('synced') && watching());
    const mirrored = new Map<string, string>();
    for (const entry of log.splice(0)) mirror(mirrored, entry);
    for (let i = 0; i < 300; i++) {
      server.put(PODS, pod(`p${(i * 7) % 1_200}`, 'Running'));
      if (i % 3 === 0) server.remove(PODS, `p${(i * 11) % 1_000}`, 'demo');
      if (i % 60 === 30) server.cutWatches();
      if (i % 100 === 50) server.compact();
      if (i % 10 === 0) await until(() => true);
    }
    server.put(PODS, pod('last'));
    await until(() => log.some((entry) => entry.startsWith('+demo/last')));
    for (const entry of log) mirror(mirrored, entry);
    const { items } = await client.list(resources.pods);
    expect(mirrored).toEqual(
      new Map(items.map(({ metadata, status }) => [`demo/${metadata.name}`, status?.phase])),
    );
  });

  it('takes a server that is slow with every page for what it is, and asks for each page once', async () => {
    server.watchList = 'refused';
    for (let i = 0; i < 1_100; i++) server.put(PODS, pod(`p${i}`));
    const pages: string[] = [];
    server.intercept = ({ url }, response) => {
      if (!url.searchParams.has('limit') || url.searchParams.has('slow')) return false;
      pages.push(url.searchParams.get('continue') ?? 'first');
      // Answered when the clock has moved on, by the same handler.
      void clock.sleep(20_000, abort.signal).then(async () => {
        url.searchParams.set('slow', 'no more');
        const answer = await fetch(`${server.connection.server}${url.pathname}${url.search}`);
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
      });
      return true;
    };
    start();
    await until(() => log.includes('synced'));
    expect(log).toHaveLength(1_101);
    expect(pages).toEqual(['first', '500', '1000']);
  });
});

function mirror(objects: Map<string, string>, entry: string): void {
  const [key = '', phase = ''] = entry.slice(1).split(' ');
  if (entry.startsWith('-')) objects.delete(key);
  else if (entry.startsWith('+')) objects.set(key, phase);
}
