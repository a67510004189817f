import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Port } from '@weft/api';
import { inNetworkNamespace } from '@weft/linux';
import { eventually, sleep } from '@weft/ztunnel/testing';
import { answers, ask, open, openIdle, request } from './client.ts';
import { h2loadPaced } from './load/h2load.ts';
import { iperf3 } from './load/iperf3.ts';
import type { Target } from './load/run-in.ts';
import { wrk } from './load/wrk.ts';
import type { MeasurementName } from './plan.ts';
import { type BenchPath, START_TIMEOUT_MS } from './paths/bench-path.ts';
import { LARGE_PATH } from './testbed.ts';
import { cpuSeconds, residentMebibytes } from './usage.ts';

export interface Measured {
  readonly metrics: Readonly<Record<string, number>>;
  /** Requests and connections that failed meanwhile. */
  readonly errors: number;
}

export interface Circumstances {
  readonly path: BenchPath;
  readonly seconds: number;
  readonly folder: string;
}

const PACE_PER_SECOND = 1_000;
const STALLED = 8;
const SLOW_READERS = 8;
/** What a request counts as that isn't answered beside stalled ones; where credit is shared, it never is. */
const UNANSWERED_MS = 5_000;
const SLOW_READ_BYTES = 16_384;
const SLOW_READ_INTERVAL_MS = 20;
/** After connections were opened, until memory is looked at. */
const SETTLE_MS = 5_000;

export const measurements: Readonly<
  Record<Exclude<MeasurementName, 'pods'>, (c: Circumstances) => Promise<Measured>>
> = {
  'bulk-fwd': async (c) => ({ metrics: { 'bulk-fwd': await iperf3(targetOf(c), 'fwd') }, errors: 0 }),
  'bulk-rev': async (c) => ({ metrics: { 'bulk-rev': await iperf3(targetOf(c), 'rev') }, errors: 0 }),
  'requests-1': (c) => requests(c, 1),
  'requests-32': (c) => requests(c, 32),
  'requests-256': (c) => requests(c, 256),
  'new-connections': async (c) => {
    const { perSecond, errors } = await wrk(targetOf(c), 32, { fresh: true });
    return { metrics: { 'new-conn': perSecond }, errors };
  },
  paced,
  noisy,
  stalled,
  'slow-reader': slowReader,
  memory,
};

function targetOf({ path, seconds }: Circumstances): Target {
  return { from: path.client, ip: path.ip, seconds };
}

async function requests(c: Circumstances, connections: number): Promise<Measured> {
  const load = wrk(targetOf(c), connections);
  await sleep(c.seconds * 500);
  const tunnels = establishedTunnels(c.path);
  const { perSecond, p50Ms, p99Ms, errors } = await load;
  return {
    metrics: {
      [`rps-${connections}`]: perSecond,
      [`p50-${connections}-ms`]: p50Ms,
      [`p99-${connections}-ms`]: p99Ms,
      ...(tunnels > 0 ? { [`tunnels-${connections}`]: tunnels } : {}),
    },
    errors,
  };
}

async function paced(c: Circumstances): Promise<Measured> {
  const processes = c.path.processes();
  const before = cpuSeconds(processes);
  const { perSecond, p50Ms, p99Ms, errors } = await h2loadPaced(
    targetOf(c),
    PACE_PER_SECOND,
    join(c.folder, 'requests.log'),
  );
  const used = cpuSeconds(processes) - before;
  return {
    metrics: {
      // Of what was done: whoever falls behind the pace mustn't look cheap by it.
      ...(processes.length > 0 ? { 'vcpu-1000rps': (used * PACE_PER_SECOND) / (perSecond * c.seconds) } : {}),
      'p50-1000rps-ms': p50Ms,
      'p99-1000rps-ms': p99Ms,
    },
    errors,
  };
}

