import { describe, expect, it } from '@jest/globals';
import { Graph } from '@weft/collections';
import type { KubernetesClient, UntypedObject } from '@weft/kubernetes';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { yaml } from '../ambient/test-objects.ts';
import { type ServiceEntryFacts, serviceEntryFacts } from '../sources/entries.ts';
import { allocateAddresses, allocation } from './address-allocation.ts';
import { ClaimedAddresses } from './claimed-addresses.ts';

function entry(spec: string, { name = 'e', labels = '{}', status = '{}', created = '2026-01-01' } = {}) {
  return serviceEntryFacts(
    yaml<UntypedObject>(
      `{ metadata: { name: ${name}, namespace: shop, labels: ${labels}, creationTimestamp: "${created}T00:00:00Z" }, spec: { ${spec} }, status: ${status} }`,
    ),
  );
}
const free = (): boolean => false;
const hosts = (list: ReturnType<typeof allocation>) => list?.map(({ host }) => host);

describe('addresses for hosts that have none', () => {
  it.each([
    ['each host, of both families', 'hosts: [a, b], resolution: DNS', ['a', 'a', 'b', 'b']],
    ['STATIC', 'hosts: [a], resolution: STATIC', ['a', 'a']],
    ['a wildcard that a waypoint resolves', 'hosts: ["*.a"], resolution: DYNAMIC_DNS', ['*.a', '*.a']],
    ['no wildcard else', 'hosts: ["*.a"], resolution: DNS', undefined],
    ['nobody with addresses', 'hosts: [a], addresses: [1.2.3.4], resolution: DNS', undefined],
    ['nobody who goes where the client was going', 'hosts: [a], resolution: NONE', undefined],
    ['nobody by default', 'hosts: [a]', undefined],
  ])('are for %s', (_what, spec, expected) => {
    expect(hosts(allocation(entry(spec), free))).toEqual(expected);
  });

  it('are not for who opts out', () => {
    const labels = '{ networking.istio.io/enable-autoallocate-ip: "false" }';
    expect(allocation(entry('hosts: [a], resolution: DNS', { labels }), free)).toBeUndefined();
  });

  it('are of 240.240.0.0/16 and 2001:2::/48, the same at each attempt, and never two the same', () => {
    const many = Array.from({ length: 3_000 }, (_, i) => `h${i}`).join(', ');
    const list = allocation(entry(`hosts: [${many}], resolution: DNS`), free) ?? [];
    expect(list).toHaveLength(6_000);
    expect(new Set(list.map(({ value }) => value)).size).toBe(6_000);
    for (const { value } of list)
      expect(value).toMatch(/^(240\.240\.\d{1,3}\.\d{1,3}|2001:2::[0-9a-f]{1,4})$/);
    expect(allocation(entry(`hosts: [${many}], resolution: DNS`), free)).toEqual(list);
  });

  it('are kept, also when the host has gone, and given up only to who had one before', () => {
    const status = '{ addresses: [{ host: a, value: 240.240.0.7 }, { host: a, value: "2001:2::7" }] }';
    expect(allocation(entry('hosts: [a], resolution: DNS', { status }), free)).toBeUndefined();
    const renamed = allocation(entry('hosts: [b], resolution: DNS', { status }), free);
    expect(hosts(renamed)).toEqual(['a', 'a', 'b', 'b']);
    const moved = allocation(entry('hosts: [a], resolution: DNS', { status }), (value) =>
      value.endsWith('7'),
    );
    expect(moved).toHaveLength(2);
    expect(moved?.some(({ value }) => value.endsWith('7'))).toBe(false);
  });

  it('are written by the leader, without asking twice, and the older of two with one address keeps it', async () => {
    const graph = new Graph();
    const serviceEntries = graph.source<ServiceEntryFacts>('serviceEntries');
    const clash = '{ addresses: [{ host: a, value: 240.240.0.7 }, { host: a, value: "2001:2::7" }] }';
    const younger = { name: 'younger', status: clash, created: '2026-01-02' };
    serviceEntries.set('shop/younger', entry('hosts: [a], resolution: DNS', younger));
    serviceEntries.set('shop/older', entry('hosts: [a], resolution: DNS', { name: 'older', status: clash }));
    serviceEntries.set('shop/new', entry('hosts: [n], resolution: DNS', { name: 'new' }));
    graph.build();
    graph.flush();
    const written: [string, unknown][] = [];
    const stop = new AbortController();
    const client: Pick<KubernetesClient, 'apply'> = {
      apply: (_type, object) => {
        const { status } = object as UntypedObject; // what the allocator writes
        written.push([object.metadata.name ?? '', status]);
        return Promise.resolve(object as never); // nobody reads it
      },
    };
    const clock = new ManualClock();
    allocateAddresses({ client, graph, serviceEntries, clock, logger: silentLogger, signal: stop.signal });
    await clock.advance(0);
    expect(written.map(([name]) => name).sort()).toEqual(['new', 'younger']);
    // Written back, and nothing more is to be done.
    for (const [name, status] of written.splice(0)) {
      const facts = serviceEntries.get(`shop/${name}`);
      const { addresses } = status as { addresses: ServiceEntryFacts['allocated'] }; // as above
      if (facts !== undefined) serviceEntries.set(`shop/${name}`, { ...facts, allocated: addresses });
    }
    graph.flush();
    await clock.advance(0);
    expect(written).toEqual([]);
    stop.abort();
  });

  it('go to the user who writes one, and the entry that had it gets another', async () => {
    const graph = new Graph();
    const serviceEntries = graph.source<ServiceEntryFacts>('serviceEntries');
    const status = '{ addresses: [{ host: a, value: 240.240.0.7 }, { host: a, value: "2001:2::7" }] }';
    const other = '{ addresses: [{ host: b, value: 240.240.0.8 }, { host: b, value: "2001:2::8" }] }';
    serviceEntries.set('shop/a', entry('hosts: [a], resolution: DNS', { name: 'a', status }));
    serviceEntries.set('shop/b', entry('hosts: [b], resolution: DNS', { name: 'b', status: other }));
    graph.build();
    graph.flush();
    const written: [string, ServiceEntryFacts['allocated']][] = [];
    const stop = new AbortController();
    const client: Pick<KubernetesClient, 'apply'> = {
      apply: (_type, object) => {
        const { status: next } = object as UntypedObject; // what the allocator writes
        const { addresses } = next as { addresses: ServiceEntryFacts['allocated'] }; // likewise
        written.push([object.metadata.name ?? '', addresses]);
        return Promise.resolve(object as never); // nobody reads it
      },
    };
    const clock = new ManualClock();
    allocateAddresses({ client, graph, serviceEntries, clock, logger: silentLogger, signal: stop.signal });
    await clock.advance(0);
    expect(written).toEqual([]);
    const range = 'hosts: [u], addresses: ["240.240.0.7", "192.0.2.0/24"], resolution: STATIC';
    serviceEntries.set('shop/u', entry(range, { name: 'u', created: '2026-02-01' }));
    graph.flush();
    await clock.advance(0);
    expect(written.map(([name]) => name)).toEqual(['a']);
    // Both families: what names resolve to stays a pair.
    expect(written[0]?.[1].map(({ value }) => value).filter((value) => value.endsWith('7'))).toEqual([]);
    stop.abort();
  });

  it('are not taken where a user wrote them, however, until that is gone', () => {
    const claims = new ClaimedAddresses();
    const writing = (addresses: string) => entry(`hosts: [u], addresses: [${addresses}], resolution: STATIC`);
    claims.note('shop/u', writing('240.240.0.1, "2001:2:0::0007/128"'));
    claims.note('shop/v', writing('240.240.0.1'));
    expect(claims.isTaken('240.240.0.1', 'shop/a')).toBe(true);
    expect(claims.isTaken('2001:2::7', 'shop/a')).toBe(true);
    expect(claims.isTaken('2001:2::7', 'shop/u')).toBe(false);
    claims.note('shop/u', writing('192.0.2.1'));
    expect(claims.isTaken('2001:2::7', 'shop/a')).toBe(false);
    expect(claims.isTaken('240.240.0.1', 'shop/a')).toBe(true);
    claims.release('shop/v');
    expect(claims.isTaken('240.240.0.1', 'shop/a')).toBe(false);
  });

  it('are not lost to a range: one entry would take the addresses of all', () => {
    const status = '{ addresses: [{ host: a, value: 240.240.0.7 }, { host: a, value: "2001:2::7" }] }';
    const victim = entry('hosts: [a], resolution: DNS', { status });
    const claims = new ClaimedAddresses();
    claims.note('shop/a', victim);
    const greedy = entry('hosts: [u], addresses: [240.240.0.0/16, "::/0"], resolution: STATIC');
    expect(claims.note('evil/u', greedy)).toEqual([]);
    expect(allocation(victim, (value) => claims.isTaken(value, 'shop/a'))).toBeUndefined();
    const fresh = entry('hosts: [b], resolution: DNS');
    expect(allocation(fresh, (value) => claims.isTaken(value, 'shop/b'))).toHaveLength(2);
  });

  it('are the same after a restart: what status says is kept, whoever asks first', () => {
    const status = '{ addresses: [{ host: a, value: 240.240.9.9 }, { host: a, value: "2001:2::909" }] }';
    const claims = new ClaimedAddresses();
    const known = entry('hosts: [a], resolution: DNS', { status });
    claims.note('shop/known', known);
    const wanted = allocation(known, (value) => claims.isTaken(value, 'shop/known'));
    expect(wanted).toBeUndefined();
    expect(claims.isTaken('240.240.9.9', 'shop/new')).toBe(true);
  });
});
