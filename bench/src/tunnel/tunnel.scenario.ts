import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTcpSocket, inNetworkNamespace } from '@weft/linux';
import { MeshSandbox, eventually, sleep } from '@weft/ztunnel/testing';
import { bulk, cpuSeconds, paced, requests, residentMebibytes, type Target } from './load.ts';
import {
  envoyPath,
  HTTP_PORT,
  IPERF_PORT,
  plainPath,
  sameNodePath,
  weftPath,
  type BenchPath,
} from './paths.ts';

/** Runs inside a Sandbox: the paths side by side, and one measurement at a time on one of them. */

const BODY_BYTES = 1_024;
const PACE_PER_SECOND = 1_000;
/** What a request counts as that isn't answered beside stalled ones; where credit is shared, it never is. */
const UNANSWERED_MS = 5_000;
const folder = mkdtempSync(join(tmpdir(), 'weft-bench-tunnel-'));
const children = new Set<ChildProcess>();
const paths = new Map<string, BenchPath>();
let mesh: MeshSandbox | undefined;

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** @returns the paths' names */
export async function start(envoy: string, threads: number): Promise<string[]> {
  mesh = await MeshSandbox.create();
  const env = { ZTUNNEL_WORKER_THREADS: String(threads) };
  const add = (path: BenchPath): void => {
    paths.set(path.name, path);
  };
  add(plainPath(mesh, 1));
  add(await weftPath(mesh, { name: 'weft', subnet: 2, env }));
  add(await weftPath(mesh, { name: 'portable', subnet: 3, env: { ...env, ZTUNNEL_ENGINE: 'portable' } }));
  add(await sameNodePath(mesh, 4));
  add(await envoyPath(mesh, { envoy, folder, subnet: 5, threads, children }));
  serve();
  for (const path of paths.values()) await eventually(`an answer by ${path.name}`, () => answers(path));
  return [...paths.keys()];
}

export interface Measurement {
  readonly [metric: string]: number;
}

export async function measure(name: string, suite: string, seconds: number): Promise<Measurement> {
  const path = paths.get(name);
  if (path === undefined) throw new Error(`no path ${name}`);
  const target: Target = { from: path.client, ip: path.serverIp, seconds };
  switch (suite) {
    case 'bulk':
      return { 'bulk-fwd': await bulk(target, 'fwd'), 'bulk-rev': await bulk(target, 'rev') };
    case 'requests': {
      const result: Record<string, number> = {};
      for (const connections of [1, 32, 256]) {
        const { perSecond, p99Ms } = await requests(target, connections);
        result[`rps-${connections}`] = perSecond;
        result[`p99-${connections}-ms`] = p99Ms;
      }
      return result;
    }
    case 'new-connections':
      return { 'new-conn': (await requests(target, 32, { fresh: true })).perSecond };
    case 'paced': {
      const before = cpuSeconds(path.processes);
      const { p99Ms } = await paced(target, PACE_PER_SECOND, join(folder, 'requests.log'));
      return {
        'vcpu-1000rps': (cpuSeconds(path.processes) - before) / seconds,
        'p99-1000rps-ms': p99Ms,
      };
    }
    case 'memory':
      return idleMemory(path);
    case 'stalled':
      return { 'beside-stalled-ms': await besideStalled(path) };
    default:
      throw new Error(`no suite ${suite}`);
  }
}

export async function stop(): Promise<null> {
  for (const child of children) child.kill('SIGKILL');
  await mesh?.stop();
  return null;
}

/** nginx and iperf3 in each server pod. */
function serve(): void {
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `user root; daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 16384; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi; keepalive_requests 100000000;
  server { listen ${HTTP_PORT} reuseport backlog=4096; location / { return 200 "${'x'.repeat(BODY_BYTES)}"; } }
}`,
  );
  for (const [name, { namespace }] of mesh?.pods ?? []) {
    if (!name.endsWith('-server')) continue;
    for (const command of [
      ['nginx', '-c', config, '-e', '/dev/null'],
      ['iperf3', '-s', '-p', String(IPERF_PORT)],
    ]) {
      const child = inNetworkNamespace(namespace, () =>
        spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] }),
      );
      child.once('error', (error) => {
        throw new Error(`${command[0]} can't be started: install it first`, { cause: error });
      });
      children.add(child);
    }
  }
}

/** Resident memory with nothing to do, and how much more a thousand idle connections take. */
async function idleMemory(path: BenchPath): Promise<Measurement> {
  const idle = residentMebibytes(path.processes);
  const sockets: Socket[] = [];
  for (let i = 0; i < 1_000; i++) {
    const socket = await open(path, HTTP_PORT);
    await request(socket); // so that the whole way to the application is open
    sockets.push(socket);
  }
  await sleep(2_000);
  const loaded = residentMebibytes(path.processes);
  for (const socket of sockets) socket.destroy();
  return { 'rss-idle-mb': idle, 'rss-1000-more-mb': loaded - idle };
}

/** The worst of twenty requests, in ms, beside eight connections whose client doesn't read the answers it asked for. */
async function besideStalled(path: BenchPath): Promise<number> {
  const stalled: Socket[] = [];
  for (let i = 0; i < 8; i++) {
    const socket = await open(path, HTTP_PORT);
    socket.pause();
    // Pipelined requests, whose answers (32 MiB) nobody reads.
    const pipelined = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000);
    for (let n = 0; n < 32; n++) socket.write(pipelined);
    stalled.push(socket);
  }
  await sleep(1_000);
  const ninth = await open(path, HTTP_PORT);
  let worstMs = 0;
  for (let i = 0; i < 20; i++) {
    const startedMs = performance.now();
    const isAnswered = await Promise.race([request(ninth).then(() => true), sleep(UNANSWERED_MS)]);
    if (isAnswered !== true) {
      worstMs = UNANSWERED_MS;
      break;
    }
    worstMs = Math.max(worstMs, performance.now() - startedMs);
  }
  for (const socket of [...stalled, ninth]) socket.destroy();
  return worstMs;
}

async function answers(path: BenchPath): Promise<boolean> {
  const socket = await open(path, HTTP_PORT);
  await request(socket);
  socket.destroy();
  return true;
}

function open({ client, serverIp }: BenchPath, port: number): Promise<Socket> {
  const { fd } = inNetworkNamespace(client, () => createTcpSocket({ family: 4 }));
  return new Promise((resolve, reject) => {
    const socket = new Socket({ fd }).connect({ host: serverIp, port }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** One HTTP/1.1 request; resolves when its whole answer is here. */
function request(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = '';
    const onData = (chunk: Buffer): void => {
      received += chunk.toString('latin1');
      const end = received.indexOf('\r\n\r\n');
      if (end >= 0 && received.length >= end + 4 + BODY_BYTES) settle();
    };
    const onClose = (): void => settle(new Error(`closed after ${received.length} bytes of an answer`));
    const settle = (error?: Error): void => {
      socket.off('data', onData).off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.on('data', onData).on('close', onClose);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });
}
