import { readdir, readFile, readlink } from 'node:fs/promises';
import type { UserMapping } from './state-directory.ts';

const mappingFlags: Readonly<Record<UserMapping, readonly string[]>> = {
  root: [],
  'single-user': ['--user', '--map-root-user'],
  'subordinate-ids': ['--user', '--map-root-user', '--map-auto'],
};

/** Arguments of `unshare` for network, mount and PID namespaces that end together; the command follows them. */
export function unshareArguments(mapping: UserMapping, more: readonly string[] = []): readonly string[] {
  return [
    ...mappingFlags[mapping],
    ...more,
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation',
    'private',
    '--',
  ];
}

/** Field 22 of `/proc/PID/stat`, or undefined when the process is gone (or only a zombie is left). */
export async function processStartTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : fields[18];
  } catch {
    return undefined;
  }
}

/** `pid:[4026532281]` of the namespace that a process's children get. */
export async function childPidNamespace(pid: number): Promise<string | undefined> {
  return readlink(`/proc/${pid}/ns/pid_for_children`).catch(() => undefined);
}

/** The processes directly inside a PID namespace that this user may look at, and which of them is its PID 1. */
export async function processesIn(
  pidNamespace: string,
): Promise<{ pids: readonly number[]; init: number | undefined }> {
  const pids: number[] = [];
  let init: number | undefined;
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => undefined);
    if (namespace !== pidNamespace) continue;
    pids.push(pid);
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    if (/^NSpid:.*\t1$/m.test(status)) init = pid;
  }
  return { pids, init };
}
