import { singleAddress } from '../ambient/cluster-names.ts';
import type { ServiceEntryFacts } from '../sources/entries.ts';

/**
 * Who has which address of the pools from which is allocated. What users wrote into an entry goes before what was
 * allocated to another; of two that were allocated one address, whoever was noted first keeps it. A range claims
 * nothing: data planes look for the address itself first, and one entry must not take all of the pool.
 */
export class ClaimedAddresses {
  /** Allocated ones, by value: the entries' own status, and what was written and hasn't come back yet. */
  private readonly allocated = new Map<string, string>();
  /** Users' own, by entry. */
  private readonly written = new Map<string, ReadonlySet<string>>();
  private readonly writers = new Map<string, Set<string>>();

  /** @returns the entries to which something was allocated that this one now claims */
  note(key: string, { spec, allocated }: ServiceEntryFacts): readonly string[] {
    this.take(
      key,
      allocated.map(({ value }) => value),
    );
    this.forgetWritten(key);
    const written = new Set((spec.addresses ?? []).flatMap((text) => singleAddress(text) ?? []));
    if (written.size > 0) this.written.set(key, written);
    const losers = new Set<string>();
    for (const value of written) {
      this.writers.set(value, (this.writers.get(value) ?? new Set<string>()).add(key));
      const owner = this.allocated.get(value);
      if (owner !== undefined && owner !== key) losers.add(owner);
    }
    return [...losers];
  }

  take(key: string, values: readonly string[]): void {
    for (const value of values) if (!this.allocated.has(value)) this.allocated.set(value, key);
  }

  release(key: string): void {
    for (const [value, owner] of this.allocated) if (owner === key) this.allocated.delete(value);
    this.forgetWritten(key);
  }

  /** Whether an entry can't have an address, because it is another's. */
  isTaken(value: string, key: string): boolean {
    if ((this.allocated.get(value) ?? key) !== key) return true;
    for (const writer of this.writers.get(value) ?? []) if (writer !== key) return true;
    return false;
  }

  private forgetWritten(key: string): void {
    for (const value of this.written.get(key) ?? []) {
      const writers = this.writers.get(value);
      writers?.delete(key);
      if (writers?.size === 0) this.writers.delete(value);
    }
    this.written.delete(key);
  }
}
