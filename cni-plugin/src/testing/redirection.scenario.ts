import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket, createServer } from 'node:net';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6, ZTUNNEL_MARK } from '@weft/api';
import {
  createNetworkNamespace,
  createTcpListener,
  createTcpSocket,
  inNetworkNamespace,
  type NetworkNamespace,
} from '@weft/linux';
import { findPodNetworkNamespace, namespaceCheck } from '../agent/pod-network-namespace.ts';
import { netfilterOf, type Backend } from '../rules/backend.ts';
import { commandRunner, type CommandRunner } from '../rules/command.ts';
import { IptablesHostRules } from '../rules/host-iptables.ts';
import { NftHostRules } from '../rules/host-nftables.ts';
import type { HostProbeRules } from '../rules/host-rules.ts';
import { PodRedirection, type RedirectionSettings } from '../rules/pod-redirection.ts';
import { iptablesChains } from '../rules/iptables-form.ts';
import { program } from '../rules/iptables.ts';
import { nftTables, replacementInput } from '../rules/nft-form.ts';
import { guardrails, podRules, type PodRuleOptions } from '../rules/pod-rules.ts';
import { restoreInput } from '../rules/restore.ts';

/** Steps of redirection.kernel.test.ts; they run inside a Sandbox. */

const options: PodRuleOptions = { bypassInbound: false, dnsCapture: true, virtualInterfaces: [] };
const children: ChildProcess[] = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export function backendNamed(name: string): Backend {
  if (name === 'nftables') return { kind: 'nftables' };
  return { kind: 'iptables', variant: name === 'iptables-legacy' ? name : 'iptables-nft' };
}

export function settingsFor(name: string, others: readonly string[] = []): RedirectionSettings {
  return {
    backend: backendNamed(name),
    others: others.map(backendNamed),
    versions: [4, 6],
    probeSources: { 4: HOST_PROBE_SNAT_IPV4, 6: HOST_PROBE_SNAT_IPV6 },
  };
}

function podNamespace(): NetworkNamespace {
  const namespace = createNetworkNamespace();
  const runner = commandRunner(namespace);
  runner.run('ip', ['link', 'set', 'lo', 'up']);
  return namespace;
}

const iptablesVariants = ['iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy'];

/** What `iptables-save` of a variant lists. */
function savedRules(runner: CommandRunner, variant: string): string[] {
  const { status, stdout, stderr } = runner.tryRun(`${variant}-save`, []);
  // The legacy tables are closed to a sandbox that lacks the machine's root; then it wrote none.
  if (status !== 0 && !(variant.endsWith('legacy') && stderr.includes('Permission denied')))
    throw new Error(`${variant}-save: ${stderr}`);
  return stdout.split('\n');
}

/** Whatever of ours is in the namespace, of any back end, as text. */
export function residue(runner: CommandRunner): string {
  const saved = iptablesVariants
    .flatMap((variant) => savedRules(runner, variant))
    .filter((line) => line.startsWith('-A') || line.includes('ISTIO'));
  const tables = runner
    .run('nft', ['list', 'tables'])
    .split('\n')
    .filter((line) => line.includes('istio-'));
  const nft = tables.map((line) => runner.run('nft', ['-y', 'list', ...line.trim().split(' ')]));
  const routing = ['-4', '-6'].flatMap((family) => [
    runner.run('ip', [family, 'rule', 'show', 'pref', '32764']).trim(),
    runner.tryRun('ip', [family, 'route', 'show', 'table', '100']).stdout.trim(),
  ]);
  return [...saved, ...nft, ...routing, runner.run('ipset', ['list', '-n']).trim()]
    .filter(Boolean)
    .join('\n');
}

