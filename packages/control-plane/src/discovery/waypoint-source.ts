import type { Collection, Graph } from '@weft/collections';
import type { ResourceChange, ResourceSource, VersionedResource } from '@weft/xds';
import type { ResourceSet } from '../networking/networking-graph.ts';

const nothing: ResourceSet = new Map();

/** One waypoint's resources of one type: a change of another waypoint's is no change here. */
export class WaypointSource implements ResourceSource {
  readonly typeUrl: string;
  private readonly graph: Graph;
  private readonly sets: Collection<ResourceSet>;
  private readonly waypoint: string;

  constructor(typeUrl: string, graph: Graph, sets: Collection<ResourceSet>, waypoint: string) {
    this.typeUrl = typeUrl;
    this.graph = graph;
    this.sets = sets;
    this.waypoint = waypoint;
  }

  list(): Iterable<VersionedResource> {
    return this.set.values();
  }

  get(name: string): VersionedResource | undefined {
    return this.set.get(name);
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    return this.graph.subscribe((changes) => {
      const change = changes.of(this.sets).get(this.waypoint);
      if (change === undefined) return;
      const { before = nothing, after = nothing } = change;
      const upserted = [...after.values()].filter(
        ({ name, version }) => before.get(name)?.version !== version,
      );
      const removed = [...before.keys()].filter((name) => !after.has(name));
      if (upserted.length > 0 || removed.length > 0) listener({ upserted, removed });
    });
  }

  private get set(): ResourceSet {
    return this.sets.get(this.waypoint) ?? nothing;
  }
}
