import type { Collection } from './collection.ts';
import { Multimap } from './multimap.ts';

/** A collection seen by other keys: node, IP, `namespace/label=value`. Made by {@link Collection.index}. */
export class Index<V> {
  readonly collection: Collection<V>;
  readonly name: string;
  /** A function of `unknown` so that an `Index<Pod>` is an `Index<unknown>`; only ever given Vs. */
  private readonly keysOf: (value: unknown, key: string) => Iterable<string>;
  private readonly committed = new Multimap();
  /** Index key to members that the tick in progress added (true) or removed (false). */
  private readonly staged = new Map<string, Map<string, boolean>>();
  private readonly touchedKeys = new Set<string>();

  constructor(collection: Collection<V>, name: string, keysOf: (value: V, key: string) => Iterable<string>) {
    this.collection = collection;
    this.name = name;
    this.keysOf = keysOf as (value: unknown, key: string) => Iterable<string>;
    for (const [key, value] of collection.entries())
      for (const at of keysOf(value, key)) this.committed.add(at, key);
  }

  /** Values under an index key after the last finished tick, sorted by their own key. */
  lookup(at: string): V[] {
    const found: V[] = [];
    for (const key of [...this.committed.get(at)].sort()) {
      const value = this.collection.get(key);
      if (value !== undefined) found.push(value);
    }
    return found;
  }

  /** @internal Index keys under which the tick in progress changed anything, a member's value included. */
  get touched(): ReadonlySet<string> {
    return this.touchedKeys;
  }

  /** @internal Member keys as the tick in progress sees them, sorted. */
  currentKeys(at: string): string[] {
    const staged = this.staged.get(at);
    const members = [...this.committed.get(at)];
    if (staged === undefined) return members.length > 1 ? members.sort() : members;
    const now = new Set(members);
    for (const [key, present] of staged) {
      if (present) now.add(key);
      else now.delete(key);
    }
    return [...now].sort();
  }

  /** @internal */
  stage(key: string, before: V | undefined, after: V | undefined): void {
    if (before !== undefined) for (const at of this.keysOf(before, key)) this.stageMember(at, key, false);
    if (after !== undefined) for (const at of this.keysOf(after, key)) this.stageMember(at, key, true);
  }

  /** @internal */
  commit(): void {
    for (const [at, members] of this.staged) {
      for (const [key, present] of members) {
        if (present) this.committed.add(at, key);
        else this.committed.delete(at, key);
      }
    }
    this.staged.clear();
    this.touchedKeys.clear();
  }

  private stageMember(at: string, key: string, present: boolean): void {
    this.touchedKeys.add(at);
    const members = this.staged.get(at);
    if (members === undefined) this.staged.set(at, new Map([[key, present]]));
    else members.set(key, present);
  }
}
