import type { PushedResource, ResourceConsumer, ResourcePush } from '@weft/xds';
import { describeError, type Clock } from '@weft/telemetry';
import { ConfigError } from '../engine/types.ts';

export interface ResourceWatcher {
  /** Throws when the resource can't be used; its message becomes the NACK. */
  readonly check: (bytes: Uint8Array) => void;
  readonly onChange: (bytes: Uint8Array, versionInfo: string) => void;
  /** `initial_fetch_timeout` has passed without the resource. */
  readonly onMissing: () => void;
}

/** A resource that somebody follows, for `config_dump`. */
export interface WatchedResource {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

interface Entry {
  readonly watchers: Set<ResourceWatcher>;
  current?: WatchedResource;
}

export interface WatchedResourcesOptions {
  readonly typeUrl: string;
  readonly clock: Clock;
  /** The names that are followed have changed. */
  readonly onNames: (names: readonly string[]) => void;
  /** Throws when the resource can't be used, whoever watches it. */
  readonly check?: (name: string, bytes: Uint8Array) => void;
}

/**
 * Resources that are followed by name: EDS, RDS, SDS. A name is asked for while somebody watches it; whoever comes
 * later gets what is known at once. A resource that its watchers refuse leaves the last good one in force; what the
 * server removes stays (Envoy ignores removals of these types).
 */
export class WatchedResources implements ResourceConsumer {
  readonly typeUrl: string;
  readonly follows = 'names';
  private readonly o: WatchedResourcesOptions;
  private readonly entries = new Map<string, Entry>();
  private announcing = false;

  constructor(options: WatchedResourcesOptions) {
    this.typeUrl = options.typeUrl;
    this.o = options;
  }

  /** `initialFetchTimeoutMs` 0: wait for ever. No watcher is called before this returns. */
  watch(name: string, initialFetchTimeoutMs: number, watcher: ResourceWatcher): () => void {
    let entry = this.entries.get(name);
    if (entry === undefined) {
      entry = { watchers: new Set() };
      this.entries.set(name, entry);
      this.announce();
    }
    const { watchers } = entry;
    watchers.add(watcher);
    let cancelTimer = (): void => undefined;
    let informed = false;
    const wrapped = entry;
    if (entry.current === undefined && initialFetchTimeoutMs > 0) {
      cancelTimer = this.o.clock.schedule(initialFetchTimeoutMs, () => {
        if (wrapped.current === undefined && watchers.has(watcher)) watcher.onMissing();
      });
    } else if (entry.current !== undefined) {
      queueMicrotask(() => {
        if (informed || !watchers.has(watcher) || wrapped.current === undefined) return;
        informed = true;
        this.tell(watcher, wrapped.current);
      });
    }
    return () => {
      cancelTimer();
      watchers.delete(watcher);
      if (watchers.size > 0) return;
      // Later: whoever replaces this watcher often comes in the same turn.
      queueMicrotask(() => {
        if (watchers.size > 0 || this.entries.get(name) !== wrapped) return;
        this.entries.delete(name);
        this.announce();
      });
    };
  }

  receive(push: ResourcePush): readonly { readonly name: string; readonly reason: string }[] {
    return push.resources.flatMap((resource) => {
      const reason = this.update(resource, resource.version || push.version);
      return reason === undefined ? [] : [{ name: resource.name, reason }];
    });
  }

  /** Everything known, for `config_dump`. */
  *known(): IterableIterator<WatchedResource> {
    for (const { current } of this.entries.values()) if (current !== undefined) yield current;
  }

  /** Names that are followed and have not come. */
  missing(): readonly string[] {
    return [...this.entries].filter(([, { current }]) => current === undefined).map(([name]) => name);
  }

  private update({ name, bytes }: PushedResource, versionInfo: string): string | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined) return undefined;
    if (entry.current !== undefined && Buffer.compare(entry.current.bytes, bytes) === 0) return undefined;
    const copy = Uint8Array.from(bytes);
    try {
      this.o.check?.(name, copy);
      for (const watcher of entry.watchers) watcher.check(copy);
    } catch (error) {
      return reasonOf(error);
    }
    entry.current = { name, bytes: copy, versionInfo, lastUpdatedMs: this.o.clock.now() };
    for (const watcher of entry.watchers) this.tell(watcher, entry.current);
    return undefined;
  }

  private tell(watcher: ResourceWatcher, resource: WatchedResource): void {
    watcher.onChange(resource.bytes, resource.versionInfo);
  }

  private announce(): void {
    if (this.announcing) return;
    this.announcing = true;
    queueMicrotask(() => {
      this.announcing = false;
      this.o.onNames([...this.entries.keys()]);
    });
  }
}

/** Without the resource's name, which the NACK puts before it. */
export function reasonOf(error: unknown): string {
  if (error instanceof ConfigError)
    return [error.path, error.reason].filter((part) => part !== '').join(': ');
  return describeError(error);
}
