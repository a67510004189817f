import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { WeftError } from '@weft/telemetry';

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** What a program printed. Throws WEFT1902 with its last words when it fails. */
export async function capture(
  program: string,
  args: readonly string[],
  o: ProgramOptions = {},
): Promise<string> {
  const child = spawn(program, args, { env: o.env, signal: o.signal, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined); // the program may end before it has read everything
  child.stdin.end(o.input ?? '');
  const status = await exitOf(child);
  if (status !== 0) {
    const name = program.split('/').at(-1);
    throw new WeftError(
      'WEFT1902',
      `${name} ${args.slice(0, 4).join(' ')} ended with ${status}: ${stderr.trim() || stdout.trim()}`,
    );
  }
  return stdout;
}

/** A terminal sends these to both of us; whoever sends them to us alone means the program. */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Gives the terminal to a program; resolves to its exit status. */
export async function passThrough(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  let child: ReturnType<typeof spawn> | undefined;
  const passOn = (signal: NodeJS.Signals): void => {
    // Ctrl-C has reached the program already; a second one would have it give up what it is about to finish.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child?.kill(signal);
  };
  // Before the program runs: a signal in between would end this process alone and leave the program behind.
  for (const signal of passedOn) process.on(signal, passOn);
  try {
    child = spawn(program, args, { env, stdio: 'inherit' });
    return await exitOf(child);
  } finally {
    for (const signal of passedOn) process.off(signal, passOn);
  }
}

function exitOf(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(code ?? (signal === null ? 1 : 128 + constants.signals[signal])),
    );
  });
}
