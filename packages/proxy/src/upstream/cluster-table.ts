import type { ClusterManager } from '../engine/types.ts';
import type { UpstreamCluster } from './cluster.ts';

/** The clusters that serve. A cluster that is replaced or removed finishes what runs and closes. */
export class ClusterTable implements ClusterManager {
  private readonly clusters = new Map<string, UpstreamCluster>();

  get(name: string): UpstreamCluster | undefined {
    return this.clusters.get(name);
  }

  all(): Iterable<UpstreamCluster> {
    return this.clusters.values();
  }

  /** Puts a warm cluster into service. */
  put(cluster: UpstreamCluster): void {
    const before = this.clusters.get(cluster.name);
    this.clusters.set(cluster.name, cluster);
    if (before !== cluster) before?.drain();
  }

  remove(name: string): void {
    const cluster = this.clusters.get(name);
    this.clusters.delete(name);
    cluster?.drain();
  }

  close(): void {
    for (const cluster of this.clusters.values()) cluster.close();
    this.clusters.clear();
  }
}
