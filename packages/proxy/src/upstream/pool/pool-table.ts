import type { Host } from '../host.ts';
import type { HttpPool } from './http-pool.ts';

/** The pools of a cluster, by host and by what shapes their connections. */
export class PoolTable {
  private readonly pools = new Map<Host, Map<string, HttpPool>>();
  /** Of hosts that are gone: they finish what runs. */
  private readonly draining = new Set<HttpPool>();

  get(host: Host, key: string): HttpPool | undefined {
    return this.pools.get(host)?.get(key);
  }

  add(host: Host, key: string, pool: HttpPool): void {
    let ofHost = this.pools.get(host);
    if (ofHost === undefined) {
      ofHost = new Map();
      this.pools.set(host, ofHost);
    }
    ofHost.set(key, pool);
  }

  /** The pool has nothing left. */
  forget(host: Host, key: string, pool: HttpPool): void {
    this.draining.delete(pool);
    const ofHost = this.pools.get(host);
    if (ofHost?.get(key) !== pool) return;
    ofHost.delete(key);
    if (ofHost.size === 0) this.pools.delete(host);
  }

  drainHost(host: Host): void {
    const pools = [...(this.pools.get(host)?.values() ?? [])];
    this.pools.delete(host);
    for (const pool of pools) this.draining.add(pool);
    for (const pool of pools) pool.drain();
  }

  drain(): void {
    for (const host of [...this.pools.keys()]) this.drainHost(host);
  }

  close(): void {
    const pools = [...this.pools.values()].flatMap((ofHost) => [...ofHost.values()]);
    for (const pool of [...pools, ...this.draining]) pool.close();
    this.pools.clear();
    this.draining.clear();
  }
}
