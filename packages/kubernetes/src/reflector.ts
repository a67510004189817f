import { Backoff, describeError, silentLogger, systemClock, type Clock, type Logger } from '@weft/telemetry';
import type { KubernetesClient } from './client.ts';
import { KubernetesError, apiErrorStatus, isExpired, isNotFound } from './errors.ts';
import type { KubernetesObject } from './objects.ts';
import { objectKey, type ResourceType } from './resources.ts';
import { WatchSilence } from './watch-silence.ts';

export type Change<T> =
  | { readonly kind: 'upsert'; readonly key: string; readonly object: T }
  /** `object` is the last known state. */
  | { readonly kind: 'delete'; readonly key: string; readonly object: T };

export interface ReflectorOptions<T extends KubernetesObject> {
  readonly client: Pick<KubernetesClient, 'list' | 'watch' | 'version'>;
  readonly type: ResourceType<T>;
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** The changes of one turn of the event loop, in order; never empty. */
  readonly onChange: (changes: readonly Change<T>[]) => void;
  /** Once, after the changes of the first complete set; again never. */
  readonly onSynced: () => void;
  readonly signal: AbortSignal;
  /** A type that the server doesn't know (its CRD is missing) counts as empty until it appears. */
  readonly absentIsEmpty?: boolean;
  /**
   * What the mirror keeps of an object, and later reports as deleted; `onChange` gets the whole of it. Must keep
   * name, namespace, uid and resourceVersion. For consumers that hold facts of their own about many objects.
   */
  readonly retain?: (object: T) => T;
  /** They are most of an object's bytes and no consumer reads them, so they are dropped unless asked for. */
  readonly keepManagedFields?: boolean;
  /** A watch that was open and dead has been replaced. */
  readonly onStall?: () => void;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

const INITIAL_RETRY_MS = 200;
const MAX_RETRY_MS = 30_000;
const MAX_ABSENT_RETRY_MS = 10_000;
/** The server ends a watch after 5 to 10 minutes, so that load spreads over its replicas. */
const MIN_WATCH_SECONDS = 300;
/** A watch that outlives its own timeout by this much is stuck, and cut. */
const WATCH_GRACE_MS = 30_000;
/** A server that accepts `sendInitialEvents` but doesn't know it never sends the closing bookmark. */
const WATCH_LIST_PATIENCE_MS = 30_000;
/** A watch that ended sooner than this counts as a failure, lest a broken proxy makes us spin. */
const HEALTHY_WATCH_MS = 1_000;

/**
 * Mirrors one resource of the API server and reports the differences. It starts at once and lasts until the signal.
 *
 *     synchronising ──complete set──▶ following ──410──▶ synchronising
 *      │   ▲                           │   ▲
 *      └─error, back-off               └─end or error, back-off; same resourceVersion
 *
 * Synchronising is one WatchList stream, or list then watch where the server refuses that. A complete set is compared
 * with what is known, so deletions missed while disconnected are reported too: consumers can't tell a relist from
 * ordinary changes.
 */
export class Reflector<T extends KubernetesObject> {
  /** Resolves when the reflector has stopped. */
  readonly done: Promise<void>;
  private readonly options: ReflectorOptions<T>;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly backoff: Backoff;
  private readonly objects = new Map<string, T>();
  private resourceVersion: string | undefined;
  private watchListSupported = true;
  private hasSynced = false;
  private announceSynced = false;
  private pending: Change<T>[] = [];
  private flushScheduled = false;

  constructor(options: ReflectorOptions<T>) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
    this.backoff = new Backoff({
      initialMs: INITIAL_RETRY_MS,
      maxMs: options.absentIsEmpty === true ? MAX_ABSENT_RETRY_MS : MAX_RETRY_MS,
      jitter: 0.5,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
    this.done = this.run();
  }

  /** True once a complete set has been seen; the mirror may lag behind the server, but isn't partial. */
  get synced(): boolean {
    return this.hasSynced;
  }

  get(key: string): T | undefined {
    return this.objects.get(key);
  }

  list(): IterableIterator<T> {
    return this.objects.values();
  }

  private async run(): Promise<void> {
    const { signal } = this.options;
    while (!signal.aborted) {
      const startedAt = this.clock.now();
      try {
        if (this.resourceVersion === undefined && !this.watchListSupported) await this.relist();
        await this.watch();
        if (this.clock.now() - startedAt >= HEALTHY_WATCH_MS) continue;
      } catch (error) {
        if (signal.aborted) break;
        if (this.recover(error) === 'at once') continue;
      }
      await this.clock.sleep(this.backoff.next(), signal);
    }
  }

  private recover(error: unknown): 'at once' | 'after a pause' {
    const { type, absentIsEmpty } = this.options;
    if (isExpired(error)) {
      this.resourceVersion = undefined;
      return 'after a pause';
    }
    if (this.resourceVersion === undefined && this.watchListSupported && refusesWatchList(error)) {
      this.watchListSupported = false;
      return 'at once';
    }
    if (isNotFound(error) && absentIsEmpty === true) {
      this.resourceVersion = undefined;
      this.replace(new Map());
      return 'after a pause';
    }
    this.logger.warn(`cannot watch ${type.plural}, retrying`, { error: describeError(error) });
    return 'after a pause';
  }

  private async relist(): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, signal } = this.options;
    const list = await client.list(type, { namespace, labelSelector, fieldSelector, signal });
    this.replace(new Map(list.items.map((object) => [objectKey(object), object])));
    this.resourceVersion = list.metadata.resourceVersion ?? '';
  }

