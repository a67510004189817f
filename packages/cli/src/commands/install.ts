import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { Annotation, Label, ROOT_CERT_CONFIGMAP } from '@weft/api';
import { isNotFound, resources, type KubernetesClient } from '@weft/kubernetes';
import { WeftError, parseDurationMs } from '@weft/telemetry';
import { withUmbrellaChart } from '../charts.ts';
import { othersParts, partsOf } from '../mesh-parts.ts';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { describeGatewayApi, gatewayApi } from '../gateway-api.ts';
import { ensureKubernetesClients } from '../kubernetes-clients.ts';
import { paint } from '../output.ts';
import { passThrough } from '../run-program.ts';
import { gateways, isWaypoint } from '../waypoint/gateway.ts';

const RELEASE = 'weft';
/** Made by the control plane; see its ca/load-authority.ts. */
const CA_SECRET = 'istio-ca-secret';
const POLL_MS = 250;
const PROTECTED_NAMESPACES: readonly string[] = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

interface InstallFlags {
  readonly set: readonly string[];
  readonly values: readonly string[];
  readonly reuseValues?: boolean;
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
    .option('--reuse-values', 'keep the values of the installation that is there, except those given now')
    .option('--no-wait', 'do not wait until everything is ready')
    .option('--timeout <duration>', 'how long to wait', '5m')
    .option('--dry-run', 'print the manifests and change nothing')
    .action(async (flags: InstallFlags) => {
      const { client, environment, istioNamespace, context } = await accessCluster(options());
      const { helm } = await ensureKubernetesClients();
      const definitions = await client.list(resources.customResourceDefinitions);
      const api = gatewayApi(definitions.items, { name: RELEASE, namespace: istioNamespace });
      const note = describeGatewayApi(api);
      if (note !== undefined && flags.reuseValues !== true) process.stderr.write(`${note}\n`);
      const status = await withUmbrellaChart(helm, async (chart) => {
        const ownValues = `${chart}-own-values.yaml`;
        await writeFile(ownValues, `base: { gatewayAPICRDs: ${api.kind !== 'theirs'} }\n`);
        return passThrough(
          helm,
          [
            ...['upgrade', '--install', RELEASE, chart, '--namespace', istioNamespace, '--create-namespace'],
            // Without it an upgrade starts from the charts' own values, whatever an earlier one was told.
            ...(flags.reuseValues === true ? ['--reset-then-reuse-values'] : ['--reset-values']),
            ...flags.set.flatMap((s) => ['--set', s]),
            // Before the user's own, which win. An installation that is kept has said what it wants.
            ...(flags.reuseValues === true ? [] : ['--values', ownValues]),
            ...flags.values.flatMap((f) => ['--values', f]),
            ...(flags.wait ? ['--wait', '--timeout', flags.timeout] : []),
            ...(flags.dryRun === true ? ['--dry-run=client'] : []),
            ...(context === undefined ? [] : ['--kube-context', context]),
          ],
          environment,
        );
      });
      process.exitCode = status;
    });
}

/** `weft uninstall`: the release, and what the control plane made beside it. */
export function uninstallCommand(options: () => ClusterOptions): Command {
  return new Command('uninstall')
    .description('remove the mesh; its definitions and its root certificate stay unless --purge')
    .option(
      '--purge',
      'also remove its custom resource definitions, with every object of them, its root certificate, and its namespace unless something else runs there',
    )
    .option('--timeout <duration>', 'how long to wait', '5m')
    .action(async ({ purge, timeout }: { purge?: boolean; timeout: string }) => {
      const { client, environment, istioNamespace, context } = await accessCluster(options());
      const { helm } = await ensureKubernetesClients();
      await refuseOthersMesh(client, istioNamespace);
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
      await removeRedirectionMarks(client);
      let what = 'its definitions and its root certificate stay; --purge removes them';
      if (purge === true) {
        await removeDefinitions(client);
        // Helm has read it, too, and would have refused what is no duration.
        what = `with its definitions${await removeNamespace(client, istioNamespace, parseDurationMs(timeout) ?? 0)}`;
      }
      process.stdout.write(`${paint('green', '✓')} the mesh is removed, ${what}\n`);
      const waypoints = await remainingWaypoints(client);
      if (waypoints.length > 0) {
        const warning = `nobody looks after these waypoints any more: ${waypoints.join(', ')}`;
        process.stderr.write(
          `${paint('yellow', 'Warning:', process.stderr)} ${warning}; delete each with: weft waypoint delete <name> -n <namespace>\n`,
        );
      }
    });
}

