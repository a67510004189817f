import { performance } from 'node:perf_hooks';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { type Result, compare, median } from '../result.ts';
import { NODES, collectionPaths, objectsOf, pod, syntheticCluster } from './cluster.ts';
import { ControlPlaneProcess } from './control-plane-process.ts';
import { benchReconnect } from './reconnect.ts';
import { ZtunnelStream } from './ztunnel-stream.ts';

export interface ControlPlaneBenchOptions {
  /** Numbers of pods, ascending. */
  readonly sizes: readonly number[];
  /** Changes of one pod that are measured, one after the other. */
  readonly changes: number;
  readonly onSize?: (measurement: SizeMeasurement) => void;
}

export interface SizeMeasurement {
  readonly pods: number;
  /** CPU of the control plane for a change of one pod to reach every ztunnel. */
  readonly changeCpuMs: readonly number[];
  /** CPU of deriving everything anew, without sending any of it. */
  readonly recomputeCpuMs: number;
  /** Resources that a change put into the streams, over changes and streams. */
  readonly keysPerChange: number;
  readonly firstSnapshotMs: readonly number[];
  readonly startCpuMs: number;
  readonly rssMb: number;
}

/** What issue and users expect; where there is no peer, ours is measured against these. */
const TARGET = { changeCpuMs: 20, firstSnapshotMs: 1_000, rss10kMb: 400, rss100kMb: 2_048 } as const;
const SNAPSHOTS = 5;
/** First snapshots under way at once, so that the clients' side isn't what is measured. */
const CONNECTING_AT_ONCE = 4;
const WARM_UP_CHANGES = 5;

/** One process of ours, an API server beside it, and 100 streams as of ztunnels, for each size of cluster. */
export async function* benchControlPlane(options: ControlPlaneBenchOptions): AsyncIterable<Result> {
  const measurements: SizeMeasurement[] = [];
  for (const pods of options.sizes) {
    const measurement = await measure(pods, options.changes);
    options.onSize?.(measurement);
    measurements.push(measurement);
    yield* resultsOf(measurement);
  }
  yield* benchReconnect();
  const [smallest, largest] = [
    measurements.find(({ pods }) => pods === 10_000) ?? measurements[0],
    measurements.at(-1),
  ];
  if (smallest === undefined || largest === undefined || smallest === largest) return;
  const [few, many] = [thousands(smallest.pods), thousands(largest.pods)];
  yield compare(
    'control-plane',
    `change-cpu-${many}-vs-${few}`,
    `the same at ${few}`,
    [median(largest.changeCpuMs)],
    [median(smallest.changeCpuMs)],
  );
}

function* resultsOf(measurement: SizeMeasurement): Iterable<Result> {
  const { pods, changeCpuMs, recomputeCpuMs, keysPerChange, firstSnapshotMs, rssMb } = measurement;
  const size = thousands(pods);
  const against = (metric: string, peerName: string, ours: readonly number[], peer: number): Result =>
    compare(
      'control-plane',
      `${metric}-${size}`,
      peerName,
      ours,
      ours.map(() => peer),
    );
  yield against('change-cpu-ms', 'full recomputation', changeCpuMs, recomputeCpuMs);
  yield against('change-cpu-target-ms', 'target', changeCpuMs, TARGET.changeCpuMs);
  yield against('keys-per-change', 'target', [keysPerChange], 1);
  yield against(
    'first-snapshot-ms',
    'target',
    firstSnapshotMs,
    TARGET.firstSnapshotMs * Math.max(1, pods / 10_000),
  );
  yield against('rss-mb', 'target', [rssMb], pods > 10_000 ? TARGET.rss100kMb : TARGET.rss10kMb);
}

async function measure(pods: number, changes: number): Promise<SizeMeasurement> {
  const recomputeCpuMs = await measureRecomputation(pods);
  const api = await FakeApiServer.start();
  const cluster = syntheticCluster(pods);
  for (const [collection, object] of objectsOf(cluster)) api.put(collection, object);
  const everything = cluster.pods.length + cluster.services.length;
  const process = new ControlPlaneProcess();
  const streams: ZtunnelStream[] = [];
  try {
    const { port, usage } = await process.ask({ kind: 'serve', server: api.connection.server }, 'ready');
    const connect = async (): Promise<ZtunnelStream> => {
      const stream = new ZtunnelStream(port, `node-${streams.length}`);
      streams.push(stream);
      await stream.until(everything);
      return stream;
    };
    const firstSnapshotMs: number[] = [];
    for (let i = 0; i < SNAPSHOTS; i++) {
      const began = performance.now();
      await connect();
      firstSnapshotMs.push(performance.now() - began);
    }
    while (streams.length < NODES) {
      await Promise.all(
        Array.from({ length: Math.min(CONNECTING_AT_ONCE, NODES - streams.length) }, connect),
      );
    }
    const changeOnce = async (i: number): Promise<number> => {
      const expected = streams.map(({ resources }) => resources + 1);
      const before = await process.usage();
      api.put(collectionPaths.pods, pod((i * 7_919) % pods, i % 2 === 1));
      await Promise.all(streams.map((stream, at) => stream.until(expected[at] ?? 0)));
      return (await process.usage()).cpuMs - before.cpuMs;
    };
    for (let i = 0; i < WARM_UP_CHANGES; i++) await changeOnce(2 * i);
    const before = streams.reduce((sum, { resources }) => sum + resources, 0);
    const changeCpuMs: number[] = [];
    for (let i = 0; i < changes; i++) changeCpuMs.push(await changeOnce(2 * (WARM_UP_CHANGES + i)));
    const keys = streams.reduce((sum, { resources }) => sum + resources, 0) - before;
    const { rssMb } = await process.usage();
    return {
      pods,
      changeCpuMs,
      recomputeCpuMs,
      keysPerChange: keys / changes / streams.length,
      firstSnapshotMs,
      startCpuMs: usage.cpuMs,
      rssMb,
    };
  } finally {
    for (const stream of streams) stream.close();
    await process.close();
    await api.close();
  }
}

async function measureRecomputation(pods: number): Promise<number> {
  const process = new ControlPlaneProcess();
  try {
    return (await process.ask({ kind: 'recompute', pods }, 'recomputed')).cpuMs;
  } finally {
    await process.close();
  }
}

function thousands(pods: number): string {
  return pods % 1_000 === 0 ? `${pods / 1_000}k` : String(pods);
}
