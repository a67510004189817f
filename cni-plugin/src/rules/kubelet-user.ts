import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

const KUBELETS: ReadonlySet<string> = new Set(['kubelet', 'kubelite', 'k3s', 'k3s-server']);

/** The user that the node's kubelet runs as, or undefined where none is found among the processes. */
export function kubeletUser(procDir: string): number | undefined {
  for (const pid of readdirSync(procDir).filter((name) => /^\d+$/.test(name))) {
    try {
      const name = readFileSync(path.join(procDir, pid, 'comm'), 'utf8').trim();
      if (KUBELETS.has(name)) return statSync(path.join(procDir, pid)).uid;
    } catch {
      // the process has ended meanwhile
    }
  }
  return undefined;
}
