import type { Change, Collection, Equality } from './collection.ts';
import type { Fetch, Uses } from './dependencies.ts';
import {
  type ComputationError,
  type DerivedCollection,
  FlatMappedCollection,
  JoinedCollection,
  MappedCollection,
} from './derived.ts';
import { deepEqual } from './equality.ts';
import { type LineageNode, lineage } from './lineage.ts';
import { SourceCollection } from './source.ts';
import { topologicalOrder } from './topological-order.ts';

export interface GraphOptions {
  /** How long one slice of a tick may hold the event loop. */
  readonly sliceMs?: number;
  /** A transformation or a subscriber threw. The key keeps its last output. */
  readonly onError?: (error: ComputationError) => void;
  /** A tick is over, with its subscribers. */
  readonly onTick?: (ms: number) => void;
  /** Runs the callback after pending I/O; tests pass their own. */
  readonly defer?: (callback: () => void) => void;
  readonly now?: () => number;
}

/** Everything one tick changed, in all collections at once. */
export interface ChangeSet {
  readonly tick: number;
  of<V>(collection: Collection<V>): ReadonlyMap<string, Change<V>>;
}

export interface GraphStatistics {
  readonly ticks: number;
  readonly slices: number;
  readonly lastTickMs: number;
  readonly collections: readonly {
    readonly name: string;
    readonly size: number;
    readonly recomputed: number;
    readonly inputs: readonly string[];
  }[];
}

const DEFAULT_SLICE_MS = 5;

interface DeriveOptions<In, U extends Uses, Result, V> {
  readonly from: Collection<In>;
  /** A function where the graph is woven in several places; it is called once, by {@link Graph.build}. */
  readonly uses?: U | (() => U);
  /** Structural equality unless told otherwise. */
  readonly equal?: Equality<V>;
  readonly transform: (value: In, fetch: Fetch<U>, key: string) => Result;
}

/**
 * One scheduler over all collections of a process.
 *
 *   sources ──set/delete──▶ pending ──tick──▶ staged, in topological order ──▶ commit ──▶ one ChangeSet
 *
 * A tick takes what the sources collected, recomputes dirty keys only, yields between slices, and becomes visible
 * at once. What arrives during a tick waits for the next one.
 */
export class Graph {
  private readonly sources: SourceCollection<unknown>[] = [];
  private readonly derived: DerivedCollection<unknown>[] = [];
  private readonly byName = new Map<string, Collection<unknown>>();
  private readonly recomputed = new Map<string, number>();
  private readonly subscribers = new Set<(changes: ChangeSet) => void>();
  private readonly onError: (error: ComputationError) => void;
  private readonly onTick: (ms: number) => void;
  private readonly defer: (callback: () => void) => void;
  private readonly now: () => number;
  private readonly sliceMs: number;
  private order: readonly DerivedCollection<unknown>[] | undefined;
  private state: 'building' | 'idle' | 'scheduled' | 'running' | 'closed' = 'building';
  private running: Generator<void, void, void> | undefined;
  private waiting: (() => void)[] = [];
  private ticks = 0;
  private slices = 0;
  private lastTickMs = 0;

  constructor(options: GraphOptions = {}) {
    this.sliceMs = options.sliceMs ?? DEFAULT_SLICE_MS;
    this.onError = options.onError ?? (() => undefined);
    this.onTick = options.onTick ?? (() => undefined);
    this.defer = options.defer ?? ((callback) => void setImmediate(callback));
    this.now = options.now ?? (() => performance.now());
  }

  source<V>(name: string, options: { readonly equal?: Equality<V> } = {}): SourceCollection<V> {
    const source = new SourceCollection<V>(name, options.equal ?? deepEqual, () => this.wake());
    this.register(source);
    this.sources.push(source);
    return source;
  }

  /** One output, or none, for each input, under the same key. */
  map<In, V, U extends Uses = Record<never, never>>(
    name: string,
    options: DeriveOptions<In, U, V | undefined, V>,
  ): Collection<V> {
    return this.addDerived(
      new MappedCollection<In, U, V>({ ...this.derivation(name, options), transform: options.transform }),
    );
  }

  /** Any number of outputs for each input, under keys of their own. */
  flatMap<In, V, U extends Uses = Record<never, never>>(
    name: string,
    options: DeriveOptions<In, U, Iterable<readonly [string, V]>, V>,
  ): Collection<V> {
    return this.addDerived(
      new FlatMappedCollection<In, U, V>({ ...this.derivation(name, options), transform: options.transform }),
    );
  }

  /** The union; where collections share a key, the first that has it wins. */
  join<V>(
    name: string,
    parts: readonly Collection<V>[],
    options: { readonly equal?: Equality<V> } = {},
  ): Collection<V> {
    return this.addDerived(new JoinedCollection<V>(name, options.equal ?? deepEqual, parts));
  }

  /** Closes the graph for additions and starts computing. Throws where collections depend on each other. */
  build(): void {
    if (this.state !== 'building') throw new Error('the graph is already built');
    this.order = topologicalOrder(this.derived);
    this.state = 'idle';
    if (this.sources.some((source) => source.hasPending)) this.wake();
  }

