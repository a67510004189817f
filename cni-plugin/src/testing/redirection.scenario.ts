import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket, createServer } from 'node:net';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ZTUNNEL_MARK } from '@weft/api';
import {
  createNetworkNamespace,
  createTcpListener,
  createTcpSocket,
  inNetworkNamespace,
  type NetworkNamespace,
} from '@weft/linux';
import { findPodNetworkNamespace } from '../agent/pod-network-namespace.ts';
import { commandRunner } from '../rules/command.ts';
import { HostProbeRules } from '../rules/host-rules.ts';
import { PodRedirection, type IptablesVariant } from '../rules/iptables.ts';

/** Steps of redirection.kernel.test.ts; they run inside a Sandbox. */

const options = { bypassInbound: false, virtualInterfaces: [] };
const children: ChildProcess[] = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

function podNamespace(): NetworkNamespace {
  const namespace = createNetworkNamespace();
  const runner = commandRunner(namespace);
  runner.run('ip', ['link', 'set', 'lo', 'up']);
  return namespace;
}

function state(namespace: NetworkNamespace, variant: IptablesVariant): string {
  const runner = commandRunner(namespace);
  const rules = [`${variant}-save`, `${variant.replace('iptables', 'ip6tables')}-save`].flatMap((program) =>
    runner
      .run(program, [])
      .split('\n')
      .filter((line) => line.startsWith('-A') || line.includes('ISTIO')),
  );
  const routing = ['-4', '-6'].flatMap((family) => [
    runner.run('ip', [family, 'rule', 'show', 'pref', '32764']).trim(),
    runner.tryRun('ip', [family, 'route', 'show', 'table', '100']).stdout.trim(),
  ]);
  return [...rules, ...routing].filter(Boolean).join('\n');
}

/** Applies, applies again, damages, repairs and removes; what is left at the end must be nothing. */
export function redirectsAndRestores(variant: IptablesVariant): Record<string, boolean | string> {
  const namespace = podNamespace();
  const redirection = new PodRedirection(commandRunner(namespace), variant, [4, 6]);
  redirection.apply(options);
  const first = state(namespace, variant);
  const inForce = redirection.inForce(options);
  redirection.apply(options);
  const second = state(namespace, variant);
  commandRunner(namespace).run(variant, ['-t', 'nat', '-D', 'ISTIO_OUTPUT', '1']);
  const noticed = !redirection.inForce(options);
  redirection.apply(options);
  const repaired = state(namespace, variant) === first;
  redirection.remove();
  const left = state(namespace, variant);
  redirection.remove();
  namespace.close();
  return {
    lines: String(first.split('\n').length),
    inForce,
    idempotent: first === second,
    noticed,
    repaired,
    left,
  };
}

/** Host rules in a namespace of their own; probes of two pods, one of which takes over the other's address. */
export function keepsProbeSet(variant: IptablesVariant): Record<string, string> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  const rules = new HostProbeRules(runner, variant, [4]);
  const members = (): string =>
    runner
      .run('ipset', ['list', 'istio-inpod-probes-v4'])
      .split('\n')
      .filter((line) => line.includes('comment "'))
      .join(',');
  rules.install();
  rules.install();
  rules.addPod('a', ['10.0.0.1', 'fd00::1']);
  rules.addPod('b', ['10.0.0.1']);
  rules.removePod('a', ['10.0.0.1']);
  const afterTakeover = members();
  rules.addPod('c', ['10.0.0.3']);
  // The next agent: what was there stays in force until it knows its pods.
  const successor = new HostProbeRules(runner, variant, [4]);
  successor.install();
  const afterRestart = members();
  successor.retain(['10.0.0.1']);
  const afterRetain = members();
  rules.removePod('b', ['10.0.0.1']);
  const empty = members();
  const jumps = String(
    runner
      .run(`${variant}-save`, ['-t', 'nat'])
      .split('\n')
      .filter((l) => l === '-A POSTROUTING -j ISTIO_POSTRT').length,
  );
  rules.remove();
  const left =
    runner.run('ipset', ['list', '-n']) +
    runner
      .run(`${variant}-save`, ['-t', 'nat'])
      .split('\n')
      .filter((l) => l.includes('ISTIO'))
      .join();
  namespace.close();
  return { afterTakeover, afterRestart, afterRetain, empty, jumps, left };
}

