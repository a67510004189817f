import { Collection, type Equality } from './collection.ts';
import { Dependencies, type Dependency, type Fetch, type Uses } from './dependencies.ts';
import type { Index } from './collection-index.ts';

/** A collection that the graph computes. */
export abstract class DerivedCollection<V> extends Collection<V> {
  /** Everything this one reads; resolved once, when the graph is built. */
  abstract inputs(): readonly (Collection<unknown> | Index<unknown>)[];
  /** @internal Brings the staged state up to date with the inputs' staged state, one key for each step. */
  abstract update(): Generator<void, void, void>;
  /** @internal What the key was made from, for {@link lineage}. */
  abstract origins(key: string): Origins;
}

export interface Origins {
  /** Keys of the input collections whose values became this output. */
  readonly from: readonly { readonly collection: Collection<unknown>; readonly key: string }[];
  readonly reads: readonly Dependency[];
}

export interface ComputationError {
  readonly collection: string;
  readonly key: string;
  readonly error: unknown;
}

interface DerivationOptions<In, U extends Uses, V> {
  readonly name: string;
  readonly from: Collection<In>;
  readonly uses: U | (() => U);
  readonly equal: Equality<V>;
  readonly onError: (error: ComputationError) => void;
}

abstract class Derivation<In, U extends Uses, V> extends DerivedCollection<V> {
  protected readonly from: Collection<In>;
  private readonly uses: U | (() => U);
  private readonly onError: (error: ComputationError) => void;
  private resolved: { readonly uses: U; readonly dependencies: Dependencies<U> } | undefined;

  constructor(options: DerivationOptions<In, U, V>) {
    super(options.name, options.equal);
    this.from = options.from;
    this.uses = options.uses;
    this.onError = options.onError;
  }

  override inputs(): readonly (Collection<unknown> | Index<unknown>)[] {
    return [this.from, ...Object.values(this.resolve().uses)];
  }

  override *update(): Generator<void, void, void> {
    const dirty = new Set(this.from.changes.keys());
    this.dependencies.collectDirty(dirty);
    for (const key of dirty) {
      this.recompute(key);
      yield;
    }
  }

  protected get dependencies(): Dependencies<U> {
    return this.resolve().dependencies;
  }

  /** The transformation's result, or undefined when it threw: the output in force then stays in force. */
  protected attempt<T>(key: string, transform: (fetch: Fetch<U>) => T): { readonly result: T } | undefined {
    try {
      return { result: this.dependencies.record(key, transform) };
    } catch (error) {
      this.onError({ collection: this.name, key, error });
      return undefined;
    }
  }

  protected abstract recompute(key: string): void;

  private resolve(): { readonly uses: U; readonly dependencies: Dependencies<U> } {
    if (this.resolved === undefined) {
      const uses = typeof this.uses === 'function' ? this.uses() : this.uses;
      this.resolved = { uses, dependencies: new Dependencies(uses) };
    }
    return this.resolved;
  }
}

/** One output, or none, for each input, under the same key. */
export class MappedCollection<In, U extends Uses, V> extends Derivation<In, U, V> {
  private readonly transform: (value: In, fetch: Fetch<U>, key: string) => V | undefined;

  constructor(
    options: DerivationOptions<In, U, V> & {
      readonly transform: (value: In, fetch: Fetch<U>, key: string) => V | undefined;
    },
  ) {
    super(options);
    this.transform = options.transform;
  }

  override origins(key: string): Origins {
    return { from: [{ collection: this.from, key }], reads: this.dependencies.of(key) };
  }

  protected override recompute(key: string): void {
    const input = this.from.current(key);
    if (input === undefined) {
      this.dependencies.forget(key);
      this.stage(key, undefined);
      return;
    }
    const attempt = this.attempt(key, (fetch) => this.transform(input, fetch, key));
    if (attempt !== undefined) this.stage(key, attempt.result);
  }
}

/**
 * Any number of outputs for each input, under keys of their own. Where two inputs claim one key the input whose
 * key sorts first wins, whichever came first, so that the result doesn't depend on history.
 */
export class FlatMappedCollection<In, U extends Uses, V> extends Derivation<In, U, V> {
  private readonly transform: (value: In, fetch: Fetch<U>, key: string) => Iterable<readonly [string, V]>;
  private readonly outputs = new Map<string, ReadonlyMap<string, V>>();
  /** Output key to the input keys that claim it. */
  private readonly claims = new Map<string, readonly string[]>();

  constructor(
    options: DerivationOptions<In, U, V> & {
      readonly transform: (value: In, fetch: Fetch<U>, key: string) => Iterable<readonly [string, V]>;
    },
  ) {
    super(options);
    this.transform = options.transform;
  }

  override origins(key: string): Origins {
    const claims = this.claims.get(key) ?? [];
    return {
      from: claims.map((from) => ({ collection: this.from, key: from })),
      reads: claims.flatMap((from) => this.dependencies.of(from)),
    };
  }

  protected override recompute(key: string): void {
    const input = this.from.current(key);
    if (input === undefined) {
      this.dependencies.forget(key);
      this.replaceOutputs(key, new Map());
      return;
    }
    const attempt = this.attempt(key, (fetch) => new Map(this.transform(input, fetch, key)));
    if (attempt !== undefined) this.replaceOutputs(key, attempt.result);
  }

  private replaceOutputs(input: string, next: ReadonlyMap<string, V>): void {
    const before = this.outputs.get(input) ?? new Map<string, V>();
    if (next.size === 0) this.outputs.delete(input);
    else this.outputs.set(input, next);
    for (const output of before.keys()) if (!next.has(output)) this.claim(output, input, false);
    for (const output of next.keys()) this.claim(output, input, true);
  }

  private claim(output: string, input: string, present: boolean): void {
    const others = (this.claims.get(output) ?? []).filter((claimant) => claimant !== input);
    const claims = present ? [...others, input].sort() : others;
    if (claims.length === 0) this.claims.delete(output);
    else this.claims.set(output, claims);
    const [winner] = claims;
    this.stage(output, winner === undefined ? undefined : this.outputs.get(winner)?.get(output));
  }
}

/** The union of several collections; where they share a key, the first that has it wins. */
export class JoinedCollection<V> extends DerivedCollection<V> {
  private readonly parts: readonly Collection<V>[];

  constructor(name: string, equal: Equality<V>, parts: readonly Collection<V>[]) {
    super(name, equal);
    this.parts = parts;
  }

  override inputs(): readonly Collection<V>[] {
    return this.parts;
  }

  override *update(): Generator<void, void, void> {
    const dirty = new Set(this.parts.flatMap((part) => [...part.changes.keys()]));
    for (const key of dirty) {
      this.stage(key, this.firstWith(key)?.current(key));
      yield;
    }
  }

  override origins(key: string): Origins {
    const part = this.firstWith(key);
    return { from: part === undefined ? [] : [{ collection: part, key }], reads: [] };
  }

  private firstWith(key: string): Collection<V> | undefined {
    return this.parts.find((part) => part.current(key) !== undefined);
  }
}
