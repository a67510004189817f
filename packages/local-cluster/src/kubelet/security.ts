import { readFileSync } from 'node:fs';
import type { Container, Pod } from './pod.ts';

/** What this kubelet may do with users and capabilities; read once from /proc. */
export interface HostPrivileges {
  /** Ranges of uids and gids that exist in our user namespace. */
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  /** False where `setgroups` is denied, as in a user namespace made without privilege. */
  readonly maySetGroups: boolean;
  /** Our bounding set, as lower-case names without `cap_`: nobody below us can have more. */
  readonly capabilities: ReadonlySet<string>;
}
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** How a container's process gets its user and its capabilities. */
export interface ProcessCredentials {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Names of the bounding set; for uid 0 they are also effective. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /**
   * `switch`: setuid and setgid. `nested`: the ids don't exist here, so a user namespace is made in which our uid is
   * called so. `keep`: stay uid and gid 0.
   */
  readonly identity: 'switch' | 'nested' | 'keep';
  /** What the pod asked for and doesn't get; for a Warning event. */
  readonly shortfall: string | undefined;
}

/** What containerd gives a container that asks for nothing. */
const DEFAULT_CAPABILITIES = [
  'audit_write',
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'kill',
  'mknod',
  'net_bind_service',
  'net_raw',
  'setfcap',
  'setgid',
  'setpcap',
  'setuid',
  'sys_chroot',
];

/** Decides how to run a container. Pure; `uid` falls back to 0, for local commands have no image user. */
export function decideCredentials(pod: Pod, container: Container, host: HostPrivileges): ProcessCredentials {
  const podContext = pod.spec.securityContext ?? {};
  const context = container.securityContext ?? {};
  const uid = context.runAsUser ?? podContext.runAsUser ?? 0;
  const gid = context.runAsGroup ?? podContext.runAsGroup ?? 0;
  const { fsGroup, supplementalGroups = [] } = podContext;
  const groups = [...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])];
  const capabilities = decideCapabilities(container, host);
  const noNewPrivileges = context.allowPrivilegeEscalation === false;
  const common = { uid, gid, groups, capabilities, noNewPrivileges };

  if (isMapped(host.uids, uid) && isMapped(host.gids, gid)) {
    return {
      ...common,
      identity: uid === 0 && gid === 0 && !host.maySetGroups ? 'keep' : 'switch',
      shortfall: undefined,
    };
  }
  // A process whose uid isn't 0 loses its capabilities when it is executed, so the nested namespace, in which it has
  // none over the pod's network, takes nothing from it. Only a uid 0 with another gid must choose.
  if (uid !== 0) return { ...common, groups: [], identity: 'nested', shortfall: undefined };
  const shortfall = `runAsGroup ${gid} does not exist in the cluster's user namespace; the container runs with gid 0`;
  return { ...common, gid: 0, groups: [], identity: 'keep', shortfall };
}

/** True when the pod says that it must not be root and would be. */
export function violatesNonRoot(pod: Pod, container: Container): boolean {
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot ?? false;
  const uid = container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser ?? 0;
  return nonRoot && uid === 0;
}

function decideCapabilities(container: Container, host: HostPrivileges): readonly string[] {
  const { privileged = false, capabilities = {} } = container.securityContext ?? {};
  if (privileged) return [...host.capabilities].sort();
  const normal = (name: string): string => name.toLowerCase().replace(/^cap_/, '');
  const drop = (capabilities.drop ?? []).map(normal);
  const add = (capabilities.add ?? []).map(normal);
  const chosen = new Set(drop.includes('all') ? [] : DEFAULT_CAPABILITIES);
  if (add.includes('all')) for (const name of host.capabilities) chosen.add(name);
  for (const name of drop) chosen.delete(name);
  for (const name of add) if (name !== 'all') chosen.add(name);
  return [...chosen].filter((name) => host.capabilities.has(name)).sort();
}

function isMapped(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some(({ first, count }) => id >= first && id < first + count);
}

/** Lines of /proc/self/uid_map: first id here, first id outside, how many. */
export function parseIdMap(text: string): readonly IdRange[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([first = 0, , count = 0]) => ({ first, count }));
}

/** Those of this process. */
export function readPrivileges(): HostPrivileges {
  const read = (name: string): string => readFileSync(`/proc/self/${name}`, 'utf8');
  return {
    uids: parseIdMap(read('uid_map')),
    gids: parseIdMap(read('gid_map')),
    maySetGroups: read('setgroups').trim() === 'allow',
    capabilities: parseCapabilities(read('status')),
  };
}

/** In the order of their bits. */
const capabilityNames = [
  'chown',
  'dac_override',
  'dac_read_search',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'linux_immutable',
  'net_bind_service',
  'net_broadcast',
  'net_admin',
  'net_raw',
  'ipc_lock',
  'ipc_owner',
  'sys_module',
  'sys_rawio',
  'sys_chroot',
  'sys_ptrace',
  'sys_pacct',
  'sys_admin',
  'sys_boot',
  'sys_nice',
  'sys_resource',
  'sys_time',
  'sys_tty_config',
  'mknod',
  'lease',
  'audit_write',
  'audit_control',
  'setfcap',
  'mac_override',
  'mac_admin',
  'syslog',
  'wake_alarm',
  'block_suspend',
  'audit_read',
  'perfmon',
  'bpf',
  'checkpoint_restore',
];

/** The CapBnd line of /proc/self/status. */
export function parseCapabilities(status: string): ReadonlySet<string> {
  const bits = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return new Set(capabilityNames.filter((_, index) => ((bits >> BigInt(index)) & 1n) === 1n));
}

/** The command prefix that gives a process these credentials; the command follows. */
export function credentialsPrefix(credentials: ProcessCredentials): readonly string[] {
  const { uid, gid, groups, capabilities, noNewPrivileges, identity } = credentials;
  const options = noNewPrivileges ? ['--no-new-privs'] : [];
  if (identity === 'nested') {
    // The bounding set stays: mapping our uid 0 takes CAP_SETFCAP, and in the new namespace, which starts with a full
    // set whatever ours was, a uid other than 0 has no capability anyway.
    const setpriv = options.length === 0 ? [] : ['setpriv', ...options, '--'];
    return [...setpriv, 'unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`, '--'];
  }
  options.push(`--bounding-set=${['-all', ...capabilities.map((name) => `+${name}`)].join(',')}`);
  if (identity === 'switch') {
    options.push(`--reuid=${uid}`, `--regid=${gid}`);
    options.push(groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`);
  }
  return ['setpriv', ...options, '--'];
}
