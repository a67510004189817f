import { Command } from 'commander';
import { clusterEnvironment, type ClusterOptions } from '../cluster-access.ts';
import { ensureKubernetesClients, type KubernetesClients } from '../kubernetes-clients.ts';
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
      process.exitCode = await passThrough(
        clients[name],
        args,
        await clusterEnvironment(options().kubeconfig),
      );
    });
}