/** One connection's p99 while another pod of the node sends all it can, in parts of the p99 without that. */
async function noisy(c: Circumstances): Promise<Measured> {
  const { neighbour, ip } = c.path;
  if (neighbour === undefined) throw new Error(`${c.path.name} has no neighbour`);
  const alone = await wrk(targetOf(c), 1);
  const saturating = iperf3({ from: neighbour, ip, seconds: c.seconds + 2 }, 'fwd');
  await sleep(1_000);
  const beside = await wrk(targetOf(c), 1);
  await saturating;
  return {
    metrics: { 'p99-noisy-ms': beside.p99Ms, 'p99-noisy-times': beside.p99Ms / alone.p99Ms },
    errors: alone.errors + beside.errors,
  };
}

/** The worst of twenty requests beside eight connections whose client doesn't read the 100 MB it asked for. */
async function stalled({ path }: Circumstances): Promise<Measured> {
  const silent = await Promise.all(Array.from({ length: STALLED }, () => open(path)));
  for (const socket of silent) {
    socket.pause();
    ask(socket, LARGE_PATH);
  }
  await sleep(1_000);
  const ninth = await open(path);
  let worstMs = 0;
  for (let i = 0; i < 20 && worstMs < UNANSWERED_MS; i++) {
    const startedMs = performance.now();
    const isAnswered = await Promise.race([request(ninth).then(() => true), sleep(UNANSWERED_MS)]);
    worstMs = isAnswered === true ? Math.max(worstMs, performance.now() - startedMs) : UNANSWERED_MS;
  }
  for (const socket of [...silent, ninth]) socket.destroy();
  return { metrics: { 'beside-stalled-ms': worstMs }, errors: 0 };
}

/** Memory for each of eight clients that read 0.8 MB a second of 100 MB, and what a fast reader gets beside them. */
async function slowReader(c: Circumstances): Promise<Measured> {
  const { path } = c;
  await restart(path);
  const processes = path.processes();
  const before = residentMebibytes(processes);
  const slow = await Promise.all(Array.from({ length: SLOW_READERS }, () => open(path)));
  for (const socket of slow) {
    socket.pause();
    ask(socket, LARGE_PATH);
  }
  const reading = setInterval(() => {
    for (const socket of slow) socket.read(SLOW_READ_BYTES);
  }, SLOW_READ_INTERVAL_MS);
  let most = 0;
  for (const end = performance.now() + c.seconds * 1_000; performance.now() < end; await sleep(100))
    most = Math.max(most, residentMebibytes(processes) - before);
  // Where credit is shared among streams, it may never end.
  const beside = await iperf3(targetOf(c), 'rev').catch(() => undefined);
  clearInterval(reading);
  for (const socket of slow) socket.destroy();
  return {
    metrics: { 'slow-reader-more-mb': most / SLOW_READERS, 'bulk-rev-beside-slow': beside ?? Number.NaN },
    errors: beside === undefined ? 1 : 0,
  };
}

/** Resident memory of new processes with nothing to do, and how much more idle connections take. */
async function memory({ path }: Circumstances): Promise<Measured> {
  await restart(path);
  await sleep(SETTLE_MS);
  const processes = path.processes();
  const idle = residentMebibytes(processes);
  const thousand = await openIdle(path, 1_000);
  await sleep(SETTLE_MS);
  const with1000 = residentMebibytes(processes) - idle;
  const rest = await openIdle(path, 9_000);
  await sleep(SETTLE_MS);
  const with10000 = residentMebibytes(processes) - idle;
  const closed = [...thousand, ...rest].filter((socket) => socket.destroyed || socket.readableEnded).length;
  for (const socket of [...thousand, ...rest]) socket.destroy();
  return {
    metrics: { 'rss-idle-mb': idle, 'rss-1000-more-mb': with1000, 'rss-10000-more-mb': with10000 },
    errors: closed,
  };
}

async function restart(path: BenchPath): Promise<void> {
  await path.restart();
  await eventually(`an answer by ${path.name}`, () => answers(path), START_TIMEOUT_MS);
}

/** HBONE connections that the server's pod has now. */
function establishedTunnels({ server }: BenchPath): number {
  const ESTABLISHED = '01';
  const port = Port.hbone.toString(16).toUpperCase();
  const tables = inNetworkNamespace(server, () =>
    ['tcp', 'tcp6'].map((table) => readFileSync(`/proc/thread-self/net/${table}`, 'utf8')),
  );
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(`:${port}`) === true && state === ESTABLISHED).length;
}
