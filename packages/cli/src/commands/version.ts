import { createRequire } from 'node:module';
import { Command, Option } from 'commander';
import { Component } from '@weft/api';
import { resources } from '@weft/kubernetes';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { render, type OutputFormat } from '../output.ts';

interface Versions {
  readonly clientVersion: string;
  /** Image tags of the control plane's pods; absent when no cluster answers. */
  readonly controlPlane?: readonly string[];
  readonly dataPlane?: readonly string[];
}

export const clientVersion = (createRequire(import.meta.url)('../../package.json') as { version: string })
  .version;

/** `weft version`: ours, and what runs in the cluster. */
export function versionCommand(options: () => ClusterOptions): Command {
  return new Command('version')
    .description('versions of this program, of the control plane and of the data plane')
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .option('--remote', 'also ask the cluster', true)
    .option('--no-remote', 'only the version of this program')
    .action(async ({ output, remote }: { output: OutputFormat; remote: boolean }) => {
      const versions: Versions = { clientVersion, ...(remote ? await clusterVersions(options()) : {}) };
      if (output !== 'short') return void process.stdout.write(render(versions, output));
      process.stdout.write(`client version: ${clientVersion}\n`);
      for (const [name, found] of [
        ['control plane', versions.controlPlane],
        ['data plane', versions.dataPlane],
      ] as const) {
        if (found !== undefined)
          process.stdout.write(`${name} version: ${found.length === 0 ? 'none' : found.join(', ')}\n`);
      }
    });
}

async function clusterVersions(options: ClusterOptions): Promise<Partial<Versions>> {
  try {
    const { client, istioNamespace: namespace } = await accessCluster(options);
    const tags = async (app: string): Promise<readonly string[]> => {
      const { items } = await client.list(resources.pods, {
        namespace,
        labelSelector: `app=${app}`,
        signal: AbortSignal.timeout(5_000),
      });
      const counts = new Map<string, number>();
      for (const pod of items) {
        const tag = pod.spec?.containers[0]?.image?.split(':').at(-1) ?? 'unknown';
        counts.set(tag, (counts.get(tag) ?? 0) + 1);
      }
      return [...counts].map(([tag, count]) => `${tag} (${count} ${count === 1 ? 'proxy' : 'proxies'})`);
    };
    return {
      controlPlane: (await tags(Component.controlPlane)).map((t) => t.replace(/ \(.*/, '')),
      dataPlane: await tags(Component.ztunnel),
    };
  } catch {
    return {}; // no cluster is no error for a version
  }
}
