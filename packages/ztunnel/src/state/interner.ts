/**
 * Shares equal strings and equal derived values between records. A decoded message brings a copy of every
 * string; a mesh of 100,000 workloads has a few hundred different namespaces, accounts, nodes and port maps.
 * Bounded: once full, new values are simply not shared.
 */
export class Interner {
  private readonly values = new Map<string, unknown>();

  string(value: string): string {
    if (value === '') return '';
    return this.value(`s${value}`, () => value);
  }

  value<T>(key: string, make: () => T): T {
    const known = this.values.get(key);
    if (known !== undefined) return known as T; // stored under the same key by the same kind of caller
    const made = make();
    if (this.values.size < MAX_INTERNED) this.values.set(key, made);
    return made;
  }
}

/** About 10 MB of short strings. */
const MAX_INTERNED = 100_000;
