import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import path from 'node:path';
import { inNetworkNamespace, openNetworkNamespace, type NetworkNamespace } from '@weft/linux';
import { systemErrorCode } from '@weft/telemetry';

export interface NodeView {
  /** The node's `/proc` as mounted here. */
  readonly procDir: string;
  /** The node's `/var/run/netns` as mounted here. */
  readonly netnsDir: string;
}

/** Files read per search; a node has a few thousand processes. */
const MAX_PROCESSES = 65_536;

/**
 * Finds the network namespace of a running pod: by the pod's UID in its processes' cgroup names, as kubelets make
 * them, else among the named namespaces by the pod's address. Either way the namespace must own one of the addresses,
 * or a stale entry could have us redirect a stranger's traffic. The caller closes the result.
 */
export function findPodNetworkNamespace(
  node: NodeView,
  uid: string,
  addresses: readonly string[],
): NetworkNamespace | undefined {
  if (addresses.length === 0) return undefined;
  const hostNamespace = namespaceId(path.join(node.procDir, '1/ns/net'));
  for (const candidate of [...byCgroup(node.procDir, uid), ...named(node.netnsDir)]) {
    const namespace = open(candidate);
    if (namespace === undefined) continue;
    if (namespaceId(candidate) !== hostNamespace && ownsAddress(namespace, addresses)) return namespace;
    namespace.close();
  }
  return undefined;
}

/** Whether a namespace that we hold as a pod's still is that. */
export type NamespaceCheck = (
  held: Pick<NetworkNamespace, 'fd' | 'id'>,
  uid: string,
  addresses: readonly string[],
) => boolean;

/**
 * A sandbox that is made anew past us leaves its namespace to whoever holds it, and where nobody takes the interface
 * away, the address stays in there as well. So what neither a process nor a name keeps any more counts only until
 * the pod has another one. All the checks together cost one pass over the processes of the node.
 */
export function namespaceCheck(node: NodeView): NamespaceCheck {
  let inUse: ReadonlySet<string> | undefined;
  return (held, uid, addresses) => {
    if (!ownsAddress(held, addresses)) return false;
    inUse ??= namespacesInUse(node);
    if (inUse.has(held.id)) return true;
    const found = findPodNetworkNamespace(node, uid, addresses);
    found?.close();
    return found === undefined || found.id === held.id;
  };
}

/** Ids of the namespaces that a process or a name keeps. */
function namespacesInUse({ procDir, netnsDir }: NodeView): ReadonlySet<string> {
  const ofProcesses = processes(procDir).map((pid) => path.join(procDir, pid, 'ns/net'));
  return new Set([...ofProcesses, ...named(netnsDir)].flatMap((file) => fileId(file) ?? []));
}

/** Namespace paths of the pod's processes, oldest first: the sandbox outlives its containers. */
function byCgroup(procDir: string, uid: string): readonly string[] {
  const spellings = [uid, uid.replaceAll('-', '_')];
  const found: { path: string; startTime: number }[] = [];
  for (const pid of processes(procDir)) {
    const cgroup = read(path.join(procDir, pid, 'cgroup'));
    if (!spellings.some((s) => cgroup.includes(s))) continue;
    found.push({
      path: path.join(procDir, pid, 'ns/net'),
      startTime: startTime(read(path.join(procDir, pid, 'stat'))),
    });
  }
  return found.sort((a, b) => a.startTime - b.startTime).map((f) => f.path);
}

function processes(procDir: string): readonly string[] {
  return list(procDir)
    .filter((name) => /^\d+$/.test(name))
    .slice(0, MAX_PROCESSES);
}

function named(netnsDir: string): readonly string[] {
  return list(netnsDir).map((name) => path.join(netnsDir, name));
}

/** Field 22 of /proc/pid/stat; the command name before it may hold spaces and parentheses. */
function startTime(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[19] ?? Number.POSITIVE_INFINITY);
}

/** Addresses by which others reach the namespace, as far as the interfaces tell. */
export function addressesIn(namespace: NetworkNamespace): readonly string[] {
  return interfaceAddresses(namespace)
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address);
}

function interfaceAddresses(namespace: Pick<NetworkNamespace, 'fd'>): readonly NetworkInterfaceInfo[] {
  return inNetworkNamespace(namespace, () => Object.values(networkInterfaces()).flatMap((i) => i ?? []));
}

/** Whether an interface in the namespace has one of the addresses. */
function ownsAddress(namespace: Pick<NetworkNamespace, 'fd'>, addresses: readonly string[]): boolean {
  try {
    // A pod may have its address on the loopback device, as some CNIs with policy routing give it.
    const own = interfaceAddresses(namespace).map(({ address }) => address);
    return addresses.some((address) => own.includes(address));
  } catch {
    return false; // a plain file in the folder, or a namespace that is going away
  }
}

function open(file: string): NetworkNamespace | undefined {
  try {
    return openNetworkNamespace(file);
  } catch {
    return undefined; // the process has ended meanwhile
  }
}

function namespaceId(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined; // a named namespace is a mount, not a link
  }
}

/** As in `NetworkNamespace`. */
function fileId(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined; // the process has ended meanwhile
  }
}

function list(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process has ended meanwhile
  }
}
