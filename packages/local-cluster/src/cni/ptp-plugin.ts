import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { AddressPool } from './address-pool.ts';
import { cniCode, PluginFailure } from './plugin-failure.ts';

/** What the specification's environment and standard input give a plugin. */
export interface PluginRequest {
  readonly command: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  readonly stdin: string;
}
export interface PluginResponse {
  readonly exitCode: number;
  readonly stdout: string;
}

interface PtpConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly podCidr: string;
  readonly dataDir: string;
  readonly mtu: number;
  readonly validAttachments: readonly string[];
}

const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const DEFAULT_MTU = 1500;

/**
 * The base plugin of the local cluster: a veth pair per pod, whose host end is routed, not bridged. Each packet between
 * two pods of a node thereby passes the node's IP layer, so that address translation for Services is undone on the way
 * back without needing bridge netfilter; and a pod can reach itself through a Service (what a bridge calls hairpin).
 *
 *     pod eth0 10.244.1.5/32 ── veth ── host end 10.244.1.1/32, route 10.244.1.5 dev veth
 *     default via 10.244.1.1
 */
export function runPtpPlugin(request: PluginRequest): PluginResponse {
  try {
    return { exitCode: 0, stdout: respond(request) };
  } catch (error) {
    const failure =
      error instanceof PluginFailure ? error : new PluginFailure(cniCode.generic, String(error));
    const body = { cniVersion: '1.0.0', code: failure.cniCode, msg: failure.message };
    return { exitCode: 1, stdout: JSON.stringify(body) };
  }
}

function respond(request: PluginRequest): string {
  switch (request.command) {
    case 'VERSION':
      return JSON.stringify({ cniVersion: '1.1.0', supportedVersions: SUPPORTED_VERSIONS });
    case 'ADD':
      return JSON.stringify(add(readConfig(request.stdin), withContainer(request)));
    case 'DEL':
      del(readConfig(request.stdin), withContainer(request));
      return '';
    case 'CHECK':
      check(readConfig(request.stdin), withContainer(request));
      return '';
    case 'STATUS':
      readConfig(request.stdin);
      return '';
    case 'GC':
      collect(readConfig(request.stdin));
      return '';
    default:
      throw new PluginFailure(cniCode.environmentInvalid, `CNI_COMMAND=${request.command}: not a command`);
  }
}

function add(config: PtpConfig, { containerId, netns, ifName }: PluginRequest): unknown {
  if (netns === '') throw new PluginFailure(cniCode.environmentInvalid, 'CNI_NETNS is empty');
  const pool = new AddressPool(config.dataDir, config.podCidr);
  if (pool.find(containerId) !== undefined) {
    throw new PluginFailure(cniCode.generic, `container ${containerId} is attached already`);
  }
  const address = pool.reserve(containerId);
  const hostName = hostInterfaceName(containerId);
  try {
    enableForwarding();
    const [hostMac, podMac] = [macAddress(`${containerId} host`), macAddress(`${containerId} pod`)];
    ip([
      `link add name ${hostName} address ${hostMac} mtu ${config.mtu} type veth peer name ${ifName} address ${podMac} mtu ${config.mtu} netns ${netns}`,
      // The gateway's address on every host end: each pod's ARP question for it is answered where it arrives.
      `addr add ${pool.gateway}/32 dev ${hostName}`,
      `link set ${hostName} up`,
      `route add ${address}/32 dev ${hostName}`,
    ]);
    ip(
      [
        'link set lo up',
        `addr add ${address}/32 dev ${ifName}`,
        `link set ${ifName} up`,
        `route add ${pool.gateway}/32 dev ${ifName} scope link`,
        `route add default via ${pool.gateway} dev ${ifName}`,
      ],
      netns,
    );
    return {
      cniVersion: config.cniVersion,
      interfaces: [
        { name: hostName, mac: hostMac },
        { name: ifName, mac: podMac, sandbox: netns },
      ],
      ips: [
        {
          // Before 1.0.0 an address said its family.
          ...(config.cniVersion.startsWith('0.') ? { version: '4' } : {}),
          interface: 1,
          address: `${address}/32`,
          gateway: pool.gateway,
        },
      ],
      routes: [{ dst: '0.0.0.0/0', gw: pool.gateway }],
      dns: {},
    };
  } catch (error) {
    removeLink(hostName);
    pool.release(containerId);
    throw error;
  }
}

