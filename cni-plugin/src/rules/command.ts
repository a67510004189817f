import { spawnSync } from 'node:child_process';
import { inNetworkNamespace, type NetworkNamespace } from '@weft/linux';
import { WeftError } from '@weft/telemetry';

/** A netfilter command over a node's rules takes milliseconds; one that hangs must not hold the agent for ever. */
const COMMAND_TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs in one network namespace. */
export interface CommandRunner {
  /** Throws WEFT1705 when the program can't be run or fails. */
  run(program: string, args: readonly string[], input?: string): string;
  /** As `run`, but a failing program is an ordinary result. */
  tryRun(program: string, args: readonly string[], input?: string): CommandResult;
}

/**
 * A runner for a namespace, or for the one this process is in. A child starts where the thread that forks it is,
 * so no `nsenter` is needed. Synchronous: rules of one pod must never be changed by two commands at once. Nor does a
 * command of an agent that was killed come behind its successor's: it dies with the PID namespace of their container.
 */
export function commandRunner(
  namespace?: Pick<NetworkNamespace, 'fd'>,
  o: { readonly sharedLock?: boolean } = {},
): CommandRunner {
  const ownLock = namespace !== undefined && o.sharedLock !== true;
  const tryRun: CommandRunner['tryRun'] = (program, args, input) => {
    const spawn = () =>
      spawnSync(program, args, {
        input: input ?? '',
        encoding: 'utf8',
        timeout: COMMAND_TIMEOUT_MS,
        maxBuffer: MAX_OUTPUT_BYTES,
        // Agents of several pods and kube-proxy share the host's lock file; a pod's rules need none of it.
        env: {
          PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
          ...(ownLock ? { XTABLES_LOCKFILE: '/dev/null' } : {}),
        },
      });
    const result = namespace === undefined ? spawn() : inNetworkNamespace(namespace, spawn);
    if (result.error !== undefined) {
      throw new WeftError('WEFT1705', `${program} ${args.join(' ')}`, { cause: result.error });
    }
    return { status: result.status ?? 1, stdout: result.stdout, stderr: result.stderr };
  };
  return {
    tryRun,
    run: (program, args, input) => {
      const { status, stdout, stderr } = tryRun(program, args, input);
      if (status !== 0) {
        throw new WeftError(
          'WEFT1705',
          `${program} ${args.join(' ')} ended with ${status}: ${stderr.trim()}`,
        );
      }
      return stdout;
    },
  };
}
