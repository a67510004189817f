import { Command } from 'commander';
import { SYSTEM_NAMESPACE } from '@weft/api';
import { WeftError, describeError } from '@weft/telemetry';
import type { ClusterOptions } from './cluster-access.ts';
import { checkCommand } from './commands/check.ts';
import { installCommand, uninstallCommand } from './commands/install.ts';
import { localCommand } from './commands/local.ts';
import { passthroughCommand } from './commands/passthrough.ts';
import { clientVersion, versionCommand } from './commands/version.ts';
import { ztunnelConfigCommand } from './commands/ztunnel-config.ts';
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
  .enablePositionalOptions()
  .showSuggestionAfterError()
  .configureHelp({ showGlobalOptions: true });

const options = (): ClusterOptions => program.opts<ClusterOptions>();
program
  .addCommand(localCommand())
  .addCommand(installCommand(options))
  .addCommand(uninstallCommand(options))
  .addCommand(checkCommand(options))
  .addCommand(ztunnelConfigCommand(options))
  .addCommand(versionCommand(options))
  .addCommand(passthroughCommand('kubectl', options))
  .addCommand(passthroughCommand('helm', options));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${paint('red', 'Error:', process.stderr)} ${describeError(error)}\n`);
  if (WeftError.is(error)) process.stderr.write(`${paint('dim', `→ ${error.next}`, process.stderr)}\n`);
  process.exitCode = 1;
}
