import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { describeError, systemErrorCode, WeftError } from '@weft/telemetry';
import { READY_FD } from './container-script.ts';

export interface ContainerLaunch {
  /** Path of the network namespace; undefined keeps the node's. */
  readonly netns: string | undefined;
  readonly hostPid: boolean;
  readonly hostUts: boolean;
  /** See PodCgroups.joinFile. */
  readonly cgroupJoinFile: string | undefined;
  /** File with the program of `containerScript`. */
  readonly scriptPath: string;
  readonly stdin: boolean;
}

export interface ContainerExit {
  /** 128 + signal for a command that a signal ended, as container engines report it. */
  readonly exitCode: number;
}

/** Building a root takes some 30 ms; a machine under load may need many times that. */
const START_TIMEOUT_MS = 60_000;
/** What a script that failed may say. */
const MAX_START_ERROR_BYTES = 4096;

/** A container's processes. They die with the kubelet, however that ends. */
export class ContainerProcess {
  /** Process 1 of the container, or the command itself with the node's processes. */
  readonly pid: number;
  readonly hostPid: boolean;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly stdin: Writable | undefined;
  readonly exited: Promise<ContainerExit>;
  private readonly child: ChildProcess;
  private ended = false;

  private constructor(child: ChildProcess, pid: number, hostPid: boolean, exited: Promise<ContainerExit>) {
    if (child.stdout === null || child.stderr === null)
      throw new TypeError('a container is started with pipes');
    this.child = child;
    this.pid = pid;
    this.hostPid = hostPid;
    this.stdout = child.stdout;
    this.stderr = child.stderr;
    this.stdin = child.stdin ?? undefined;
    // A command that has ended, or doesn't read, is not our failure.
    this.stdin?.on('error', () => undefined);
    this.exited = exited.finally(() => {
      this.ended = true;
    });
  }

  /** Resolves once the container's root stands and its command is about to run. Throws WEFT2063 else. */
  static async start(launch: ContainerLaunch): Promise<ContainerProcess> {
    const [command = '', ...args] = launchCommand(launch);
    const child = spawn(command, args, {
      // A session of its own: neither a terminal's signals nor ours reach it by accident.
      detached: true,
      stdio: [launch.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe', 'pipe'],
      cwd: '/',
    });
    const exited = new Promise<ContainerExit>((resolve, reject) => {
      child.once('error', reject);
      // `close`, not `exit`: the output is complete then.
      child.once('close', (code, signal) => resolve({ exitCode: code ?? 128 + signalNumber(signal) }));
    });
    exited.catch(() => undefined);
    // Without a PID namespace nothing else ends what the command started.
    if (launch.hostPid) child.once('exit', () => killGroup(child));
    const pid = await readReadyPid(child, exited);
    return new ContainerProcess(child, pid, launch.hostPid, exited);
  }

  get running(): boolean {
    return !this.ended;
  }

  /** Asks the container to end. */
  terminate(): void {
    if (this.running) signalProcess(this.pid, 'SIGTERM');
  }

  /** Ends every process of the container. With the node's PID namespace those of its session. */
  kill(): void {
    if (!this.running) return;
    if (this.hostPid) killGroup(this.child);
    signalProcess(this.pid, 'SIGKILL');
  }

  /** The command line that runs a command inside the container's namespaces. */
  enterCommand(command: readonly string[], cgroupJoinFile: string | undefined): readonly string[] {
    const namespaces = ['--net', '--mount', '--uts', ...(this.hostPid ? [] : ['--pid'])];
    return [
      ...joinCgroup(cgroupJoinFile),
      'setpriv',
      '--pdeathsig',
      'KILL',
      '--',
      'nsenter',
      `--target=${this.pid}`,
      ...namespaces,
      '--',
      ...command,
    ];
  }
}

function launchCommand({
  netns,
  hostPid,
  hostUts,
  cgroupJoinFile,
  scriptPath,
}: ContainerLaunch): readonly string[] {
  return [
    ...joinCgroup(cgroupJoinFile),
    // The chain ends with the kubelet: it ends unshare, that ends process 1, and the kernel the rest of its namespace.
    'setpriv',
    '--pdeathsig',
    'KILL',
    '--',
    ...(netns === undefined ? [] : ['nsenter', `--net=${netns}`, '--']),
    'unshare',
    '--mount',
    '--propagation',
    'slave',
    ...(hostUts ? [] : ['--uts']),
    ...(hostPid ? [] : ['--pid', '--fork', '--kill-child=SIGKILL']),
    '--',
    'sh',
    scriptPath,
  ];
}

function joinCgroup(joinFile: string | undefined): readonly string[] {
  return joinFile === undefined
    ? []
    : ['sh', '-c', '{ echo $$ >"$1"; } 2>/dev/null; shift; exec "$@"', 'sh', joinFile];
}

async function readReadyPid(child: ChildProcess, exited: Promise<ContainerExit>): Promise<number> {
  const ready = child.stdio[READY_FD];
  if (ready === null || ready === undefined || !('read' in ready)) throw new TypeError('no ready pipe');
  const said: Buffer[] = [];
  const collect = (chunk: Buffer): void => void said.push(chunk);
  child.stderr?.on('data', collect);
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  try {
    const text = await new Promise<string>((resolve, reject) => {
      let received = '';
      // To the end of the line, not of the stream: unshare keeps its copy of the descriptor open.
      ready.on('data', (chunk: Buffer) => {
        received += chunk.toString('utf8');
        if (received.endsWith('\n')) resolve(received);
      });
      ready.once('end', () => resolve(received));
      ready.once('error', reject);
      exited.catch(reject);
    });
    const pid = Number(text.trim());
    if (text !== '' && Number.isInteger(pid)) return pid;
    child.stdout?.resume();
    await exited;
  } catch (error) {
    throw new WeftError('WEFT2063', `the container's process can't be started: ${describeError(error)}`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    child.stderr?.off('data', collect);
    child.stderr?.pause();
    // What came may already be the program's own first words; whoever reads next gets them.
    if (said.length > 0 && child.stderr?.readable === true) child.stderr.unshift(Buffer.concat(said));
  }
  const failure = Buffer.concat(said).toString('utf8', 0, MAX_START_ERROR_BYTES);
  throw new WeftError(
    'WEFT2063',
    failure.trim() === '' ? "the container's root can't be made" : failure.trim(),
  );
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined) signalProcess(-child.pid, 'SIGKILL');
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

export function signalNumber(signal: string | null): number {
  return signalNumbers[signal ?? ''] ?? 9;
}
