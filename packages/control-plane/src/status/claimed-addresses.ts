import { addressBytes, parseCidr } from '../ambient/addresses.ts';
import type { ServiceEntryFacts } from '../sources/entries.ts';

type Range = NonNullable<ReturnType<typeof parseCidr>>;

/** From which addresses are allocated: 240.240.0.0/16 and 2001:2::/48. */
const pools = ['240.240.0.0/16', '2001:2::/48'].flatMap((text) => parseCidr(text) ?? []);

/**
 * Who has which address of the pools. What users wrote into an entry goes before what was allocated to another; of two
 * that were allocated one address, whoever was noted first keeps it.
 */
export class ClaimedAddresses {
  /** Allocated ones, by value: the entries' own status, and what was written and hasn't come back yet. */
  private readonly allocated = new Map<string, string>();
  /** Users' own, by entry. */
  private readonly written = new Map<string, readonly Range[]>();

  /** @returns the entries to which something was allocated that this one now claims */
  note(key: string, { spec, allocated }: ServiceEntryFacts): readonly string[] {
    this.take(
      key,
      allocated.map(({ value }) => value),
    );
    const ranges = (spec.addresses ?? [])
      .flatMap((text) => parseCidr(text) ?? [])
      .filter((range) => pools.some((pool) => overlap(pool, range)));
    if (ranges.length === 0) {
      this.written.delete(key);
      return [];
    }
    this.written.set(key, ranges);
    const losers = [...this.allocated].filter(([value, owner]) => owner !== key && covers(ranges, value));
    return [...new Set(losers.map(([, owner]) => owner))];
  }

  take(key: string, values: readonly string[]): void {
    for (const value of values) if (!this.allocated.has(value)) this.allocated.set(value, key);
  }

  release(key: string): void {
    for (const [value, owner] of this.allocated) if (owner === key) this.allocated.delete(value);
    this.written.delete(key);
  }

  /** Whether an entry can't have an address, because it is another's. */
  isTaken(value: string, key: string): boolean {
    if ((this.allocated.get(value) ?? key) !== key) return true;
    for (const [owner, ranges] of this.written) if (owner !== key && covers(ranges, value)) return true;
    return false;
  }
}

function covers(ranges: readonly Range[], value: string): boolean {
  const address = addressBytes(value);
  if (address === undefined) return false;
  return ranges.some((range) => overlap(range, { address, length: address.length * 8 }));
}

/** Of one family, and equal as far as the shorter of the two says. */
function overlap(a: Range, b: Range): boolean {
  if (a.address.length !== b.address.length) return false;
  const length = Math.min(a.length, b.length);
  return a.address.every((byte, i) => {
    const mask = 0xff << (8 - Math.min(Math.max(length - i * 8, 0), 8));
    return ((byte ^ (b.address[i] ?? 0)) & mask & 0xff) === 0;
  });
}
