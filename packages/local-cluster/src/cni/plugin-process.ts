import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { WeftError } from '@weft/telemetry';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION';

/** The parameters that the specification passes in the environment. */
export interface CniParameters {
  readonly command: CniCommand;
  readonly containerId: string;
  /** Empty when the namespace is gone, which DEL must cope with. */
  readonly netns: string;
  readonly ifName: string;
  readonly args: string;
  readonly path: readonly string[];
}

/** A plugin's own error object. `cniCode` 11 means "try again later". */
export class CniError extends WeftError {
  readonly cniCode: number;

  constructor(plugin: string, command: CniCommand, code: number, message: string) {
    super('WEFT2067', `${plugin} ${command}: ${message} (CNI code ${code})`);
    this.name = 'CniError';
    this.cniCode = code;
  }
}

const PLUGIN_TIMEOUT_MS = 60_000;
const MAX_PLUGIN_OUTPUT_BYTES = 1024 * 1024;
/** For failures that have no code of the plugin. */
const GENERIC_CNI_CODE = 999;

/** Runs one plugin once. Resolves to its result, undefined for commands that have none. */
export async function runPlugin(type: string, parameters: CniParameters, config: unknown): Promise<unknown> {
  const executable = await findPlugin(type, parameters.path);
  if (executable === undefined) {
    throw new WeftError('WEFT2067', `plugin ${type} is in none of ${parameters.path.join(', ')}`);
  }
  const { command } = parameters;
  const { failure, stdout, stderr } = await execute(executable, parameters, JSON.stringify(config));
  const result = parseJson(stdout);
  if (failure !== undefined) {
    const { code, message } = readError(result, stderr.trim() === '' ? failure : stderr.trim());
    throw new CniError(type, command, code, message);
  }
  if (stdout.trim() === '') return undefined;
  if (result === undefined) throw new CniError(type, command, GENERIC_CNI_CODE, 'its answer is not JSON');
  return result;
}

/** The executable of a plugin in the first directory that has it. */
export async function findPlugin(type: string, path: readonly string[]): Promise<string | undefined> {
  for (const directory of path) {
    const candidate = join(directory, type);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here: the next directory of CNI_PATH.
    }
  }
  return undefined;
}

interface Execution {
  /** Why the process counts as failed. */
  readonly failure: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function execute(executable: string, parameters: CniParameters, input: string): Promise<Execution> {
  const env = {
    PATH: process.env.PATH,
    CNI_COMMAND: parameters.command,
    CNI_CONTAINERID: parameters.containerId,
    CNI_NETNS: parameters.netns,
    CNI_IFNAME: parameters.ifName,
    CNI_ARGS: parameters.args,
    CNI_PATH: parameters.path.join(':'),
  };
  return new Promise((resolve) => {
    const child = execFile(
      executable,
      { env, timeout: PLUGIN_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MAX_PLUGIN_OUTPUT_BYTES },
      (error, stdout, stderr) => {
        const failure =
          error === null ? undefined : error.killed === true ? 'killed after its time was up' : error.message;
        resolve({ failure, stdout, stderr });
      },
    );
    // A plugin may answer without reading its configuration.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readError(result: unknown, otherwise: string): { code: number; message: string } {
  if (typeof result !== 'object' || result === null) return { code: GENERIC_CNI_CODE, message: otherwise };
  const code = 'code' in result && typeof result.code === 'number' ? result.code : GENERIC_CNI_CODE;
  const message = 'msg' in result && typeof result.msg === 'string' ? result.msg : otherwise;
  const details =
    'details' in result && typeof result.details === 'string' && result.details !== ''
      ? `: ${result.details}`
      : '';
  return { code, message: `${message}${details}` };
}
