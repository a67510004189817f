import { Index } from './collection-index.ts';

/** What one tick did to one key. `undefined` means absent. */
export interface Change<V> {
  readonly before: V | undefined;
  readonly after: V | undefined;
}

export type Equality<V> = (a: V, b: V) => boolean;

/**
 * Values by key. Readers outside of the graph see the state of the last finished tick and nothing else; the tick
 * in progress lives in `staged` until every collection is done.
 */
export abstract class Collection<V> {
  readonly name: string;
  /** Held as a function of `unknown` so that a `Collection<Pod>` is a `Collection<unknown>`; only ever given Vs. */
  private readonly equal: Equality<unknown>;
  private readonly committed = new Map<string, V>();
  private staged = new Map<string, Change<V>>();
  private readonly indexesByName = new Map<string, Index<V>>();

  constructor(name: string, equal: Equality<V>) {
    this.name = name;
    this.equal = equal as Equality<unknown>;
  }

  get(key: string): V | undefined {
    return this.committed.get(key);
  }

  get size(): number {
    return this.committed.size;
  }

  entries(): IterableIterator<[string, V]> {
    return this.committed.entries();
  }

  values(): IterableIterator<V> {
    return this.committed.values();
  }

  /** Groups values under zero or more keys each; look-ups then cost what they return. */
  index(name: string, keysOf: (value: V, key: string) => Iterable<string>): Index<V> {
    if (this.indexesByName.has(name)) throw new Error(`collection ${this.name} already has an index ${name}`);
    const index = new Index(this, name, keysOf);
    this.indexesByName.set(name, index);
    return index;
  }

  get indexes(): Iterable<Index<V>> {
    return this.indexesByName.values();
  }

  /** @internal What the tick in progress has changed so far. */
  get changes(): ReadonlyMap<string, Change<V>> {
    return this.staged;
  }

  /** @internal The value as the tick in progress sees it. */
  current(key: string): V | undefined {
    const change = this.staged.get(key);
    return change === undefined ? this.committed.get(key) : change.after;
  }

  /** @internal Keys as the tick in progress sees them, sorted, so that results don't depend on history. */
  currentKeys(): string[] {
    const keys: string[] = [];
    for (const key of this.committed.keys()) if (!this.staged.has(key)) keys.push(key);
    for (const [key, change] of this.staged) if (change.after !== undefined) keys.push(key);
    return keys.sort();
  }

  /** @internal The equality firewall: a value equal to the one in force keeps that one and dirties nobody. */
  stage(key: string, next: V | undefined): void {
    const now = this.current(key);
    if (now === undefined ? next === undefined : next !== undefined && this.equal(now, next)) return;
    const before = this.committed.get(key);
    for (const index of this.indexesByName.values()) index.stage(key, now, next);
    const back = before === undefined ? next === undefined : next !== undefined && this.equal(before, next);
    if (back) this.staged.delete(key);
    else this.staged.set(key, { before, after: next });
  }

  /** @internal Makes the tick visible. Synchronous, so nobody can look in between. */
  commit(): ReadonlyMap<string, Change<V>> {
    const changes = this.staged;
    for (const [key, { after }] of changes) {
      if (after === undefined) this.committed.delete(key);
      else this.committed.set(key, after);
    }
    for (const index of this.indexesByName.values()) index.commit();
    if (changes.size > 0) this.staged = new Map();
    return changes;
  }
}
