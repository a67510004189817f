import { execFile } from 'node:child_process';
import { WeftError } from '@weft/telemetry';

const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const COMMAND_TIMEOUT_MS = 30_000;

/** Where Debian keeps `ip` and `nft`, which a plain user's PATH leaves out. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function systemEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string | undefined> {
  const path = environment.PATH;
  return { ...environment, PATH: path === undefined || path === '' ? SYSTEM_PATH : `${path}:${SYSTEM_PATH}` };
}

/**
 * Runs a program to its end and resolves to its standard output.
 * @throws WEFT2004 with what the program printed on standard error
 */
export function run(command: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { env: systemEnvironment(), maxBuffer: MAX_OUTPUT_BYTES, timeout: COMMAND_TIMEOUT_MS },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const said = stderr.trim() || error.message;
        reject(new WeftError('WEFT2004', `${[command, ...args].join(' ')}: ${said}`, { cause: error }));
      },
    );
    // A program that ends without reading its input is judged by its exit code.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** One `ip -batch` for all commands: a process each would cost more than the work. */
export async function runIp(
  commands: readonly string[],
  networkNamespace = '/proc/self/ns/net',
): Promise<void> {
  await run('nsenter', [`--net=${networkNamespace}`, 'ip', '-batch', '-'], `${commands.join('\n')}\n`);
}
