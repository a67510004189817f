import type { Collection, Graph } from '@weft/collections';
import type { ResourceChange, ResourceSource, VersionedResource } from '@weft/xds';
import type { EncodedResource } from '../ambient/resources.ts';

export interface CollectionSourceOptions {
  /** What of a resource this type shows; undefined hides it. */
  readonly view?: (resource: EncodedResource) => VersionedResource | undefined;
}

/** Serves a collection over xDS: each tick of the graph is one change. */
export class CollectionSource implements ResourceSource {
  readonly typeUrl: string;
  protected readonly collection: Collection<EncodedResource>;
  protected readonly view: (resource: EncodedResource) => VersionedResource | undefined;
  private readonly graph: Graph;

  constructor(
    typeUrl: string,
    graph: Graph,
    collection: Collection<EncodedResource>,
    { view = (resource) => resource }: CollectionSourceOptions = {},
  ) {
    this.typeUrl = typeUrl;
    this.graph = graph;
    this.collection = collection;
    this.view = view;
  }

  *list(): Iterable<VersionedResource> {
    for (const resource of this.collection.values()) {
      const shown = this.view(resource);
      if (shown !== undefined) yield shown;
    }
  }

  get(name: string): VersionedResource | undefined {
    const resource = this.collection.get(name);
    return resource === undefined ? undefined : this.view(resource);
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    return this.graph.subscribe((changes) => {
      const upserted: VersionedResource[] = [];
      const removed: string[] = [];
      for (const [name, { after }] of changes.of(this.collection)) {
        const shown = after === undefined ? undefined : this.view(after);
        if (shown === undefined) removed.push(name);
        else upserted.push(shown);
      }
      if (upserted.length > 0 || removed.length > 0) listener({ upserted, removed });
    });
  }
}
