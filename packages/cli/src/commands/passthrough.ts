import { Command } from 'commander';
import { clusterEnvironment, type ClusterOptions } from '../cluster-access.ts';
import { WeftError, describeError } from '@weft/telemetry';
import { ensureKubernetesClients, type KubernetesClients } from '../kubernetes-clients.ts';
import { paint } from '../output.ts';
import { passThrough } from '../run-program.ts';

/** `weft kubectl …` and `weft helm …`: the bundled programs, on the same cluster as the other commands. */
export function passthroughCommand(name: keyof KubernetesClients, options: () => ClusterOptions): Command {
  return new Command(name)
    .description(`run the bundled ${name}; without a kubeconfig it talks to the local cluster`)
    .argument('[args...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (args: readonly string[]) => {
      const clients = await ensureKubernetesClients();
      const { kubeconfig, context, namespace } = options();
      const own = [
        ...(context === undefined ? [] : [name === 'helm' ? '--kube-context' : '--context', context]),
        ...(namespace === undefined ? [] : ['--namespace', namespace]),
      ];
      process.exitCode = await passThrough(
        clients[name],
        [...own, ...args],
        await environmentFor(kubeconfig),
      );
    });
}

/** Much that these programs do needs no cluster, so its absence is theirs to complain about; ours says what to do. */
async function environmentFor(kubeconfig: string | undefined): Promise<NodeJS.ProcessEnv> {
  try {
    return await clusterEnvironment(kubeconfig);
  } catch (error) {
    if (!WeftError.is(error)) throw error;
    process.stderr.write(`${paint('dim', `${describeError(error)}. ${error.next}`, process.stderr)}\n`);
    return process.env;
  }
}
