import { Command, Option } from 'commander';
import { SYSTEM_NAMESPACE } from '@weft/api';
import { WeftError, describeError, systemErrorCode } from '@weft/telemetry';
import type { ClusterOptions } from './cluster-access.ts';
import { checkCommand } from './commands/check.ts';
import { completionCommand } from './commands/completion.ts';
import { installCommand, uninstallCommand } from './commands/install.ts';
import { localCommand } from './commands/local.ts';
import { passthroughCommand } from './commands/passthrough.ts';
import { proxyConfigCommand } from './commands/proxy-config.ts';
import { proxyCommand } from './commands/proxy.ts';
import { proxyStatusCommand } from './commands/proxy-status.ts';
import { clientVersion, versionCommand } from './commands/version.ts';
import { waypointCommand } from './commands/waypoint.ts';
import { ztunnelConfigCommand } from './commands/ztunnel-config.ts';
import { explainFailure } from './explain-failure.ts';
import { paint } from './output.ts';

const program = new Command('weft')
  .description('Weft: an ambient service mesh')
  .version(clientVersion, '--version')
  .option(
    '-c, --kubeconfig <file>',
    'kubeconfig file (default: KUBECONFIG, ~/.kube/config, then the local cluster)',
  )
  .option('--context <name>', 'context of the kubeconfig')
  .option('-n, --namespace <namespace>', 'namespace of the workload')
  .option('-i, --istioNamespace <namespace>', 'namespace of the control plane', SYSTEM_NAMESPACE)
  .enablePositionalOptions();

const options = (): ClusterOptions => program.opts<ClusterOptions>();
program
  .addCommand(localCommand())
  .addCommand(installCommand(options))
  .addCommand(uninstallCommand(options))
  .addCommand(checkCommand(options))
  .addCommand(waypointCommand(options))
  .addCommand(proxyStatusCommand(options))
  .addCommand(proxyConfigCommand(options))
  .addCommand(ztunnelConfigCommand(options))
  .addCommand(versionCommand(options))
  .addCommand(completionCommand(options))
  .addCommand(proxyCommand())
  .addCommand(passthroughCommand('kubectl', options))
  .addCommand(passthroughCommand('helm', options));

greetNewcomers(program);
acceptEverywhere(program);

// Whoever reads us may stop reading, as `| head` does.
process.stdout.on('error', (error) => process.exit(systemErrorCode(error) === 'EPIPE' ? 0 : 1));

try {
  await program.parseAsync();
} catch (failure) {
  const error = explainFailure(failure);
  process.stderr.write(`${paint('red', 'Error:', process.stderr)} ${describeError(error)}\n`);
  if (WeftError.is(error)) process.stderr.write(`${paint('dim', `→ ${error.next}`, process.stderr)}\n`);
  process.exitCode = 1;
}

/** Help as kubectl, helm and istioctl give it; commands that are added do not inherit it. */
function greetNewcomers(command: Command): void {
  const isGroup = command.commands.length > 0;
  command.configureHelp({ showGlobalOptions: true });
  command.showSuggestionAfterError();
  command.showHelpAfterError(`→ ${pathOf(command)} --help lists the ${isGroup ? 'commands' : 'options'}.`);
  // Commander takes a group without a command for an error: on stderr, and ends with 1.
  const help = command.help.bind(command);
  command.help = () => help();
  for (const child of command.commands) greetNewcomers(child);
}

/**
 * Lets the options of the cluster stand behind a subcommand as well, as istioctl does. Commander takes them in front
 * only, since kubectl and helm have to get theirs untouched.
 */
function acceptEverywhere(root: Command): void {
  const names = root.options.filter((o) => o.attributeName() !== 'version');
  const visit = (command: Command): void => {
    if (['kubectl', 'helm', 'proxy'].includes(command.name())) return;
    for (const { flags, long } of names) {
      if (command.options.some((o) => o.long === long)) continue;
      command.addOption(new Option(flags).hideHelp());
    }
    for (const child of command.commands) visit(child);
  };
  for (const command of root.commands) visit(command);
  root.hook('preAction', (_, command) => {
    for (let at: Command | null = command; at !== null && at !== root; at = at.parent) {
      for (const option of names) {
        const name = option.attributeName();
        if (at.getOptionValueSource(name) === 'cli') root.setOptionValue(name, at.getOptionValue(name));
      }
    }
  });
}

/** What a person types to get to a command. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