const damages: Readonly<Record<string, readonly (readonly string[])[]>> = {
  iptables: [
    ['%', '-t', 'nat', '-D', 'ISTIO_OUTPUT', '1'],
    ['%', '-t', 'nat', '-F', 'ISTIO_PRERT'],
    ['%', '-t', 'nat', '-I', 'OUTPUT', '1', '-p', 'tcp', '-j', 'ACCEPT'],
    ['%', '-t', 'mangle', '-F', 'PREROUTING'],
    ['ip', '-6', 'rule', 'del', 'pref', '32764'],
  ],
  nftables: [
    ['nft', 'flush', 'chain', 'inet', 'istio-ambient-nat', 'istio-output'],
    ['nft', 'insert', 'rule', 'inet', 'istio-ambient-nat', 'output', 'meta', 'l4proto', 'tcp', 'accept'],
    ['nft', 'delete', 'table', 'inet', 'istio-ambient-mangle'],
    ['ip', '-4', 'route', 'flush', 'table', '100'],
  ],
};

/** Applies, applies again, damages, repairs and removes; what is left at the end must be nothing. */
export function redirectsAndRestores(name: string): Record<string, boolean | string | string[]> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  const redirection = new PodRedirection(runner, settingsFor(name));
  redirection.apply(options);
  const first = residue(runner);
  const inForce = redirection.differences(options).length === 0;
  redirection.apply(options);
  const second = residue(runner);
  const told: string[] = [];
  const unrepaired: string[] = [];
  for (const damage of damages[name === 'nftables' ? name : 'iptables'] ?? []) {
    const [program = '', ...args] = damage.map((word) => word.replace('%', name));
    runner.run(program, args);
    told.push(redirection.differences(options).join('; '));
    redirection.reconcile(options);
    if (redirection.differences(options).length > 0) unrepaired.push(damage.join(' '));
  }
  const withoutDns = { ...options, dnsCapture: false };
  redirection.apply(withoutDns);
  const dnsLeft = /15053|zone/.test(residue(runner));
  redirection.remove();
  const left = residue(runner)
    .replace(/^-A .*-p tcp -j ACCEPT$/gm, '')
    .trim();
  redirection.remove();
  namespace.close();
  return { inForce, idempotent: first === second, told, unrepaired, dnsLeft, left };
}

/** Rules of one back end, taken over by an agent that uses another one. */
export function takesOver(from: string, to: string): Record<string, boolean | string> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  new PodRedirection(runner, settingsFor(from)).apply(options);
  const next = new PodRedirection(runner, settingsFor(to, [from]));
  const result = next.reconcile(options);
  const again = next.reconcile(options);
  const fromIsGone = !netfilterOf(backendNamed(from), runner, settingsFor(from)).isPresent();
  next.remove();
  const left = residue(runner);
  namespace.close();
  return { result, again, fromIsGone, left };
}

/** What an agent leaves that dies between putting guardrails up and taking them down. */
export function survivesGuardrails(name: string): Record<string, boolean | string> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  const settings = settingsFor(name);
  const redirection = new PodRedirection(runner, settings);
  redirection.apply(options);
  netfilterOf(settings.backend, runner, settings).guard();
  const noticed = redirection.differences(options).length > 0;
  const guarded = /drop/i.test(residue(runner));
  redirection.reconcile(options);
  const lifted = !/drop/i.test(residue(runner));
  redirection.remove();
  const left = residue(runner);
  namespace.close();
  return { noticed, guarded, lifted, left };
}

/** Whether the programs themselves take what we write, without putting it in force. */
export function isAccepted(name: string): Record<string, boolean> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  const everything = { ...options, virtualInterfaces: ['net1'] };
  const { probeSources, versions } = settingsFor(name);
  const accepted: Record<string, boolean> = {};
  for (const [title, rules] of [
    ['pod', podRules(everything)],
    ['bypass', podRules({ ...everything, bypassInbound: true, dnsCapture: false })],
    ['guardrails', guardrails],
  ] as const) {
    if (name === 'nftables') {
      const input = replacementInput(nftTables(rules, { versions, probeSources }));
      accepted[title] = runner.tryRun('nft', ['-c', '-f', '-'], input).status === 0;
      continue;
    }
    accepted[title] = versions.every((version) => {
      const input = restoreInput(iptablesChains(rules, version, probeSources), [], new Map());
      const restore = program(name === 'iptables-legacy' ? name : 'iptables-nft', version, '-restore');
      return runner.tryRun(restore, ['--test', '--noflush'], input).status === 0;
    });
  }
  namespace.close();
  return accepted;
}

