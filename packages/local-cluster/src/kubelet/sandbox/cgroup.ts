import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Our own part of the machine's cgroup tree. Pods lie below `kubepods`, as on a real node, where programs look for
 * the UID of a process's pod; `weft` above it keeps apart what a real kubelet would clean up.
 */
const PARENT = 'weft';
const PODS = 'kubepods';

/**
 * The cgroups of pods, which mark whose a process is: in `/proc/PID/cgroup` stands `…/kubepods/pod<UID>`. Nothing is
 * limited by them. There are none where the cgroup tree isn't ours to write, as in a user namespace.
 */
export class PodCgroups {
  private readonly root: string | undefined;

  private constructor(root: string | undefined) {
    this.root = root;
  }

  /** Takes the first hierarchy that lets us make a directory: the unified one if it may, else a version 1 one. */
  static find(mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8')): PodCgroups {
    for (const mountPoint of hierarchies(mountInfo)) {
      const root = join(mountPoint, PARENT, PODS);
      try {
        mkdirSync(root, { recursive: true });
        accessSync(root, constants.W_OK);
        return new PodCgroups(root);
      } catch {
        // Not ours to write: the next one.
      }
    }
    return new PodCgroups(undefined);
  }

  static none(): PodCgroups {
    return new PodCgroups(undefined);
  }

  get available(): boolean {
    return this.root !== undefined;
  }

  /** The file into which a process writes its PID to join the pod, or undefined where there are no cgroups. */
  joinFile(podUid: string): string | undefined {
    if (this.root === undefined) return undefined;
    const directory = join(this.root, `pod${podUid}`);
    try {
      mkdirSync(directory, { recursive: true });
    } catch {
      return undefined; // a marker less is no reason to refuse a pod
    }
    return join(directory, 'cgroup.procs');
  }

  /** PIDs of the pod's processes. */
  processes(podUid: string): readonly number[] {
    if (this.root === undefined) return [];
    try {
      const text = readFileSync(join(this.root, `pod${podUid}`, 'cgroup.procs'), 'utf8');
      return text.split('\n').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  }

  /** A cgroup with processes in it stays. */
  remove(podUid: string): void {
    if (this.root !== undefined) removeEmpty(join(this.root, `pod${podUid}`));
  }
}

/**
 * Removes every pod cgroup without a process, of whichever cluster, and what is then empty above: for when a cluster
 * has ended, however it did.
 */
export function removeEmptyPodCgroups(
  mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
): void {
  for (const mountPoint of hierarchies(mountInfo)) {
    const root = join(mountPoint, PARENT, PODS);
    let names: string[];
    try {
      names = readdirSync(root);
    } catch {
      continue;
    }
    for (const name of names) if (name.startsWith('pod')) removeEmpty(join(root, name));
    removeEmpty(root);
    removeEmpty(join(mountPoint, PARENT));
  }
}

/** Mount points of cgroup file systems: version 2 first, then the named version 1 hierarchy, then the others. */
function hierarchies(mountInfo: string): readonly string[] {
  const found: { rank: number; mountPoint: string }[] = [];
  for (const line of mountInfo.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-');
    const [type = '', , options = ''] = fields.slice(separator + 1);
    const mountPoint = fields[4];
    if (separator < 0 || mountPoint === undefined) continue;
    if (type === 'cgroup2') found.push({ rank: 0, mountPoint });
    else if (type === 'cgroup') found.push({ rank: options.includes('name=') ? 1 : 2, mountPoint });
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ mountPoint }) => mountPoint);
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Busy or gone; both are fine.
  }
}
