import { execFile } from 'node:child_process';
import { inNetworkNamespace, type NetworkNamespace } from '@weft/linux';

/** Beyond the time of its load. */
const PATIENCE_MS = 15_000;
const MAX_OUTPUT_BYTES = 16 * 2 ** 20;

export interface Target {
  readonly from: NetworkNamespace;
  readonly ip: string;
  readonly seconds: number;
}

/** Puts load on a target by a program in its namespace; resolves to what it printed, rejects when it fails or hangs. */
export function runIn(
  { from, seconds }: Omit<Target, 'ip'>,
  program: string,
  args: readonly string[],
): Promise<string> {
  return new Promise((resolve, reject) => {
    inNetworkNamespace(from, () =>
      execFile(
        program,
        args,
        { maxBuffer: MAX_OUTPUT_BYTES, timeout: seconds * 1_000 + PATIENCE_MS, encoding: 'utf8' },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`${program} ${args.join(' ')}: ${stderr || stdout}`, { cause: error }));
        },
      ),
    );
  });
}
