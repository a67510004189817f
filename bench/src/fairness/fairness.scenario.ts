import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inNetworkNamespace } from '@weft/linux';
import { MeshSandbox, sleep } from '@weft/ztunnel/testing';

/** Steps of the fairness suite; they run inside a Sandbox. Pods `greedy` and `modest` share a node and its proxy. */

const ips = { greedy: '10.0.1.1', modest: '10.0.1.2', server: '10.0.2.1' };
const ECHO_PORT = 8080;
const SINK_PORT = 8081;
const bulk = fileURLToPath(new URL('./bulk.js', import.meta.url));

let mesh: MeshSandbox;
const children = new Set<ChildProcess>();

export async function start(isMeshed: boolean): Promise<void> {
  mesh = await MeshSandbox.create();
  for (const [i, node] of ['node-1', 'node-2'].entries()) mesh.addNode(node, `10.0.${i + 1}.254`);
  for (const [pod, ip] of Object.entries(ips)) mesh.addPod(pod, pod === 'server' ? 'node-2' : 'node-1', ip);
  mesh.serve('server', ECHO_PORT);
  await child('server', 'sink', String(SINK_PORT));
  if (!isMeshed) return;
  for (const node of ['node-1', 'node-2']) {
    mesh.startZtunnel(node);
    await mesh.untilReady(node);
  }
  for (const pod of Object.keys(ips)) await mesh.capture(pod);
}

export function stop(): Promise<void> {
  for (const process of children) process.kill('SIGKILL');
  return mesh.stop();
}

/** The p99 in milliseconds of small exchanges of `modest`, alone or while `greedy` sends as fast as it can. */
export async function p99(isContended: boolean, exchanges: number): Promise<number> {
  const source = isContended ? await child('greedy', 'source', ips.server, String(SINK_PORT)) : undefined;
  await sleep(500);
  const socket = mesh.dial('modest', ips.server, ECHO_PORT);
  await once(socket, 'data');
  const took: number[] = [];
  for (let i = 0; i < exchanges; i++) {
    const before = performance.now();
    socket.write('x');
    await once(socket, 'data');
    took.push(performance.now() - before);
  }
  socket.destroy();
  source?.kill('SIGKILL');
  took.sort((a, b) => a - b);
  return took[Math.floor(took.length * 0.99)] ?? Number.NaN;
}

/** How many MiB more both proxies have while so many tunnelled connections idle. */
export async function idleConnections(count: number): Promise<{ source: number; destination: number }> {
  await sleep(1_000);
  const before = [resident('node-1'), resident('node-2')];
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = mesh.dial('modest', ips.server, ECHO_PORT);
      socket.setTimeout(0);
      await once(socket, 'data');
      return socket;
    }),
  );
  await sleep(3_000);
  const [source = 0, destination = 0] = [resident('node-1'), resident('node-2')].map(
    (after, i) => after - (before[i] ?? 0),
  );
  for (const socket of sockets) socket.destroy();
  return { source, destination };
}

function resident(node: string): number {
  const status = readFileSync(`/proc/${mesh.ztunnel(node).pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

async function child(pod: string, ...args: readonly string[]): Promise<ChildProcess> {
  const place = mesh.pods.get(pod);
  if (place === undefined) throw new Error(`no pod ${pod}`);
  const made = inNetworkNamespace(place.namespace, () => fork(bulk, args));
  children.add(made);
  made.once('exit', () => children.delete(made));
  await once(made, 'message');
  return made;
}