/** A process in a namespace with an address, and a fake /proc that names it by its pod's UID. */
export async function findsByCgroup(): Promise<Record<string, boolean>> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  runner.run('ip', ['addr', 'add', '10.1.1.1/32', 'dev', 'lo']);
  const child = inNetworkNamespace(namespace, () => spawn('sleep', ['60']));
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  const uid = '6f1f44f4-6f5c-4b0f-8a53-0d2d5f6d1c11';
  const root = mkdtempSync(path.join(tmpdir(), 'proc-'));
  const procDir = path.join(root, 'proc');
  mkdirSync(path.join(procDir, '1/ns'), { recursive: true });
  symlinkSync('net:[1]', path.join(procDir, '1/ns/net'));
  mkdirSync(path.join(procDir, String(child.pid)));
  symlinkSync(`/proc/${child.pid}/ns`, path.join(procDir, String(child.pid), 'ns'));
  symlinkSync(`/proc/${child.pid}/stat`, path.join(procDir, String(child.pid), 'stat'));
  writeFileSync(
    path.join(procDir, String(child.pid), 'cgroup'),
    `0::/kubepods/pod${uid.replaceAll('-', '_')}/c\n`,
  );
  const netnsDir = path.join(root, 'netns');
  const search = (id: string, address: string, dirs = { procDir, netnsDir }): boolean => {
    const found = findPodNetworkNamespace(dirs, id, [address]);
    found?.close();
    return found?.id === namespace.id;
  };
  const byCgroup = search(uid, '10.1.1.1');
  const strangerAddress = search(uid, '10.1.1.2');
  const strangerUid = search('00000000-0000-0000-0000-000000000000', '10.1.1.1');
  mkdirSync(netnsDir);
  symlinkSync(`/proc/${child.pid}/ns/net`, path.join(netnsDir, 'cni-1'));
  writeFileSync(path.join(netnsDir, 'not-a-namespace'), '');
  const byName = search('00000000-0000-0000-0000-000000000000', '10.1.1.1');
  const byNameStranger = search('00000000-0000-0000-0000-000000000000', '10.1.1.2');
  child.kill('SIGKILL');
  namespace.close();
  return { byCgroup, strangerAddress, strangerUid, byName, byNameStranger };
}

/**
 * A connection that was redirected before goes on when redirection stops, a new one isn't redirected, and the reset of
 * the proxy's end still arrives; afterwards everything is taken away.
 */
export async function letsConnectionsEnd(variant: IptablesVariant): Promise<Record<string, string>> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  for (const args of [
    ['link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1'],
    ['link', 'set', 'd0', 'up'],
    ['link', 'set', 'd1', 'up'],
    ['addr', 'add', '10.9.0.1/24', 'dev', 'd0'],
    ['route', 'add', '10.96.0.0/16', 'via', '10.9.0.2'],
    ['neigh', 'add', '10.9.0.2', 'lladdr', '02:00:00:00:00:01', 'dev', 'd0'],
  ]) {
    runner.run('ip', args);
  }
  const listener = inNetworkNamespace(namespace, () =>
    createTcpListener({ host: '::', port: 15001, mark: ZTUNNEL_MARK, transparent: 'best-effort' }),
  );
  const accepted: Socket[] = [];
  const server = createServer((socket) => void accepted.push(socket.on('error', () => undefined)));
  server.listen({ fd: listener.fd });
  const redirection = new PodRedirection(runner, variant, [4]);
  redirection.apply(options);
  const connect = (): { socket: Socket; outcome: Promise<string>; connected: Promise<boolean> } => {
    const { fd } = inNetworkNamespace(namespace, () => createTcpSocket({ family: 4 }));
    const socket = new Socket({ fd }).connect({ host: '10.96.1.1', port: 9000 });
    const outcome = new Promise<string>((resolve) => {
      socket.on('error', (error) => resolve('code' in error ? String(error.code) : error.message));
      socket.on('end', () => resolve('end'));
    });
    const connected = new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      setTimeout(() => resolve(false), 300).unref();
    });
    return { socket, outcome, connected };
  };
  const open = connect();
  await open.connected;
  while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  redirection.stopRedirecting();
  accepted[0]?.write('still here');
  const [said] = (await once(open.socket, 'data')) as [Buffer];
  const fresh = connect();
  const freshIsRedirected = await fresh.connected;
  fresh.socket.destroy();
  accepted[0]?.resetAndDestroy();
  const reset = await open.outcome;
  redirection.remove();
  const left = state(namespace, variant);
  server.close();
  namespace.close();
  return { said: said.toString(), freshIsRedirected: String(freshIsRedirected), reset, left };
}
