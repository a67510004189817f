import { Sandbox } from '@weft/linux/testing';
import { describeError } from '@weft/telemetry';
import { BUSY_SHARE, QuietCheck } from '../quiet.ts';
import { compare, type Result } from '../result.ts';
import { compareWithGoal } from './goals.ts';
import type { Handshake } from './handshake.ts';
import type { Measured } from './measurements.ts';
import {
  COMPARISONS,
  forecastMeasurement,
  forecastRun,
  forecastStart,
  type PathName,
  PATHS,
  PLAN,
} from './plan.ts';
import { CHART_ENVIRONMENT } from './paths/weft-paths.ts';
import { Progress } from './progress.ts';

export interface TunnelBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** The Envoy binary. */
  readonly envoy: string;
  /** Data threads of each ztunnel, workers of each Envoy and nginx. */
  readonly threads: number;
  /** These measurements alone; empty: all. */
  readonly only: readonly string[];
  /** These paths alone; empty: all. */
  readonly paths: readonly string[];
  readonly onProgress: (line: string) => void;
}

/** Values of each round, by metric and path. */
export type Samples = ReadonlyMap<PathName, ReadonlyMap<string, readonly number[]>>;

/** What a reader of the results has to know beside them. */
export interface TunnelRun {
  readonly samples: Samples;
  readonly handshakes: ReadonlyMap<PathName, Handshake>;
  /** Failed requests and connections, by path and measurement; those without any aren't in it. */
  readonly errors: ReadonlyMap<string, number>;
  readonly quiet: { readonly checks: number; readonly noisy: number };
  readonly seconds: number;
}

const PODS = 500;
const NODE_MAJOR = Number(process.versions.node.split('.')[0]);
const idlePods = new URL('../../../packages/ztunnel/dist/testing/idle-pods.scenario.js', import.meta.url);

/**
 * Pods in namespaces of their own: ztunnels beside an Envoy pair that does the same HBONE work, nginx, and no mesh.
 * Yields what a measurement compares as soon as its rounds are done; returns everything.
 */
export async function* benchTunnel(o: TunnelBenchOptions): AsyncGenerator<Result, TunnelRun> {
  if (Sandbox.unavailable !== undefined) throw new Error(Sandbox.unavailable);
  const startedMs = performance.now();
  const plan = PLAN.filter(({ measurement }) => o.only.length === 0 || o.only.includes(measurement)).map(
    (item) => ({
      ...item,
      paths: item.paths.filter((path) => o.paths.length === 0 || o.paths.includes(path)),
    }),
  );
  const names = PATHS.filter((path) =>
    plan.some(({ measurement, paths }) => measurement !== 'pods' && paths.includes(path)),
  );
  const samples = new Map<PathName, Map<string, number[]>>(PATHS.map((path) => [path, new Map()]));
  const handshakes = new Map<PathName, Handshake>();
  const errors = new Map<string, number>();
  const quiet = new QuietCheck();
  const progress = new Progress(
    forecastRun(plan, { paths: names.length, rounds: o.rounds, seconds: o.seconds }),
  );
  const did = (what: string, seconds: number): void => o.onProgress(progress.did(what, seconds));

  const keep = (path: PathName, round: number, { metrics }: Measured): void => {
    for (const [metric, value] of Object.entries(metrics))
      record(samples.get(path), { metric, round, value });
  };

  const sandbox = Sandbox.start(new URL('./tunnel.scenario.js', import.meta.url));
  try {
    await sandbox.call('start', { envoy: o.envoy, threads: o.threads });
    const coldMetrics = new Set<string>();
    for (const path of names) {
      const seen = (await sandbox.call('addPath', path)) as Handshake | null; // what addPath() returns
      if (seen !== null) handshakes.set(path, seen);
      const cold = (await sandbox.call('warm', path, o.seconds)) as unknown as Measured; // as warm() returns it
      keep(path, 0, cold);
      for (const metric of Object.keys(cold.metrics)) coldMetrics.add(metric);
      const handshake = seen === null ? '' : ` (${describeHandshake(seen)})`;
      did(`started ${path}${handshake}: ${describe(cold, 0)}`, forecastStart(o.seconds));
    }
    yield* compareAll(names, coldMetrics, samples);
    for (const item of plan) {
      const { measurement } = item;
      const metrics = new Set<string>();
      for (let round = 0; round < o.rounds; round++) {
        for (const path of rotate(item.paths, round)) {
          const share = await quiet.wait();
          const measured = await (measurement === 'pods'
            ? idleWithPods()
            : sandbox
                .call('measure', path, measurement, o.seconds)
                .then((value) => value as unknown as Measured)
          ) // as measure() returns it
            .catch((error: unknown): Measured => {
              o.onProgress(describeError(error));
              return { metrics: {}, errors: 1 };
            });
          for (const metric of Object.keys(measured.metrics)) metrics.add(metric);
          keep(path, round, measured);
          const where = `${path}, ${measurement}`;
          if (measured.errors > 0) errors.set(where, (errors.get(where) ?? 0) + measured.errors);
          did(
            `${measurement} ${path}, round ${round + 1} of ${o.rounds}: ${describe(measured, share)}`,
            forecastMeasurement(item, o.seconds),
          );
        }
      }
      yield* compareAll(item.paths, metrics, samples);
    }
    await sandbox.call('stop');
  } finally {
    await sandbox.stop();
  }
  return {
    samples,
    handshakes,
    errors,
    quiet: quiet.summary,
    seconds: (performance.now() - startedMs) / 1_000,
  };
}