function del(config: PtpConfig, { containerId }: PluginRequest): void {
  // Removing one end removes both, and the routes through it, whether or not the namespace still exists.
  removeLink(hostInterfaceName(containerId));
  new AddressPool(config.dataDir, config.podCidr).release(containerId);
}

function check(config: PtpConfig, { containerId, netns, ifName }: PluginRequest): void {
  const address = new AddressPool(config.dataDir, config.podCidr).find(containerId);
  if (address === undefined)
    throw new PluginFailure(cniCode.checkFailed, `container ${containerId} holds no address`);
  if (!linkExists(hostInterfaceName(containerId))) {
    throw new PluginFailure(cniCode.checkFailed, `the host end of ${containerId} is gone`);
  }
  const shown = ip([`addr show dev ${ifName}`], netns);
  if (!shown.includes(`inet ${address}/`))
    throw new PluginFailure(cniCode.checkFailed, `${ifName} doesn't have ${address}`);
}

function collect(config: PtpConfig): void {
  const pool = new AddressPool(config.dataDir, config.podCidr);
  for (const { containerId } of pool.taken()) {
    if (config.validAttachments.includes(containerId)) continue;
    removeLink(hostInterfaceName(containerId));
    pool.release(containerId);
  }
}

function withContainer(request: PluginRequest): PluginRequest {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(request.containerId)) {
    throw new PluginFailure(cniCode.environmentInvalid, `CNI_CONTAINERID=${request.containerId}: not an id`);
  }
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(request.ifName)) {
    throw new PluginFailure(
      cniCode.environmentInvalid,
      `CNI_IFNAME=${request.ifName}: not an interface name`,
    );
  }
  if (/\s/.test(request.netns))
    throw new PluginFailure(cniCode.environmentInvalid, 'CNI_NETNS has white space');
  return request;
}

function readConfig(stdin: string): PtpConfig {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(stdin) as Record<string, unknown>; // fields are checked below
  } catch {
    throw new PluginFailure(cniCode.decodingFailed, 'the configuration is not JSON');
  }
  const { cniVersion, name, podCidr, dataDir, mtu = DEFAULT_MTU } = parsed;
  if (typeof cniVersion !== 'string' || !SUPPORTED_VERSIONS.includes(cniVersion)) {
    throw new PluginFailure(cniCode.versionUnsupported, `cniVersion ${String(cniVersion)} is not supported`);
  }
  if (
    typeof name !== 'string' ||
    typeof podCidr !== 'string' ||
    typeof dataDir !== 'string' ||
    typeof mtu !== 'number'
  ) {
    throw new PluginFailure(
      cniCode.configInvalid,
      'name, podCidr, dataDir and mtu must be strings and a number',
    );
  }
  const attachments = parsed['cni.dev/valid-attachments'];
  const validAttachments = (Array.isArray(attachments) ? (attachments as readonly unknown[]) : []).flatMap(
    (entry) =>
      typeof entry === 'object' && entry !== null && 'containerID' in entry
        ? [String(entry.containerID)]
        : [],
  );
  return { cniVersion, name, podCidr, dataDir, mtu, validAttachments };
}

/** Interface names have 15 characters; container ids don't fit. */
function hostInterfaceName(containerId: string): string {
  return `veth${createHash('sha256').update(containerId).digest('hex').slice(0, 10)}`;
}

/** A stable, locally administered unicast address. */
function macAddress(seed: string): string {
  const bytes = createHash('sha256').update(seed).digest().subarray(0, 6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function enableForwarding(): void {
  const path = '/proc/sys/net/ipv4/ip_forward';
  if (readFileSync(path, 'utf8').trim() !== '1') writeFileSync(path, '1');
}

function removeLink(name: string): void {
  if (linkExists(name)) ip([`link del ${name}`]);
}

function linkExists(name: string): boolean {
  // Not by /sys: it may show the network namespace that mounted it.
  return ip(['link show type veth'], '', ['-o'])
    .split('\n')
    .some((line) => line.split(/[:@\s]+/)[1] === name);
}

/** One `ip -batch` for all commands: each process costs more than the work. */
function ip(commands: readonly string[], netns = '', options: readonly string[] = []): string {
  const batch = ['ip', ...options, '-batch', '-'];
  const [command = 'ip', ...args] = netns === '' ? batch : ['nsenter', `--net=${netns}`, ...batch];
  const input = `${commands.join('\n')}\n`;
  try {
    return execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  } catch (error) {
    const stderr =
      typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new PluginFailure(cniCode.generic, stderr === '' ? String(error) : stderr);
  }
}
