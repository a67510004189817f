import type { Collection } from './collection.ts';
import { Index } from './collection-index.ts';

/** What a derivation may read besides its own input. Naming it here is what makes a cycle detectable. */
export type Uses = Readonly<Record<string, Collection<unknown> | Index<unknown>>>;

export interface CollectionReader<V> {
  get(key: string): V | undefined;
  /** Everything, sorted by key. The caller is recomputed after any change: for small collections. */
  all(): readonly V[];
}

export interface IndexReader<V> {
  /** Sorted by the values' own keys. */
  lookup(at: string): readonly V[];
}

/** One typed reader for each collection and index that a derivation uses. */
export type Fetch<U extends Uses> = {
  readonly [K in keyof U]: U[K] extends Index<infer V>
    ? IndexReader<V>
    : U[K] extends Collection<infer V>
      ? CollectionReader<V>
      : never;
};

/** One thing that was read: an object by key, an index by key, or a whole collection. Shared by its readers. */
export interface Dependency {
  readonly input: Input;
  readonly read: string | typeof wholeCollection;
  /** Keys of the derivation that read this; one bare string until there are two. */
  dependents: string | Set<string> | undefined;
  /** The run that last recorded it, so that reading twice costs nothing. */
  run: number;
}
export const wholeCollection: unique symbol = Symbol('whole collection');

interface Input {
  readonly of: Collection<unknown> | Index<unknown>;
  readonly byRead: Map<string | typeof wholeCollection, Dependency>;
}

/**
 * Which key of one derivation has read what, in both directions. Replaced by each run, so a dependency lives
 * exactly as long as the last run needed it.
 */
export class Dependencies<U extends Uses> {
  readonly fetch: Fetch<U>;
  private readonly inputs: readonly Input[];
  private readonly byKey = new Map<string, readonly Dependency[]>();
  private reads: Dependency[] = [];
  private run = 0;

  constructor(uses: U) {
    const readers: Record<string, CollectionReader<unknown> | IndexReader<unknown>> = {};
    const inputs: Input[] = [];
    for (const [name, of] of Object.entries(uses)) {
      const input: Input = { of, byRead: new Map() };
      inputs.push(input);
      readers[name] = of instanceof Index ? this.indexReader(input, of) : this.collectionReader(input, of);
    }
    this.inputs = inputs;
    this.fetch = readers as Fetch<U>; // built from `uses` key by key just above
  }

  /** Runs a computation for a key and replaces what that key depends on, even when it throws. */
  record<T>(key: string, compute: (fetch: Fetch<U>) => T): T {
    this.run++;
    this.reads = [];
    try {
      return compute(this.fetch);
    } finally {
      this.replace(key, this.reads);
    }
  }

  forget(key: string): void {
    this.run++;
    this.replace(key, []);
  }

  /** Adds the keys whose inputs the tick in progress has changed. */
  collectDirty(dirty: Set<string>): void {
    for (const { of, byRead } of this.inputs) {
      if (byRead.size === 0) continue;
      const touched = of instanceof Index ? of.touched : of.changes;
      if (touched.size === 0) continue;
      for (const read of touched.keys()) addDependents(byRead.get(read), dirty);
      addDependents(byRead.get(wholeCollection), dirty);
    }
  }

  of(key: string): readonly Dependency[] {
    return this.byKey.get(key) ?? [];
  }

  private collectionReader(input: Input, collection: Collection<unknown>): CollectionReader<unknown> {
    return {
      get: (key) => {
        this.depend(input, key);
        return collection.current(key);
      },
      all: () => {
        this.depend(input, wholeCollection);
        return collection.currentKeys().map((key) => collection.current(key));
      },
    };
  }

  private indexReader(input: Input, index: Index<unknown>): IndexReader<unknown> {
    return {
      lookup: (at) => {
        this.depend(input, at);
        return index.currentKeys(at).map((key) => index.collection.current(key));
      },
    };
  }

  private depend(input: Input, read: string | typeof wholeCollection): void {
    let dependency = input.byRead.get(read);
    if (dependency === undefined) {
      dependency = { input, read, dependents: undefined, run: 0 };
      input.byRead.set(read, dependency);
    }
    if (dependency.run === this.run) return;
    dependency.run = this.run;
    this.reads.push(dependency);
  }

  private replace(key: string, reads: readonly Dependency[]): void {
    for (const dependency of reads) addDependent(dependency, key);
    for (const dependency of this.byKey.get(key) ?? []) {
      if (dependency.run !== this.run) removeDependent(dependency, key);
    }
    if (reads.length === 0) this.byKey.delete(key);
    else this.byKey.set(key, reads);
  }
}

function addDependent(dependency: Dependency, key: string): void {
  const { dependents } = dependency;
  if (dependents === undefined) dependency.dependents = key;
  else if (typeof dependents !== 'string') dependents.add(key);
  else if (dependents !== key) dependency.dependents = new Set([dependents, key]);
}

function removeDependent(dependency: Dependency, key: string): void {
  const { dependents } = dependency;
  if (dependents === key) dependency.dependents = undefined;
  else if (typeof dependents === 'object') {
    dependents.delete(key);
    if (dependents.size === 0) dependency.dependents = undefined;
  }
  if (dependency.dependents === undefined) dependency.input.byRead.delete(dependency.read);
}

function addDependents(dependency: Dependency | undefined, dirty: Set<string>): void {
  const dependents = dependency?.dependents;
  if (dependents === undefined) return;
  if (typeof dependents === 'string') dirty.add(dependents);
  else for (const key of dependents) dirty.add(key);
}
