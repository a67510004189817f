import { eventually } from '@weft/ztunnel/testing';
import { answers } from './client.ts';
import { observeHandshake, type Handshake } from './handshake.ts';
import { iperf3 } from './load/iperf3.ts';
import { wrk } from './load/wrk.ts';
import { type Measured, measurements } from './measurements.ts';
import { type BenchPath, START_TIMEOUT_MS } from './paths/bench-path.ts';
import { envoyPath } from './paths/envoy-path.ts';
import { nginxPath } from './paths/nginx-path.ts';
import { plainPath } from './paths/plain-path.ts';
import { waypointPath } from './paths/waypoint-path.ts';
import { behindManyRules, setPolicies, weftPath } from './paths/weft-paths.ts';
import { COLD_SECONDS, type MeasurementName, type PathName, warmSeconds } from './plan.ts';
import { Testbed, type TestbedOptions } from './testbed.ts';

/** Steps of the tunnel suite; they run inside a Sandbox. */

const builders: Readonly<Record<PathName, (testbed: Testbed) => Promise<BenchPath>>> = {
  weft: (t) => weftPath(t, { name: 'weft', subnet: 1, engine: 'fast', topology: 'two-nodes' }),
  portable: (t) => weftPath(t, { name: 'portable', subnet: 2, engine: 'portable', topology: 'two-nodes' }),
  envoy: (t) => envoyPath(t, 3),
  nginx: (t) => nginxPath(t, 4),
  'no mesh': async (t) => plainPath(t, 'no mesh', 5),
  'no mesh again': async (t) => plainPath(t, 'no mesh again', 6),
  'same node': (t) => weftPath(t, { name: 'same-node', subnet: 7, engine: 'fast', topology: 'one-node' }),
  'many rules': (t) =>
    weftPath(t, {
      name: 'many-rules',
      subnet: 8,
      engine: 'fast',
      topology: 'two-nodes',
      server: behindManyRules,
    }),
  waypoint: (t) => waypointPath(t, { name: 'waypoint', subnet: 9, proxy: 'weft' }),
  'envoy waypoint': (t) => waypointPath(t, { name: 'envoy-waypoint', subnet: 10, proxy: 'envoy' }),
};

let testbed: Testbed | undefined;
const paths = new Map<string, BenchPath>();

export async function start(options: TestbedOptions): Promise<void> {
  testbed = await Testbed.create(options);
  setPolicies(testbed.mesh);
}

/** Builds a path and opens a first connection. @returns what its handshake agreed on, if it had one */
export async function addPath(name: PathName): Promise<Handshake | null> {
  const bed = running();
  const path = await builders[name](bed);
  bed.serveIn(path.server, name.replaceAll(' ', '-'));
  paths.set(name, path);
  const seen = await observeHandshake(path.server, () =>
    eventually(`an answer by ${name}`, () => answers(path), START_TIMEOUT_MS),
  );
  return seen ?? null;
}

/**
 * Lets caches fill and code be compiled before anything counts.
 * @returns what the very first requests got
 */
export async function warm(name: PathName, seconds: number): Promise<Measured> {
  const path = pathNamed(name);
  const target = { from: path.client, ip: path.ip, seconds: COLD_SECONDS };
  const { perSecond, p99Ms, errors } = await wrk(target, 32);
  await wrk({ ...target, seconds: warmSeconds(seconds) }, 32);
  if (path.carriesBytes) await iperf3({ ...target, seconds }, 'rev');
  return { metrics: { 'rps-32-cold': perSecond, 'p99-32-cold-ms': p99Ms }, errors };
}

export function measure(
  name: PathName,
  measurement: Exclude<MeasurementName, 'pods'>,
  seconds: number,
): Promise<Measured> {
  return measurements[measurement]({ path: pathNamed(name), seconds, folder: running().folder });
}

export async function stop(): Promise<void> {
  await testbed?.stop();
}

function running(): Testbed {
  if (testbed === undefined) throw new Error('start first');
  return testbed;
}

function pathNamed(name: PathName): BenchPath {
  const path = paths.get(name);
  if (path === undefined) throw new Error(`no path ${name}`);
  return path;
}
