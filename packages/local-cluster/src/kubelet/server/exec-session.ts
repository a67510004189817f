import { spawn } from 'node:child_process';
import { spawn as spawnTerminal } from '@lydell/node-pty';
import { describeError } from '@weft/telemetry';
import { execCommandLine, exitOf, killExec } from '../container-exec.ts';
import type { ContainerRun } from '../container-setup.ts';
import type { ContainerProcess } from '../sandbox/container-process.ts';
import { channel, type ChannelSocket } from './channel-socket.ts';

export interface ExecRequest {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
}
interface Target {
  readonly process: ContainerProcess;
  readonly run: ContainerRun;
}

/** Runs a command in a container with its streams on a socket. It ends when the socket does. */
export function execSession(socket: ChannelSocket, target: Target, request: ExecRequest): void {
  const session = request.tty ? terminalSession : pipeSession;
  session(socket, target, request).catch((error: unknown) => socket.fail(describeError(error)));
}

async function pipeSession(
  socket: ChannelSocket,
  { process, run }: Target,
  { command, stdin }: ExecRequest,
): Promise<void> {
  const [file = '', ...args] = execCommandLine(process, run, command);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  if (!stdin) child.stdin.end();
  // The command may end, or close its input, before the client has sent everything.
  child.stdin.on('error', () => undefined);
  child.stdin.on('drain', () => socket.resumeInput());
  socket.listen({
    onStdin: (data) => {
      if (child.stdin.writable && !child.stdin.write(data)) socket.pauseInput();
    },
    onStdinEnd: () => void child.stdin.end(),
    onClose: () => killExec(child),
  });
  const outputs = Promise.allSettled([
    socket.pipe(child.stdout, channel.stdout),
    socket.pipe(child.stderr, channel.stderr),
  ]);
  const exitCode = await exitOf(child);
  await outputs;
  socket.finish(exitCode);
}

async function terminalSession(
  socket: ChannelSocket,
  { process, run }: Target,
  { command }: ExecRequest,
): Promise<void> {
  const [file = '', ...args] = execCommandLine(process, run, command, { TERM: 'xterm' });
  const terminal = spawnTerminal(file, args, { name: 'xterm', cols: 80, rows: 24, cwd: '/', encoding: null });
  socket.listen({
    // Keystrokes come whole, so no character is cut in two.
    onStdin: (data) => terminal.write(data.toString('utf8')),
    // What a terminal sends at its end of input.
    onStdinEnd: () => terminal.write('\u0004'),
    onResize: (columns, rows) => {
      if (columns > 0 && rows > 0) terminal.resize(columns, rows);
    },
    onClose: () => terminal.kill('SIGKILL'),
  });
  terminal.onData((data: string | Buffer) => {
    socket.send(channel.stdout, typeof data === 'string' ? Buffer.from(data) : data);
    if (socket.congested) holdBack(terminal, socket);
  });
  const exitCode = await new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode: code, signal }) => {
      resolve(signal === undefined || signal === 0 ? code : 128 + signal);
    });
  });
  socket.finish(exitCode);
}

const RELIEF_POLL_MS = 20;

function holdBack(terminal: { pause(): void; resume(): void }, socket: ChannelSocket): void {
  terminal.pause();
  const timer = setInterval(() => {
    if (!socket.relaxed) return;
    clearInterval(timer);
    terminal.resume();
  }, RELIEF_POLL_MS);
}
