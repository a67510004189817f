import { createRequire } from 'node:module';
import { Command, Option } from 'commander';
import { Component, Label } from '@weft/api';
import { resources, type Pod } from '@weft/kubernetes';
import { describeError } from '@weft/telemetry';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { explainFailure } from '../explain-failure.ts';
import { paint, render, type OutputFormat } from '../output.ts';

interface RunningVersion {
  /** The tag of the image. */
  readonly version: string;
  readonly pods: number;
}

interface Versions {
  readonly clientVersion: string;
  /** Absent when no cluster answers. */
  readonly controlPlane?: readonly RunningVersion[];
  /** Of ztunnels and waypoints. */
  readonly dataPlane?: readonly RunningVersion[];
}

export const clientVersion = (createRequire(import.meta.url)('../../package.json') as { version: string })
  .version;

/** A cluster that does not answer must not hold up our own version. */
const CLUSTER_TIMEOUT_MS = 5_000;

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
      const { controlPlane, dataPlane } = versions;
      if (controlPlane !== undefined)
        process.stdout.write(`control plane version: ${inOneLine(controlPlane, 'replica')}\n`);
      if (dataPlane !== undefined)
        process.stdout.write(`data plane version: ${inOneLine(dataPlane, 'proxy')}\n`);
    });
}

async function clusterVersions(options: ClusterOptions): Promise<Partial<Versions>> {
  try {
    const { client, istioNamespace: namespace } = await accessCluster(options);
    const signal = AbortSignal.timeout(CLUSTER_TIMEOUT_MS);
    const list = async (labelSelector: string, where: { namespace?: string } = {}): Promise<readonly Pod[]> =>
      (await client.list(resources.pods, { labelSelector, signal, ...where })).items;
    const [controlPlane, ztunnels, waypoints] = await Promise.all([
      list(`app=${Component.controlPlane}`, { namespace }),
      list(`app=${Component.ztunnel}`, { namespace }),
      list(Label.gatewayManaged),
    ]);
    return {
      controlPlane: runningVersions(controlPlane),
      dataPlane: runningVersions([...ztunnels, ...waypoints]),
    };
  } catch (error) {
    // No cluster is no error for a version, but is nothing to be silent about.
    const note = `what runs in the cluster is not known: ${describeError(explainFailure(error))}`;
    process.stderr.write(`${paint('dim', note, process.stderr)}\n`);
    return {};
  }
}

/** How many pods run each version. */
export function runningVersions(pods: readonly Pod[]): readonly RunningVersion[] {
  const counts = new Map<string, number>();
  for (const { spec, status } of pods) {
    if (status?.phase !== 'Running') continue;
    const version = spec?.containers[0]?.image?.split(':').at(-1) ?? 'unknown';
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  return [...counts].map(([version, count]) => ({ version, pods: count }));
}

function inOneLine(versions: readonly RunningVersion[], what: 'replica' | 'proxy'): string {
  const plural = { replica: 'replicas', proxy: 'proxies' }[what];
  const parts = versions.map(({ version, pods }) => `${version} (${pods} ${pods === 1 ? what : plural})`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}
