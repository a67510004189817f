import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Balanced, type BalancePolicy, combineHash, createLoadBalancer, xxHash64 } from './index.ts';

interface TestHost extends Balanced {
  readonly name: string;
  activeRequests: number;
}

function host(name: string, weight = 1, activeRequests = 0): TestHost {
  return { name, weight, activeRequests, hashKey: name };
}

/** A reproducible source of randomness (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ringHash: BalancePolicy = {
  kind: 'ring-hash',
  minimumRingSize: 1024,
  maximumRingSize: 8 * 1024 * 1024,
  useHostname: false,
};
const maglev: BalancePolicy = { kind: 'maglev', tableSize: 65_537, useHostname: false };
const policies: readonly BalancePolicy[] = [
  { kind: 'round-robin' },
  { kind: 'least-request', choiceCount: 2, activeRequestBias: 1 },
  { kind: 'random' },
  ringHash,
  { ...maglev, tableSize: 251 },
];

function count(
  policy: BalancePolicy,
  hosts: readonly TestHost[],
  picks: number,
  seed = 7,
): Map<string, number> {
  const balancer = createLoadBalancer(policy, hosts, seeded(seed));
  const counts = new Map<string, number>();
  for (let i = 0; i < picks; i++) {
    const name = balancer.pick({})?.name ?? 'none';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

describe('load balancing', () => {
  it.each(policies)('$kind picks nobody from an empty set', (policy) => {
    expect(createLoadBalancer(policy, [], seeded(1)).pick({ hash: 5n })).toBeUndefined();
  });

  it.each(policies)('$kind picks only hosts of its set, and with time each of them', (policy) => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }),
        fc.nat(),
        (weights, seed) => {
          const hosts = weights.map((weight, i) => host(`10.0.0.${i}:80`, weight));
          const counts = count(policy, hosts, 600, seed);
          expect([...counts.keys()].sort()).toEqual(hosts.map((h) => h.name).sort());
        },
      ),
      { numRuns: 15 },
    );
  });

  it('round robin gives each host exactly its share of the weights in every cycle', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
        fc.nat(),
        (weights, seed) => {
          const hosts = weights.map((weight, i) => host(`h${i}`, weight));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          const counts = count({ kind: 'round-robin' }, hosts, total * 10, seed);
          // Floating-point deadlines may tie either way at the cycle's edge.
          for (const h of hosts)
            expect(Math.abs((counts.get(h.name) ?? 0) - h.weight * 10)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('least request takes the less busy of two, and avoids a stuck host', () => {
    const hosts = [host('busy', 1, 100), host('a'), host('b'), host('c')];
    const counts = count({ kind: 'least-request', choiceCount: 2, activeRequestBias: 1 }, hosts, 1600);
    // Only when both choices fall on it: one in sixteen.
    expect(counts.get('busy') ?? 0).toBeLessThan(200);
  });

  it('least request with unequal weights divides the weight by the load', () => {
    const hosts = [host('heavy', 4, 3), host('light', 1, 0)];
    const counts = count({ kind: 'least-request', choiceCount: 2, activeRequestBias: 1 }, hosts, 1000);
    expect(counts.get('heavy')).toBeGreaterThan(450);
    expect(counts.get('heavy')).toBeLessThan(550);
  });
});

describe('consistent hashing', () => {
  const keys = Array.from({ length: 2000 }, (_, i) => xxHash64(`key ${i}`));

  it.each([ringHash, maglev])('$kind moves hardly more than the keys of a host that left', (policy) => {
    const hosts = Array.from({ length: 8 }, (_, i) => host(`10.0.0.${i}:80`));
    const before = createLoadBalancer(policy, hosts, seeded(1));
    const after = createLoadBalancer(policy, hosts.slice(1), seeded(2));
    const moved = keys.filter((hash) => {
      const was = before.pick({ hash })?.name;
      return was !== hosts[0]?.name && was !== after.pick({ hash })?.name;
    });
    // Maglev disturbs a few others (its paper, §5.3); in a ring the others fill it up again with new points.
    expect(moved.length).toBeLessThanOrEqual(keys.length * 0.1);
  });

  it.each([ringHash, maglev])('$kind spreads keys by weight', (policy) => {
    const hosts = [host('10.0.0.1:80', 1), host('10.0.0.2:80', 3)];
    const balancer = createLoadBalancer(policy, hosts, seeded(1));
    const share = keys.filter((hash) => balancer.pick({ hash })?.name === '10.0.0.2:80').length / keys.length;
    expect(share).toBeGreaterThan(0.65);
    expect(share).toBeLessThan(0.85);
  });

  it('hashes as the reference implementation of XXH64', () => {
    expect(xxHash64('')).toBe(0xef46db3751d8e999n);
    expect(xxHash64('a')).toBe(0xd24ec4f1a98c6e5bn);
    expect(xxHash64('abc')).toBe(0x44bc2cf5ad770999n);
    expect(xxHash64('Nobody inspects the spammish repetition')).toBe(0xfbcea83c8a378bf1n);
    expect(combineHash(undefined, 5n)).toBe(5n);
    expect(combineHash(1n << 63n, 0n)).toBe(1n);
  });
});
