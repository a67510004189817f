import { describeError } from '@weft/telemetry';
import { add } from './add.ts';
import {
  SPEC_VERSIONS,
  checkVersion,
  failure,
  parseEnvironment,
  success,
  type Environment,
  type Outcome,
} from './cni-protocol.ts';
import { parseInput, parsePluginInput, versionOf } from './plugin-config.ts';
import { PluginLog } from './plugin-log.ts';
import { readInput } from './standard-input.ts';

/** For the whole call. The kubelet waits for us; after this it is better to fail and be tried again. */
export const DEADLINE_MS = 5_000;
const NEWEST_VERSION = '1.1.0';

export async function runPlugin(): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const { exitCode, output } = await invoke(process.env, () => readInput(process.stdin, signal), signal);
  // The runtime reads the result from the pipe; leave only when it is written.
  process.stdout.write(output, () => process.exit(exitCode));
}

/** One call of the CNI specification: what to print, and the status to exit with. Never throws. */
export async function invoke(
  environment: Environment,
  input: () => Promise<string>,
  signal: AbortSignal,
): Promise<Outcome> {
  let cniVersion = NEWEST_VERSION;
  try {
    const invocation = parseEnvironment(environment);
    const fields = parseInput(await input());
    const version = versionOf(fields);
    if (invocation.command === 'VERSION')
      return success({ cniVersion: version, supportedVersions: SPEC_VERSIONS });
    checkVersion(invocation.command, version);
    cniVersion = version;
    switch (invocation.command) {
      case 'ADD': {
        const config = parsePluginInput(fields);
        const log = new PluginLog(config.runDir, config.logLevel);
        const pod = `${invocation.podNamespace}/${invocation.podName}`;
        try {
          const done = await add(invocation, config, signal);
          log.write(done === 'redirected' ? 'info' : 'debug', `${pod}\t${done}`);
        } catch (error) {
          log.write('error', `${pod}\tfailed: ${describeError(error)}`);
          throw error;
        } finally {
          await log.send();
        }
        return success(config.prevResult ?? { cniVersion });
      }
      case 'STATUS':
        // Whether ADD would work as far as it is up to us. Not whether the agent answers: a runtime that hears "no"
        // starts no pod that needs a network, and the agent is such a pod itself.
        parsePluginInput(fields);
        return success();
      // Rules and listeners go with the network namespace, and the agent looks after those that stay.
      case 'DEL':
      case 'CHECK':
      case 'GC':
        return success();
    }
  } catch (error) {
    return failure(cniVersion, error);
  }
}
