import { spawn, type ChildProcess } from 'node:child_process';
import type { ContainerRun } from './container-setup.ts';
import { ContainerProcess, signalNumber } from './sandbox/container-process.ts';

/** What a probe or hook may print before the rest is dropped. */
const MAX_EXEC_OUTPUT_BYTES = 10 * 1024;

/** The command line that runs a command in a running container, as that container's user. */
export function execCommandLine(
  process: ContainerProcess,
  run: ContainerRun,
  command: readonly string[],
  extra: Readonly<Record<string, string>> = {},
): readonly string[] {
  return process.enterCommand(run.prepared.asContainer(command, extra), run.cgroupJoinFile);
}

/** Runs a command to its end, or until the signal: then it is killed. */
export async function runInContainer(
  process: ContainerProcess,
  run: ContainerRun,
  command: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const [file = '', ...args] = execCommandLine(process, run, command);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let output = '';
  const collect = (chunk: Buffer): void => {
    if (output.length < MAX_EXEC_OUTPUT_BYTES) output += chunk.toString('utf8');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const abort = (): void => killExec(child);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const exitCode = await exitOf(child);
    return { exitCode, output };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

export function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
}

/** `nsenter` and the command share a process group of their own. */
export function killExec(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Ended in the meantime.
  }
}