/**
 * Without a release of ours there may be a mesh all the same, of other releases or of Istio's: then what is taken
 * back from every namespace is not ours to take.
 */
async function refuseOthersMesh(client: KubernetesClient, namespace: string): Promise<void> {
  const releases = await client.list(resources.secrets, {
    namespace,
    labelSelector: `owner=helm,name=${RELEASE}`,
  });
  if (releases.items.length > 0) return;
  const others = othersParts(await partsOf(client), { name: RELEASE, namespace });
  if (others.length === 0) return;
  throw new WeftError(
    'WEFT1912',
    `there is no release "${RELEASE}" in namespace ${namespace}, but ${others.join(', ')}`,
  );
}

async function remainingWaypoints(client: KubernetesClient): Promise<readonly string[]> {
  try {
    const { items } = await client.list(gateways);
    return items
      .filter((gateway) => isWaypoint(gateway) && gateway.metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return []; // no Gateway API, no waypoints
  }
}

/** The control plane wrote them into every namespace; nobody else takes them away. */
async function removeRootCertificates(client: KubernetesClient): Promise<void> {
  const { items } = await client.list(resources.configMaps, { labelSelector: `${Label.config}=true` });
  for (const { metadata } of items) {
    if (metadata.name !== ROOT_CERT_CONFIGMAP) continue;
    await ignoreMissing(client.delete(resources.configMaps, ROOT_CERT_CONFIGMAP, metadata.namespace));
  }
}

/**
 * Agents take their marks back while they still may, which ends when helm removes their account. A mark that stays
 * would have the next control plane send tunnels to a pod before anybody listens there.
 */
async function removeRedirectionMarks(client: KubernetesClient): Promise<void> {
  const { items } = await client.list(resources.pods);
  for (const { metadata } of items) {
    if (metadata.annotations?.[Annotation.redirection] === undefined) continue;
    const body = { metadata: { uid: metadata.uid, annotations: { [Annotation.redirection]: null } } };
    await ignoreMissing(
      client.patch(resources.pods, metadata.name ?? '', metadata.namespace ?? '', body, 'merge'),
    );
  }
}

async function removeDefinitions(client: KubernetesClient): Promise<void> {
  const { items } = await client.list(resources.customResourceDefinitions);
  for (const { metadata } of items) {
    const owner = metadata.annotations?.['meta.helm.sh/release-name'];
    if (owner !== RELEASE) continue;
    await ignoreMissing(client.delete(resources.customResourceDefinitions, metadata.name ?? ''));
  }
}

/** The namespace of the mesh goes if nothing but what the mesh left is in it. Says what became of it. */
async function removeNamespace(
  client: KubernetesClient,
  namespace: string,
  timeoutMs: number,
): Promise<string> {
  await ignoreMissing(client.delete(resources.secrets, CA_SECRET, namespace));
  const [pods, secrets] = await Promise.all([
    client.list(resources.pods, { namespace }),
    client.list(resources.secrets, { namespace }),
  ]);
  const isInUse =
    PROTECTED_NAMESPACES.includes(namespace) ||
    pods.items.some((pod) => pod.metadata.deletionTimestamp === undefined) ||
    secrets.items.some((secret) => secret.metadata.name?.startsWith('sh.helm.release.') === true);
  if (isInUse) return `; something else is in namespace ${namespace}, which stays`;
  await ignoreMissing(client.delete(resources.namespaces, namespace));
  const isGone = await untilGone(client, namespace, timeoutMs);
  return isGone ? ' and its namespace' : `; namespace ${namespace} goes when its last pod has ended`;
}

/** Pods end later than the objects that made them; until then nothing can be installed in their namespace. */
async function untilGone(client: KubernetesClient, namespace: string, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      await client.get(resources.namespaces, namespace);
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function ignoreMissing(deletion: Promise<unknown>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
