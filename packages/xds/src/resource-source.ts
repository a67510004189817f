import type { Node } from './delta-message.ts';
import type { VersionedResource } from './resource.ts';

export interface ResourceChange {
  /** By name: what it is now is read when it is sent. */
  readonly upserted: readonly Pick<VersionedResource, 'name'>[];
  readonly removed: readonly string[];
}

/** All resources of one type, and word of their changes. */
export interface ResourceSource {
  readonly typeUrl: string;
  /** Type of the resources themselves, where it isn't the one that they are asked for by. */
  readonly contentTypeUrl?: string;
  /** Computed for each request, without word of changes: never shared between clients. */
  readonly isTransient?: boolean;
  list(): Iterable<VersionedResource>;
  get(name: string): VersionedResource | undefined;
  /** Returns what ends the subscription. */
  subscribe(listener: (change: ResourceChange) => void): () => void;
  /**
   * What an on-demand client gets for a name it asked for, or for an alias: the resource and what it can't be used
   * without, such as a service's workloads. Without this, the resource of exactly that name.
   */
  resolve?(name: string, node: Node): readonly VersionedResource[];
  /** Names that every on-demand client like this one follows, though it doesn't ask for them. */
  implicitNames?(node: Node): readonly string[];
  /** Names beside its own and its aliases whose followers get a resource: of what it is a part of. */
  groups?(name: string): readonly string[];
}

/** A type as a server offers it. */
export interface ServedType {
  readonly source: ResourceSource;
  /**
   * `last`: removals go out after everything else of a push. Workloads refer to policies by name, so a policy has to
   * come before the workloads that use it, and go after the last of them. Otherwise removals go first, so that an
   * address that moved from one workload to another is free when it is taken.
   */
  readonly removals?: 'first' | 'last';
  /** Naming nothing means nothing, not everything. */
  readonly byNameOnly?: boolean;
  /**
   * A state-of-the-world response holds everything that is followed, also by name: what is missing in it is gone. So
   * it is of listeners and clusters, and of no other type.
   */
  readonly inFull?: boolean;
  /**
   * The resources that these complete: they follow each of them, also when they are the same as before. Envoy waits for
   * the endpoints of a cluster that changed, and doesn't ask.
   */
  readonly completes?: {
    readonly typeUrl: string;
    /** The name of what a resource of this name completes. */
    readonly named: (name: string) => string;
  };
}

/** A source that holds its resources itself: for tests, and for sets that somebody else computes. */
export class MemorySource implements ResourceSource {
  readonly typeUrl: string;
  private readonly resources = new Map<string, VersionedResource>();
  private readonly listeners = new Set<(change: ResourceChange) => void>();

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
  }

  list(): Iterable<VersionedResource> {
    return this.resources.values();
  }

  get(name: string): VersionedResource | undefined {
    return this.resources.get(name);
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** One change set; resources whose version is the known one are left out. */
  update(change: {
    readonly upserted?: readonly VersionedResource[];
    readonly removed?: readonly string[];
  }): void {
    const upserted = (change.upserted ?? []).filter((r) => this.resources.get(r.name)?.version !== r.version);
    const removed = (change.removed ?? []).filter((name) => this.resources.delete(name));
    for (const resource of upserted) this.resources.set(resource.name, resource);
    if (upserted.length === 0 && removed.length === 0) return;
    for (const listener of this.listeners) listener({ upserted, removed });
  }
}
