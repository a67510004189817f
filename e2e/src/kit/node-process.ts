import { readFileSync, readdirSync } from 'node:fs';
import type { LocalMesh } from './local-mesh.ts';
import type { NodeInspector } from './node-inspector.ts';

/** Kills the first process of a pod's container as the kernel does when memory runs out: without a word. */
export async function killContainer(inspector: NodeInspector, pod: string): Promise<void> {
  // The name of a pod is in its environment and nowhere else on the node, so nobody else is hit.
  const found = await inspector.shell(
    `grep -lzx 'POD_NAME=${pod}' /proc/[0-9]*/environ 2>/dev/null | sort -t/ -k3n | head -1`,
  );
  const pid = /\d+/.exec(found)?.[0];
  if (pid === undefined) throw new Error(`no process of pod ${pod} on its node`);
  await inspector.shell(`kill -9 ${pid}`);
}

/** Ends a node with everything on it, as a power failure does; the cluster's supervisor starts it again. */
export function rebootNode(mesh: LocalMesh, node: string): void {
  const directory = `${mesh.cluster.stateDir}/nodes/${node}`;
  const isFirst = (pid: string): boolean => {
    const [shell, script, name, dir] = commandLine(pid);
    return (
      shell?.endsWith('bash') === true &&
      script?.endsWith('/node-init.sh') === true &&
      name === node &&
      dir === directory
    );
  };
  const pid = readdirSync('/proc').find((entry) => /^\d+$/.test(entry) && isFirst(entry));
  if (pid === undefined) throw new Error(`no process of ${node}`);
  process.kill(Number(pid), 'SIGKILL');
}

function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // ended meanwhile
  }
}
