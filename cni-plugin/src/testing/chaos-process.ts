import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whatever was started and may still run. */
export const children = new Set<ChildProcess>();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export function track(child: ChildProcess): void {
  children.add(child);
  child.once('exit', () => children.delete(child));
}

export async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/**
 * A program as a container runtime runs it, as the first process of a PID namespace: whatever it has started dies with
 * it and before it is gone, so that no command of an agent ends behind its successor's back.
 */
export class ContainedProcess {
  /** `unshare`, which waits for the program and ends as it does. */
  private readonly runtime: ChildProcess;

  constructor(program: string, args: readonly string[]) {
    // Told by a SIGKILL to end as the program did, `unshare` complains; what the program writes to stderr is worth more.
    const script = ['sh', '-c', 'exec "$@" 2>&3 3>&-', 'sh', program, ...args];
    this.runtime = spawn('unshare', ['--pid', '--fork', '--kill-child', ...script], {
      stdio: ['ignore', 'ignore', 'ignore', process.stderr.fd],
    });
    track(this.runtime);
  }

  /** Of the program itself; undefined before it is started and when it has ended. */
  get pid(): number | undefined {
    const { pid } = this.runtime;
    try {
      const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      return text === '' ? undefined : Number(text);
    } catch {
      return undefined; // gone
    }
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (hasEnded(this.runtime)) return;
    const ended = once(this.runtime, 'exit');
    while (this.pid === undefined && !hasEnded(this.runtime)) await sleep(1);
    if (this.pid !== undefined) process.kill(this.pid, signal);
    await ended;
  }
}
