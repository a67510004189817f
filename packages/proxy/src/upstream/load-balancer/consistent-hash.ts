import type { Balanced, BalanceContext, LoadBalancer, Random } from './load-balancer.ts';
import { xxHash64 } from './xx-hash.ts';

/** Ketama ring: each host has points in proportion to its weight; a key goes to the next point. */
export class RingHash<T extends Balanced> implements LoadBalancer<T> {
  private readonly points: BigUint64Array;
  private readonly owners: readonly T[];
  private readonly random: Random;

  constructor(
    hosts: readonly T[],
    random: Random,
    o: { readonly minimumRingSize: number; readonly maximumRingSize: number },
  ) {
    this.random = random;
    const ring = ringPoints(hosts, o.minimumRingSize, o.maximumRingSize);
    this.points = BigUint64Array.from(ring, (p) => p.hash);
    this.owners = ring.map((p) => p.host);
  }

  get size(): number {
    return this.owners.length;
  }

  pick({ hash }: BalanceContext): T | undefined {
    const { points, owners } = this;
    let low = 0;
    let high = points.length;
    const key = hash ?? randomHash(this.random);
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((points[middle] ?? 0n) < key) low = middle + 1;
      else high = middle;
    }
    return owners[low % owners.length];
  }
}

interface RingPoint<T> {
  readonly hash: bigint;
  readonly host: T;
}

function ringPoints<T extends Balanced>(
  hosts: readonly T[],
  minimum: number,
  maximum: number,
): RingPoint<T>[] {
  const total = hosts.reduce((sum, host) => sum + host.weight, 0);
  if (total === 0) return [];
  // The lightest host gets a whole number of points, so that small weights don't vanish.
  const lightest =
    hosts.reduce((least, host) => Math.min(least, host.weight), Number.POSITIVE_INFINITY) / total;
  const scale = Math.min((Math.ceil(lightest * minimum) || 1) / lightest, maximum);
  const points: RingPoint<T>[] = [];
  let target = 0;
  for (const host of hosts) {
    target += (scale * host.weight) / total;
    for (let i = 0; points.length < Math.round(target); i++) {
      points.push({ hash: xxHash64(`${host.hashKey}_${i}`), host });
    }
  }
  return points.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
}

/** Maglev: a table of prime size that hosts fill in turn, each by its own permutation. */
export class Maglev<T extends Balanced> implements LoadBalancer<T> {
  private readonly table: Uint32Array;
  private readonly hosts: readonly T[];
  private readonly random: Random;

  constructor(hosts: readonly T[], random: Random, o: { readonly tableSize: number }) {
    this.hosts = hosts;
    this.random = random;
    this.table = maglevTable(hosts, o.tableSize);
  }

  pick({ hash }: BalanceContext): T | undefined {
    if (this.hosts.length === 0) return undefined;
    const slot = Number((hash ?? randomHash(this.random)) % BigInt(this.table.length));
    return this.hosts[this.table[slot] ?? 0];
  }
}

const EMPTY = 0xffff_ffff;

function maglevTable(hosts: readonly Balanced[], size: number): Uint32Array {
  const table = new Uint32Array(size).fill(EMPTY);
  if (hosts.length === 0) return table;
  const heaviest = hosts.reduce((most, host) => Math.max(most, host.weight), 0);
  const builders = hosts.map((host, index) => ({
    index,
    share: host.weight / heaviest,
    offset: Number(xxHash64(host.hashKey) % BigInt(size)),
    skip: Number(xxHash64(host.hashKey, 1n) % BigInt(size - 1)) + 1,
    next: 0,
    taken: 0,
  }));
  let filled = 0;
  for (let turn = 1; filled < size; turn++) {
    for (const builder of builders) {
      if (filled === size) break;
      // A lighter host sits out the turns that would take it beyond its share.
      if (turn * builder.share < builder.taken + 1) continue;
      let slot: number;
      do slot = (builder.offset + builder.skip * builder.next++) % size;
      while (table[slot] !== EMPTY);
      table[slot] = builder.index;
      builder.taken++;
      filled++;
    }
  }
  return table;
}

function randomHash(random: Random): bigint {
  return (BigInt(Math.floor(random() * 2 ** 32)) << 32n) | BigInt(Math.floor(random() * 2 ** 32));
}