function hostRules(name: string, runner: CommandRunner): HostProbeRules {
  const settings = settingsFor(name);
  const { backend } = settings;
  return backend.kind === 'nftables'
    ? new NftHostRules(runner, settings, 0)
    : new IptablesHostRules(runner, backend.variant, settings);
}

/** Host rules in a namespace of their own; probes of two pods, one of which takes over the other's address. */
export function keepsProbeSet(name: string): Record<string, string | boolean> {
  const namespace = podNamespace();
  const runner = commandRunner(namespace);
  const rules = hostRules(name, runner);
  const members = (): string =>
    ([4, 6] as const)
      .flatMap((v) => rules.members(v).map(({ address, uid }) => `${uid}=${address}`))
      .join(' ');
  const first = rules.install();
  const second = rules.install();
  rules.addPod('a', ['10.0.0.1', 'fd00::1']);
  rules.addPod('b', ['10.0.0.1']);
  rules.removePod('a', ['10.0.0.1']);
  const afterTakeover = members();
  rules.addPod('c', ['10.0.0.3']);
  // The next agent: what was there stays in force until it knows its pods.
  const successor = hostRules(name, runner);
  const bySuccessor = successor.install();
  const afterRestart = members();
  successor.retain(['10.0.0.1']);
  const afterRetain = members();
  if (name === 'nftables') runner.run('nft', ['flush', 'chain', 'inet', 'istio-ambient-nat', 'postrouting']);
  else runner.run(name, ['-t', 'nat', '-F', 'POSTROUTING']);
  const repaired = rules.install();
  const afterRepair = members();
  rules.removePod('b', ['10.0.0.1']);
  const empty = members();
  rules.remove();
  const left = residue(runner);
  namespace.close();
  const installs = [first, second, bySuccessor, repaired].join(' ');
  return { installs, afterTakeover, afterRestart, afterRetain, afterRepair, empty, left };
}

/**
 * A process in a namespace with an address, and a fake /proc that names it by its pod's UID. Then it dies, and the pod
 * gets another namespace, with the same address.
 */
export async function findsByCgroup(): Promise<Record<string, unknown>> {
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
  const isCurrent = (address = '10.1.1.1'): boolean =>
    namespaceCheck({ procDir, netnsDir })(namespace, uid, [address]);
  rmSync(path.join(netnsDir, 'cni-1'));
  const keptByProcess = isCurrent();
  const withoutAddress = isCurrent('10.1.1.2');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const keptByUs = isCurrent();
  const successor = podNamespace();
  commandRunner(successor).run('ip', ['addr', 'add', '10.1.1.1/32', 'dev', 'lo']);
  symlinkSync(`/proc/self/fd/${successor.fd}`, path.join(netnsDir, 'cni-2'));
  const succeeded = isCurrent();
  symlinkSync(`/proc/self/fd/${namespace.fd}`, path.join(netnsDir, 'cni-3'));
  const keptByName = isCurrent();
  successor.close();
  namespace.close();
  rmSync(root, { recursive: true });
  return {
    byCgroup,
    strangerAddress,
    strangerUid,
    byName,
    byNameStranger,
    current: { keptByProcess, keptByName, keptByUs, withoutAddress, succeeded },
  };
}

/**
 * A connection that was redirected before goes on when redirection stops, a new one isn't redirected, and the reset of
 * the proxy's end still arrives; afterwards everything is taken away.
 */
export async function letsConnectionsEnd(name: string): Promise<Record<string, string>> {
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
  const redirection = new PodRedirection(runner, settingsFor(name));
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
  const left = residue(runner);
  server.close();
  namespace.close();
  return { said: said.toString(), freshIsRedirected: String(freshIsRedirected), reset, left };
}
