/**
 * Shares equal strings and equal derived values between records. A decoded message brings a copy of every
 * string; a mesh of 100,000 workloads has a few hundred different namespaces, accounts, nodes and port maps.
 * Bounded: what nobody brought again among the last so many different values is shared no more.
 */
export class Interner {
  private readonly limit: number;
  private recent = new Map<string, unknown>();
  /** What was recent before that: asked once more, and then forgotten with what did not come again. */
  private former = new Map<string, unknown>();

  constructor(limit = MAX_INTERNED) {
    this.limit = limit;
  }

  string(value: string): string {
    if (value === '') return '';
    return this.value(`s${value}`, () => value);
  }

  value<T>(key: string, make: () => T): T {
    if (key.length > MAX_INTERNED_LENGTH) return make();
    const known = this.recent.get(key);
    if (known !== undefined) return known as T; // stored under the same key by the same kind of caller
    const value = (this.former.get(key) as T | undefined) ?? make(); // as above
    if (this.recent.size >= this.limit / 2) {
      this.former = this.recent;
      this.recent = new Map();
    }
    this.recent.set(key, value);
    return value;
  }
}

/** About 10 MB of short strings. */
const MAX_INTERNED = 100_000;
/** Whatever is longer is no name, and shared by nobody. */
const MAX_INTERNED_LENGTH = 4_096;
