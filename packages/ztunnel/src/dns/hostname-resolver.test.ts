import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import {
  HostnameResolver,
  MAX_HOSTNAME_TTL_MS,
  MAX_RESOLVED_HOSTNAMES,
  MIN_HOSTNAME_TTL_MS,
  type Lookup,
} from './hostname-resolver.ts';

function resolver(lookup: Lookup, ipv6 = true) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const subject = new HostnameResolver({
    lookup: (hostname, family) => {
      asked.push(`${hostname} ${family}`);
      return lookup(hostname, family);
    },
    ipv6,
    clock,
  });
  return { subject, clock, asked };
}

const both: Lookup = (_, family) =>
  Promise.resolve([{ address: family === 4 ? '192.0.2.1' : '2001:db8::1', ttl: 30 }]);

describe('a host name', () => {
  it('is resolved in both families at once, and only once for all who need it', async () => {
    const { subject, asked } = resolver(both);
    const results = await Promise.all([subject.resolve('db.test'), subject.resolve('db.test')]);
    expect(results).toEqual(Array.from({ length: 2 }, () => ['192.0.2.1', '2001:db8::1']));
    expect(asked).toEqual(['db.test 4', 'db.test 6']);
  });

  it('is resolved in IPv4 alone where IPv6 is off', async () => {
    const { subject } = resolver(both, false);
    expect(await subject.resolve('db.test')).toEqual(['192.0.2.1']);
  });

  it('that is an address needs no resolver', async () => {
    const { subject, asked } = resolver(both);
    expect(await subject.resolve('192.0.2.7')).toEqual(['192.0.2.7']);
    expect(asked).toEqual([]);
  });

  it('is good in one family when the other fails', async () => {
    const { subject } = resolver((hostname, family) =>
      family === 6 ? Promise.reject(new Error('ESERVFAIL')) : both(hostname, family),
    );
    expect(await subject.resolve('db.test')).toEqual(['192.0.2.1']);
  });

  it.each<[string, Lookup, string]>([
    ['the resolver fails', () => Promise.reject(new Error('ETIMEOUT')), 'db.test: ETIMEOUT'],
    ['there is none', () => Promise.resolve([]), 'db.test has no address'],
  ])('is an error when %s', async (_, lookup, message) => {
    const { subject } = resolver(lookup);
    await expect(subject.resolve('db.test')).rejects.toMatchObject({ code: 'WEFT1319', message });
  });

  it.each([
    ['as long as its records say', 30, 30_000],
    ['at least a second', 0, MIN_HOSTNAME_TTL_MS],
    ['at most five minutes', 86_400, MAX_HOSTNAME_TTL_MS],
  ])('is kept %s', async (_, ttl, keptMs) => {
    const { subject, clock, asked } = resolver(() => Promise.resolve([{ address: '192.0.2.1', ttl }]), false);
    await subject.resolve('db.test');
    await clock.advance(keptMs - 1);
    await subject.resolve('db.test');
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    await subject.resolve('db.test');
    expect(asked).toHaveLength(2);
  });

  it('makes room for others when it was not needed for longest', async () => {
    const { subject, asked } = resolver(both, false);
    for (let i = 0; i <= MAX_RESOLVED_HOSTNAMES; i++) await subject.resolve(`name-${i}.test`);
    await subject.resolve('name-1.test');
    expect(asked).toHaveLength(MAX_RESOLVED_HOSTNAMES + 1);
    await subject.resolve('name-0.test');
    expect(asked).toHaveLength(MAX_RESOLVED_HOSTNAMES + 2);
  });
});
