import { inNetworkNamespace, openNetworkNamespace } from '@weft/linux';
import { describeError } from '@weft/telemetry';
import { writeAtomically } from '../install/atomic-write.ts';
import { commandRunner } from '../rules/command.ts';
import { PodRedirection } from '../rules/pod-redirection.ts';
import { settingsFor } from './redirection.scenario.ts';

/** One step of the agent, with the capabilities that it was started with: prints `ok`, or what failed. */
const [step = '', operand = ''] = process.argv.slice(2);
const options = { bypassInbound: false, dnsCapture: true, virtualInterfaces: [] };

const steps: Readonly<Record<string, () => void>> = {
  'open a namespace in /proc': () => openNetworkNamespace(operand).close(),
  'enter a namespace': () => inNetworkNamespace(openNetworkNamespace(operand), () => undefined),
  'write rules in a namespace': () => {
    const redirection = new PodRedirection(
      commandRunner(openNetworkNamespace(operand)),
      settingsFor('nftables'),
    );
    redirection.apply(options);
    redirection.remove();
  },
  'write rules': () => {
    const redirection = new PodRedirection(commandRunner(), settingsFor(operand));
    redirection.apply(options);
    redirection.remove();
  },
  'install into a folder': () => writeAtomically(`${operand}/10-weft.conflist`, '{}', 0o644),
};
try {
  const run = steps[step];
  if (run === undefined) throw new Error(`no step ${step}`);
  run();
  process.stdout.write('ok');
} catch (error) {
  process.stdout.write(describeError(error));
}