export function describeHandshake({ version, cipher, group }: Handshake): string {
  return `${version}, ${cipher}, ${group}`;
}

/** Each round another path is the first, so that none is always measured after the same other one. */
function rotate<T>(items: readonly T[], by: number): readonly T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

/** By round, with NaN for rounds that failed, so that rounds of different paths stay beside each other. */
function record(
  into: Map<string, number[]> | undefined,
  { metric, round, value }: { readonly metric: string; readonly round: number; readonly value: number },
): void {
  const values = into?.get(metric) ?? [];
  while (values.length < round) values.push(Number.NaN);
  into?.set(metric, [...values, value]);
}

function describe({ metrics, errors }: Measured, busyShare: number): string {
  const figures = Object.entries(metrics).map(([metric, value]) => `${metric} ${value.toPrecision(4)}`);
  return [
    ...figures,
    ...(errors > 0 ? [`${errors} errors`] : []),
    ...(busyShare > BUSY_SHARE ? [`the machine was ${Math.round(busyShare * 100)} % busy before`] : []),
  ].join(', ');
}

/** Metrics just measured, of each comparison whose paths were part of it. */
function* compareAll(
  paths: readonly PathName[],
  metrics: ReadonlySet<string>,
  samples: Samples,
): Generator<Result> {
  const of = (path: PathName, metric: string): readonly number[] => samples.get(path)?.get(metric) ?? [];
  for (const { suite, ours, peers } of COMPARISONS) {
    if (!paths.includes(ours)) continue;
    for (const metric of metrics) {
      if (of(ours, metric).length === 0) continue;
      for (const peer of peers)
        if (of(peer, metric).length > 0)
          yield compare(suite, metric, peer, of(ours, metric), of(peer, metric));
      yield* compareWithGoal(suite, metric, of(ours, metric), NODE_MAJOR);
    }
  }
}

/** A ztunnel of its own, in a mesh of its own, with pods that do nothing. */
async function idleWithPods(): Promise<Measured> {
  const sandbox = Sandbox.start(idlePods);
  try {
    await sandbox.call('start', PODS, CHART_ENVIRONMENT);
    const { rss } = (await sandbox.call('residentMib')) as { rss: number }; // as the scenario returns it
    await sandbox.call('stop');
    return { metrics: { [`rss-${PODS}-pods-mb`]: rss }, errors: 0 };
  } finally {
    await sandbox.stop();
  }
}
