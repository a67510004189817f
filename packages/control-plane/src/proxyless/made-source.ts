import type { ChangeSet, Graph } from '@weft/collections';
import {
  type ResourceChange,
  type ResourceSource,
  type VersionedResource,
  versionedResource,
} from '@weft/xds';

export interface MadeSourceOptions {
  readonly typeUrl: string;
  readonly graph: Graph;
  /** Undefined where there is no such resource. */
  readonly make: (name: string) => Uint8Array | undefined;
  /** Names of which a change may have made something else, or nothing. */
  readonly affected: (changes: ChangeSet) => readonly string[];
}

/** Resources that are made when they are asked for by name, and kept as long as somebody follows the source. */
export class MadeSource implements ResourceSource {
  readonly typeUrl: string;
  private readonly options: MadeSourceOptions;
  /** What exists of what was asked for. Undefined while nobody would tell what is outdated. */
  private made: Map<string, VersionedResource> | undefined;
  private readonly listeners = new Set<(change: ResourceChange) => void>();
  private unsubscribe: () => void = () => undefined;

  constructor(options: MadeSourceOptions) {
    this.options = options;
    this.typeUrl = options.typeUrl;
  }

  /** Nobody follows them as a whole. */
  list(): Iterable<VersionedResource> {
    return [];
  }

  get(name: string): VersionedResource | undefined {
    const known = this.made?.get(name);
    if (known !== undefined) return known;
    const bytes = this.options.make(name);
    // A view of a block that is used again.
    const resource = bytes === undefined ? undefined : versionedResource(name, Buffer.from(bytes));
    if (resource !== undefined) this.made?.set(name, resource);
    return resource;
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    this.listeners.add(listener);
    if (this.listeners.size === 1) {
      this.made = new Map();
      this.unsubscribe = this.options.graph.subscribe((changes) => this.tell(changes));
    }
    return () => {
      if (!this.listeners.delete(listener) || this.listeners.size > 0) return;
      this.unsubscribe();
      this.made = undefined;
    };
  }

  private tell(changes: ChangeSet): void {
    const upserted: { readonly name: string }[] = [];
    for (const name of this.options.affected(changes)) {
      const before = this.made?.get(name);
      this.made?.delete(name);
      // Of what nobody has got it costs less to tell the name than to find out.
      if (before === undefined || this.get(name)?.version !== before.version) upserted.push({ name });
    }
    if (upserted.length === 0) return;
    for (const listener of this.listeners) listener({ upserted, removed: [] });
  }
}
