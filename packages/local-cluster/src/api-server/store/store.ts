import { cloneJson, objectKey, type ApiObject } from '../object.ts';
import type { CommitLog, LogRecord } from './commit-log.ts';

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  /** For DELETED: the last state, with the revision of the deletion. */
  readonly object: ApiObject;
  readonly previous: ApiObject | undefined;
}

export type StoreListener = (event: StoreEvent) => void;

/** Events kept per collection, for watches that start in the past. */
export const WATCH_HISTORY_EVENTS = 1_024;

interface Collection {
  readonly objects: Map<string, ApiObject>;
  readonly listeners: Set<StoreListener>;
  /** Ring of the latest events, oldest first from `ringStart`. */
  readonly history: StoreEvent[];
  /** Every event after this revision is in `history`. */
  historyStart: number;
  sortedKeys: readonly string[] | undefined;
}

export type WatchStart =
  | { readonly kind: 'too-old'; readonly oldest: number }
  | { readonly kind: 'started'; readonly missed: readonly StoreEvent[]; readonly stop: () => void };

/**
 * All objects of the cluster in memory, one revision counter for all of them, a history for watches and a log
 * for restarts. Reads and writes are synchronous; `durable()` resolves once everything written so far is on disk.
 */
export class Store {
  private readonly collections = new Map<string, Collection>();
  private readonly log: CommitLog | undefined;
  private readonly firstRevision: number;
  private current: number;

  /** A collection is named `plural.group`, as CRDs are; the core group's is just `plural`. */
  constructor(initial?: { revision: number; records: Iterable<LogRecord> }, log?: CommitLog) {
    this.current = initial?.revision ?? 1;
    this.firstRevision = this.current;
    this.log = log;
    for (const record of initial?.records ?? []) {
      if (record.object !== undefined)
        this.collection(record.collection).objects.set(record.key, record.object);
    }
  }

  get revision(): number {
    return this.current;
  }

  get(collection: string, key: string): ApiObject | undefined {
    return this.collections.get(collection)?.objects.get(key);
  }

  /** Objects in key order, those of one namespace when it is given. */
  list(name: string, namespace?: string): readonly ApiObject[] {
    const collection = this.collections.get(name);
    if (collection === undefined) return [];
    collection.sortedKeys ??= [...collection.objects.keys()].sort();
    const prefix = namespace === undefined ? '' : `${namespace}/`;
    const found: ApiObject[] = [];
    for (const key of collection.sortedKeys) {
      const object = key.startsWith(prefix) ? collection.objects.get(key) : undefined;
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /** Stores a copy under the next revision and tells the watchers. The caller has checked for conflicts. */
  put(name: string, object: ApiObject): ApiObject {
    const collection = this.collection(name);
    const key = objectKey(object.metadata.namespace, object.metadata.name);
    const previous = collection.objects.get(key);
    const stored = this.stamp(object);
    if (previous === undefined) collection.sortedKeys = undefined;
    collection.objects.set(key, stored);
    this.log?.append({ revision: this.current, collection: name, key, object: stored });
    const type = previous === undefined ? 'ADDED' : 'MODIFIED';
    this.publish(collection, { type, revision: this.current, object: stored, previous });
    return stored;
  }

  /** Removes an object; undefined when it was not there. */
  delete(name: string, key: string): ApiObject | undefined {
    const collection = this.collections.get(name);
    const previous = collection?.objects.get(key);
    if (collection === undefined || previous === undefined) return undefined;
    const last = this.stamp(previous);
    collection.objects.delete(key);
    collection.sortedKeys = undefined;
    this.log?.append({ revision: this.current, collection: name, key });
    this.publish(collection, { type: 'DELETED', revision: this.current, object: last, previous });
    return last;
  }

  /** Calls the listener for every later event; events after `since` that already happened are returned. */
  watch(name: string, since: number, listener: StoreListener): WatchStart {
    const collection = this.collection(name);
    if (since < collection.historyStart) return { kind: 'too-old', oldest: collection.historyStart };
    const missed = collection.history.filter((event) => event.revision > since);
    return { kind: 'started', missed, stop: this.subscribe(name, listener) };
  }

  subscribe(name: string, listener: StoreListener): () => void {
    const { listeners } = this.collection(name);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  /** Listeners of a collection, for tests and metrics. */
  watcherCount(name: string): number {
    return this.collections.get(name)?.listeners.size ?? 0;
  }

  durable(): Promise<void> {
    return this.log?.flushed() ?? Promise.resolve();
  }

  async close(): Promise<void> {
    await this.log?.close();
  }

  /** Every object, for a snapshot. */
  *records(): Iterable<LogRecord> {
    for (const [collection, { objects }] of this.collections) {
      for (const [key, object] of objects)
        yield { revision: Number(object.metadata.resourceVersion), collection, key, object };
    }
  }

  private stamp(object: ApiObject): ApiObject {
    this.current += 1;
    const copy = cloneJson(object);
    copy.metadata.resourceVersion = String(this.current);
    return copy;
  }

  private publish(collection: Collection, event: StoreEvent): void {
    collection.history.push(event);
    // Trimmed in halves, so that a push stays cheap.
    if (collection.history.length >= 2 * WATCH_HISTORY_EVENTS) {
      const dropped = collection.history.splice(0, WATCH_HISTORY_EVENTS);
      collection.historyStart = dropped.at(-1)?.revision ?? collection.historyStart;
    }
    for (const listener of collection.listeners) listener(event);
  }

  private collection(name: string): Collection {
    let collection = this.collections.get(name);
    if (collection === undefined) {
      collection = {
        objects: new Map(),
        listeners: new Set(),
        history: [],
        historyStart: this.firstRevision,
        sortedKeys: undefined,
      };
      this.collections.set(name, collection);
    }
    return collection;
  }
}
