import { readFileSync } from 'node:fs';
import { createNetworkNamespace, inNetworkNamespace } from '@weft/linux';
import { execFileSync } from 'node:child_process';
import { eventually, MeshSandbox, sleep } from './mesh-sandbox.ts';

/** A node full of pods that do nothing; the steps run inside a Sandbox. */

let mesh: MeshSandbox;
const NODE = 'node-1';

/** A proxy with so many pods, each in a namespace of its own and with an identity of its own. */
export async function start(podCount: number, env: Readonly<Record<string, string>> = {}): Promise<void> {
  mesh = await MeshSandbox.create();
  mesh.addNode(NODE, '10.0.1.254');
  for (let i = 0; i < podCount; i++) {
    const name = `pod-${i}`;
    const ip = `10.1.${i >> 8}.${i & 255}`;
    const namespace = createNetworkNamespace();
    inNetworkNamespace(namespace, () => execFileSync('ip', ['link', 'set', 'lo', 'up']));
    mesh.pods.set(name, { name, node: NODE, ip, namespace, isCaptured: true });
    mesh.describe(name);
  }
  mesh.startZtunnel(NODE, env);
  await eventually('the proxy to be ready', async () => (await mesh.readiness(NODE)).status === 200, 120_000);
  // Not by /config_dump, whose answer would be a good part of what is measured.
  const { leaves } = mesh.controlPlane;
  await eventually('all certificates', () => Promise.resolve(leaves.size >= podCount), 60_000);
}

/** Resident memory of the idle proxy in MiB, after a moment of rest. */
export async function residentMib(): Promise<{ rss: number; anonymous: number; fds: number }> {
  await sleep(5_000);
  const status = readFileSync(`/proc/${mesh.ztunnel(NODE).pid}/status`, 'utf8');
  const mib = (field: string): number =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024);
  return { rss: mib('VmRSS'), anonymous: mib('RssAnon'), fds: await mesh.metric(NODE, 'process_open_fds') };
}

export function stop(): Promise<void> {
  return mesh.stop();
}