  private async watch(): Promise<void> {
    const {
      client,
      type,
      namespace,
      labelSelector,
      fieldSelector,
      signal,
      random = Math.random,
    } = this.options;
    const timeoutSeconds = Math.round(MIN_WATCH_SECONDS * (1 + random()));
    const stream = new AbortController();
    const cut = (): void => stream.abort();
    signal.addEventListener('abort', cut, { once: true });
    const cancelDeadline = this.clock.schedule(timeoutSeconds * 1_000 + WATCH_GRACE_MS, cut);
    // Objects before the closing bookmark of a WatchList; undefined when following.
    let initial = this.resourceVersion === undefined ? new Map<string, T>() : undefined;
    let gaveUpOnWatchList = false;
    const cancelPatience = this.clock.schedule(WATCH_LIST_PATIENCE_MS, () => {
      gaveUpOnWatchList = initial !== undefined;
      if (gaveUpOnWatchList) cut();
    });
    const silence = new WatchSilence({
      clock: this.clock,
      probe: () => client.version(type, { namespace, labelSelector, fieldSelector, signal: stream.signal }),
      seen: () => this.resourceVersion,
      onStalled: () => {
        this.logger.warn(`the watch of ${type.plural} is silent and behind, replacing it`);
        this.options.onStall?.();
        cut();
      },
    });
    try {
      const events = client.watch(type, {
        namespace,
        labelSelector,
        fieldSelector,
        timeoutSeconds,
        signal: stream.signal,
        ...(initial === undefined ? { resourceVersion: this.resourceVersion } : { sendInitialEvents: true }),
      });
      for await (const event of events) {
        if (signal.aborted) return;
        silence.heard();
        switch (event.type) {
          case 'ERROR':
            throw new KubernetesError(`watch of ${type.plural}`, event.status.code ?? 500, event.status);
          case 'BOOKMARK':
            if (initial !== undefined) {
              if (!event.initialEventsEnd) break;
              this.replace(initial);
              initial = undefined;
            }
            this.resourceVersion = event.resourceVersion;
            this.backoff.reset();
            break;
          default:
            if (initial !== undefined) {
              if (event.type === 'DELETED') initial.delete(objectKey(event.object));
              else initial.set(objectKey(event.object), event.object);
              break;
            }
            if (event.type === 'DELETED') this.remove(objectKey(event.object), event.object);
            else this.upsert(objectKey(event.object), event.object);
            this.resourceVersion = event.object.metadata.resourceVersion ?? this.resourceVersion;
            this.backoff.reset();
        }
      }
    } finally {
      if (gaveUpOnWatchList) this.watchListSupported = false;
      silence.close();
      cancelPatience();
      cancelDeadline();
      signal.removeEventListener('abort', cut);
    }
  }

  private replace(complete: ReadonlyMap<string, T>): void {
    for (const [key, object] of this.objects) {
      if (!complete.has(key)) this.remove(key, object);
    }
    for (const [key, object] of complete) this.upsert(key, object);
    if (!this.hasSynced) {
      this.hasSynced = true;
      this.announceSynced = true;
      this.scheduleFlush();
    }
  }

  private upsert(key: string, received: T): void {
    const object = this.options.keepManagedFields === true ? received : withoutManagedFields(received);
    const known = this.objects.get(key);
    if (known !== undefined) {
      const { uid, resourceVersion } = known.metadata;
      const { metadata } = object;
      if (
        resourceVersion !== undefined &&
        resourceVersion === metadata.resourceVersion &&
        uid === metadata.uid
      )
        return;
      // Deleted and made again while nobody looked: two objects, not one that changed.
      if (uid !== metadata.uid) this.pending.push({ kind: 'delete', key, object: known });
    }
    this.objects.set(key, this.options.retain?.(object) ?? object);
    this.pending.push({ kind: 'upsert', key, object });
    this.scheduleFlush();
  }

  private remove(key: string, object: T): void {
    if (!this.objects.delete(key)) return;
    this.pending.push({ kind: 'delete', key, object });
    this.scheduleFlush();
  }

  // Callbacks run outside the loop above, so that a fault in a consumer surfaces as what it is, instead of looking
  // like a broken watch that is retried for ever.
  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    setImmediate(() => {
      this.flushScheduled = false;
      if (this.options.signal.aborted) return;
      const changes = this.pending;
      this.pending = [];
      if (changes.length > 0) this.options.onChange(changes);
      if (this.announceSynced) {
        this.announceSynced = false;
        this.options.onSynced();
      }
    });
  }
}

/** 422 is the documented refusal; 400 comes from older servers and proxies. */
function refusesWatchList(error: unknown): boolean {
  const status = apiErrorStatus(error);
  return status === 422 || status === 400;
}

function withoutManagedFields<T extends KubernetesObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