  /** Called once after each tick that changed anything. Returns how to stop. */
  subscribe(subscriber: (changes: ChangeSet) => void): () => void {
    this.subscribers.add(subscriber);
    return () => void this.subscribers.delete(subscriber);
  }

  /** Finishes the tick in progress and runs those that are due, without yielding. For start-up and tests. */
  flush(): void {
    if (this.state === 'building' || this.state === 'closed') return;
    do {
      this.running ??= this.tick();
      for (const _ of this.running); // drains what an earlier slice began, too
      this.running = undefined;
    } while (this.sources.some((source) => source.hasPending));
    this.rest();
  }

  /** Resolves when everything written before has become visible. Never after {@link close}. */
  settled(): Promise<void> {
    if (this.state === 'building') throw new Error('the graph is not built yet');
    if (this.state === 'idle') return Promise.resolve();
    return new Promise((resolve) => void this.waiting.push(resolve));
  }

  /** No tick begins or goes on after this; what was visible stays readable. */
  close(): void {
    this.state = 'closed';
    this.running = undefined;
    this.subscribers.clear();
  }

  collection(name: string): Collection<unknown> | undefined {
    return this.byName.get(name);
  }

  /** The inputs that made an output key, recursively, bounded; undefined for an unknown collection. */
  lineage(name: string, key: string): LineageNode | undefined {
    const collection = this.byName.get(name);
    return collection === undefined ? undefined : lineage(collection, key);
  }

  statistics(): GraphStatistics {
    const { ticks, slices, lastTickMs } = this;
    const inputs = new Map(this.derived.map((d) => [d.name, d.inputs().map(describeInput)]));
    const collections = [...this.byName.values()].map(({ name, size }) => ({
      name,
      size,
      recomputed: this.recomputed.get(name) ?? 0,
      inputs: inputs.get(name) ?? [],
    }));
    return { ticks, slices, lastTickMs, collections };
  }

  private derivation<In, U extends Uses, V>(
    name: string,
    options: Pick<DeriveOptions<In, U, unknown, V>, 'from' | 'uses' | 'equal'>,
  ) {
    return {
      name,
      from: options.from,
      uses: options.uses ?? ({} as U), // U is the empty record when nothing was given
      equal: options.equal ?? deepEqual,
      onError: this.onError,
    };
  }

  private addDerived<V>(collection: DerivedCollection<V>): Collection<V> {
    this.register(collection);
    this.derived.push(collection);
    return collection;
  }

  private register(collection: Collection<unknown>): void {
    if (this.state !== 'building')
      throw new Error(`collection ${collection.name} was added to a graph already built`);
    if (this.byName.has(collection.name)) throw new Error(`two collections are named ${collection.name}`);
    this.byName.set(collection.name, collection);
  }

  private wake(): void {
    if (this.state !== 'idle') return;
    this.state = 'scheduled';
    this.defer(() => this.runSlice());
  }

  private runSlice(): void {
    if (this.state !== 'scheduled' && this.state !== 'running') return;
    this.state = 'running';
    this.slices++;
    this.running ??= this.tick();
    const until = this.now() + this.sliceMs;
    for (;;) {
      if (this.running.next().done === true) break;
      if (this.now() >= until) {
        this.defer(() => this.runSlice());
        return;
      }
    }
    this.running = undefined;
    this.rest();
  }

  private rest(): void {
    if (this.state === 'closed') return; // by a subscriber
    this.state = 'idle';
    if (this.sources.some((source) => source.hasPending)) return this.wake();
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  private *tick(): Generator<void, void, void> {
    const began = this.now();
    for (const source of this.sources) source.stagePending();
    for (const collection of this.order ?? []) {
      let recomputed = 0;
      for (const _ of collection.update()) {
        recomputed++;
        yield;
      }
      if (recomputed > 0)
        this.recomputed.set(collection.name, (this.recomputed.get(collection.name) ?? 0) + recomputed);
    }
    this.commit();
    this.lastTickMs = this.now() - began;
    this.onTick(this.lastTickMs);
  }

  private commit(): void {
    const changed = new Map<Collection<unknown>, ReadonlyMap<string, Change<unknown>>>();
    for (const collection of this.byName.values()) {
      const changes = collection.commit();
      if (changes.size > 0) changed.set(collection, changes);
    }
    this.ticks++;
    if (changed.size === 0) return;
    const changeSet: ChangeSet = {
      tick: this.ticks,
      // A collection's own changes have its value type; the map above can't say so.
      of: <V>(collection: Collection<V>) =>
        (changed.get(collection) ?? noChanges) as ReadonlyMap<string, Change<V>>,
    };
    for (const subscriber of this.subscribers) {
      try {
        subscriber(changeSet);
      } catch (error) {
        this.onError({ collection: 'subscriber', key: String(changeSet.tick), error });
      }
    }
  }
}

const noChanges: ReadonlyMap<string, Change<unknown>> = new Map();

function describeInput(input: ReturnType<DerivedCollection<unknown>['inputs']>[number]): string {
  return 'collection' in input ? `${input.collection.name}[${input.name}]` : input.name;
}
