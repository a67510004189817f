import ipaddr from 'ipaddr.js';

export interface IpRange {
  readonly bytes: readonly number[];
  readonly prefixLength: number;
}

interface Entry<T> {
  readonly value: T;
  readonly exclusive: boolean;
}

/** @returns undefined when the text is no address or the length too long for its family */
export function parseRange(address: string, prefixLength: number): IpRange | undefined {
  if (!ipaddr.isValid(address)) return undefined;
  const bytes = ipaddr.parse(address).toByteArray();
  return prefixLength <= bytes.length * 8 ? { bytes, prefixLength } : undefined;
}

/** Values by address range; one hash look-up for each prefix length in use, longest first. */
export class IpRangeTable<T> {
  private readonly byLength = new Map<number, Map<string, Entry<T>>>();
  private lengths: readonly number[] = [];

  /** A range that is there already keeps its first value. */
  add(range: IpRange, entry: Entry<T>): void {
    const family = range.bytes.length;
    const length = family * 1_000 + range.prefixLength;
    let ranges = this.byLength.get(length);
    if (ranges === undefined) {
      ranges = new Map();
      this.byLength.set(length, ranges);
      this.lengths = [...this.byLength.keys()].sort((a, b) => b - a);
    }
    const key = prefixKey(range.bytes, range.prefixLength);
    if (!ranges.has(key)) ranges.set(key, entry);
  }

  /** Entries whose range contains the address, longest prefix first. */
  *lookup(address: string): IterableIterator<Entry<T>> {
    if (!ipaddr.isValid(address)) return;
    const bytes = ipaddr.process(address).toByteArray();
    for (const length of this.lengths) {
      if (Math.floor(length / 1_000) !== bytes.length) continue;
      const entry = this.byLength.get(length)?.get(prefixKey(bytes, length % 1_000));
      if (entry !== undefined) yield entry;
    }
  }
}

function prefixKey(bytes: readonly number[], prefixLength: number): string {
  const whole = prefixLength >> 3;
  const rest = prefixLength & 7;
  let key = '';
  for (let i = 0; i < whole; i++) key += String.fromCharCode(bytes[i] ?? 0);
  if (rest > 0) key += String.fromCharCode((bytes[whole] ?? 0) & (0xff << (8 - rest)) & 0xff);
  return key;
}
