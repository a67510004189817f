import { envoy } from '@weft/api/envoy';
import { describeError } from '@weft/telemetry';
import { ConfigError, type Engine } from '../engine/types.ts';
import { createCluster, type UpstreamCluster } from '../upstream/cluster.ts';
import type { ClusterTable } from '../upstream/cluster-table.ts';
import { checkFields, type UnknownFieldListener } from '../field-support/check-fields.ts';
import { createCompileContext, WarmUp } from './compile-context.ts';

const MESSAGE = 'envoy.config.cluster.v3.Cluster';

export interface ClusterVersion {
  readonly bytes: Uint8Array;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

export interface ClusterUpdateStatus {
  readonly name: string;
  readonly isStatic: boolean;
  readonly active?: ClusterVersion;
  readonly warming?: ClusterVersion;
  readonly error?: string;
}

interface Version extends ClusterVersion {
  readonly cluster: UpstreamCluster;
}

interface Slot {
  readonly isStatic: boolean;
  active?: Version;
  warming?: Version;
  error?: string;
}

/**
 * Cluster resources on their way into service: a new version serves once its endpoints and secrets have come, the one
 * before until then.
 */
export class ClusterUpdates {
  private readonly engine: Engine;
  private readonly table: ClusterTable;
  private readonly onUnknownField: UnknownFieldListener;
  private readonly slots = new Map<string, Slot>();
  private readonly warmWaiters: (() => void)[] = [];

  constructor(o: {
    readonly engine: Engine;
    readonly table: ClusterTable;
    readonly onUnknownField: UnknownFieldListener;
  }) {
    this.engine = o.engine;
    this.table = o.table;
    this.onUnknownField = o.onUnknownField;
  }

  /** @throws ConfigError: nothing has changed then */
  apply(bytes: Uint8Array, versionInfo: string, isStatic = false): void {
    const { engine } = this;
    const { name } = envoy.config.cluster.v3.Cluster.decode(bytes);
    const slot: Slot = this.slots.get(name) ?? { isStatic };
    if (slot.isStatic && !isStatic)
      throw new ConfigError(name, '', 'the bootstrap has a cluster of that name');
    const current = slot.warming ?? slot.active;
    if (current !== undefined && Buffer.compare(current.bytes, bytes) === 0) return;
    const copy = Uint8Array.from(bytes);
    const holder: { version?: Version } = {};
    const warmUp = new WarmUp(() => {
      if (holder.version !== undefined && slot.warming === holder.version) this.serve(name, slot);
    });
    const context = createCompileContext({ engine, resource: name, warmUp });
    let cluster: UpstreamCluster;
    try {
      checkFields(MESSAGE, copy, { resource: name, onUnknown: this.onUnknownField });
      cluster = createCluster(copy, context);
    } catch (error) {
      const failure =
        error instanceof ConfigError
          ? error
          : new ConfigError(name, '', describeError(error), { cause: error });
      slot.error = failure.message;
      if (!isStatic) this.slots.set(name, slot);
      throw failure;
    }
    delete slot.error;
    this.slots.set(name, slot);
    slot.warming?.cluster.close();
    holder.version = { bytes: copy, versionInfo, lastUpdatedMs: engine.clock.now(), cluster };
    slot.warming = holder.version;
    const change = slot.active === undefined ? 'cluster_added' : 'cluster_modified';
    engine.stats.counter(`cluster_manager.${change}`).add();
    warmUp.seal();
    this.count();
  }

  remove(name: string): void {
    const slot = this.slots.get(name);
    if (slot === undefined || slot.isStatic) return;
    slot.warming?.cluster.close();
    delete slot.warming;
    this.slots.delete(name);
    this.table.remove(name);
    this.engine.stats.counter('cluster_manager.cluster_removed').add();
    this.count();
  }

  /** Resolves as soon as no cluster is warming. */
  whenWarm(): Promise<void> {
    return new Promise((resolve) => {
      this.warmWaiters.push(resolve);
      this.count();
    });
  }

  status(): readonly ClusterUpdateStatus[] {
    return [...this.slots].map(([name, slot]) => ({ name, ...slot }));
  }

  close(): void {
    for (const { warming } of this.slots.values()) warming?.cluster.close();
    this.slots.clear();
    this.table.close();
  }

  private serve(name: string, slot: Slot): void {
    const version = slot.warming;
    if (version === undefined) return;
    delete slot.warming;
    slot.active = version;
    this.table.put(version.cluster);
    this.engine.logger.debug('cluster active', { cluster: name });
    this.count();
  }

  private count(): void {
    let [active, warming] = [0, 0];
    for (const slot of this.slots.values()) {
      if (slot.active !== undefined) active++;
      if (slot.warming !== undefined) warming++;
    }
    const { stats } = this.engine;
    stats.gauge('cluster_manager.active_clusters').set(active);
    stats.gauge('cluster_manager.warming_clusters').set(warming);
    if (warming === 0) for (const resolve of this.warmWaiters.splice(0)) resolve();
  }
}
