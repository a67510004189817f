import { Command } from 'commander';
import { Label, ROOT_CERT_CONFIGMAP } from '@weft/api';
import { isNotFound, resources, type KubernetesClient } from '@weft/kubernetes';
import { withUmbrellaChart } from '../charts.ts';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { ensureKubernetesClients } from '../kubernetes-clients.ts';
import { paint } from '../output.ts';
import { passThrough } from '../run-program.ts';

const RELEASE = 'weft';

interface InstallFlags {
  readonly set: readonly string[];
  readonly values: readonly string[];
  readonly wait: boolean;
  readonly timeout: string;
  readonly dryRun?: boolean;
}

const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];

/** `weft install`: the umbrella chart, by helm. */
export function installCommand(options: () => ClusterOptions): Command {
  return new Command('install')
    .description('install or upgrade the mesh: the ambient chart, by helm')
    .option(
      '--set <key=value>',
      'a chart value, such as ztunnel.logLevel=debug; may be repeated',
      collect,
      [],
    )
    .option('-f, --values <file>', 'a file of chart values; may be repeated', collect, [])
    .option('--no-wait', 'do not wait until everything is ready')
    .option('--timeout <duration>', 'how long to wait', '5m')
    .option('--dry-run', 'print the manifests and change nothing')
    .action(async (flags: InstallFlags) => {
      const { environment, istioNamespace, context } = await accessCluster(options());
      const { helm } = await ensureKubernetesClients();
      const status = await withUmbrellaChart(helm, (chart) =>
        passThrough(
          helm,
          [
            ...['upgrade', '--install', RELEASE, chart, '--namespace', istioNamespace, '--create-namespace'],
            ...[
              '--set',
              `base.global.istioNamespace=${istioNamespace},ztunnel.istioNamespace=${istioNamespace}`,
            ],
            ...flags.set.flatMap((s) => ['--set', s]),
            ...flags.values.flatMap((f) => ['--values', f]),
            ...(flags.wait ? ['--wait', '--timeout', flags.timeout] : []),
            ...(flags.dryRun === true ? ['--dry-run=client'] : []),
            ...(context === undefined ? [] : ['--kube-context', context]),
          ],
          environment,
        ),
      );
      process.exitCode = status;
    });
}

/** `weft uninstall`: the release, and what the control plane made beside it. */
export function uninstallCommand(options: () => ClusterOptions): Command {
  return new Command('uninstall')
    .description('remove the mesh; custom resources stay unless --purge')
    .option(
      '--purge',
      'also remove the custom resource definitions, with every object of them, and the namespace',
    )
    .option('--timeout <duration>', 'how long to wait', '5m')
    .action(async ({ purge, timeout }: { purge?: boolean; timeout: string }) => {
      const { client, environment, istioNamespace, context } = await accessCluster(options());
      const { helm } = await ensureKubernetesClients();
      const status = await passThrough(
        helm,
        [
          ...[
            'uninstall',
            RELEASE,
            '--namespace',
            istioNamespace,
            '--wait',
            '--timeout',
            timeout,
            '--ignore-not-found',
          ],
          ...(context === undefined ? [] : ['--kube-context', context]),
        ],
        environment,
      );
      process.exitCode = status;
      if (status !== 0) return;
      await removeRootCertificates(client);
      if (purge === true) await removeDefinitions(client, istioNamespace);
      process.stdout.write(
        `${paint('green', '✓')} the mesh is removed${purge === true ? ', with its definitions' : ''}\n`,
      );
    });
}

/** The control plane wrote them into every namespace; nobody else takes them away. */
async function removeRootCertificates(client: KubernetesClient): Promise<void> {
  const { items } = await client.list(resources.configMaps, { labelSelector: `${Label.config}=true` });
  for (const { metadata } of items) {
    if (metadata.name !== ROOT_CERT_CONFIGMAP) continue;
    await ignoreMissing(client.delete(resources.configMaps, ROOT_CERT_CONFIGMAP, metadata.namespace));
  }
}

async function removeDefinitions(client: KubernetesClient, istioNamespace: string): Promise<void> {
  const { items } = await client.list(resources.customResourceDefinitions);
  for (const { metadata } of items) {
    const owner = metadata.annotations?.['meta.helm.sh/release-name'];
    if (owner !== RELEASE) continue;
    await ignoreMissing(client.delete(resources.customResourceDefinitions, metadata.name ?? ''));
  }
  await ignoreMissing(client.delete(resources.namespaces, istioNamespace));
}

async function ignoreMissing(deletion: Promise<unknown>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
