import { setTimeout as sleep } from 'node:timers/promises';
import { KubernetesClient, loadKubeConfig, resources } from '@weft/kubernetes';
import { describeError } from '@weft/telemetry';
import { NODE_LEASE_NAMESPACE } from '../controllers/node-lifecycle.ts';

export interface NodeReadiness {
  readonly name: string;
  readonly ready: boolean;
  /** Why not, in the node's own words. */
  readonly message: string;
}

const POLL_MS = 100;
const REQUEST_TIMEOUT_MS = 5_000;

/** Asks the cluster's API. */
export async function nodeReadiness(kubeconfig: string): Promise<readonly NodeReadiness[]> {
  const client = new KubernetesClient(loadKubeConfig({ path: kubeconfig }));
  try {
    return await listReadiness(client);
  } finally {
    client.close();
  }
}

async function listReadiness(
  client: KubernetesClient,
  signal?: AbortSignal,
): Promise<readonly NodeReadiness[]> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const { items } = await client.list(resources.nodes, {
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
  });
  return items.map((node) => {
    const condition = node.status?.conditions?.find(({ type }) => type === 'Ready');
    return {
      name: node.metadata.name ?? '',
      ready: condition?.status === 'True',
      message: condition?.message ?? 'no Ready condition yet',
    };
  });
}

/** Names of the nodes whose kubelet has reported since then. */
async function renewedLeases(client: KubernetesClient, since: Date): Promise<ReadonlySet<string>> {
  const { items } = await client.list(resources.leases, { namespace: NODE_LEASE_NAMESPACE });
  const renewed = items.filter(({ spec }) => Date.parse(spec?.renewTime ?? '') >= since.getTime());
  return new Set(renewed.map(({ metadata }) => metadata.name ?? ''));
}

export interface ReadinessWait {
  readonly kubeconfig: string;
  /** Kept data may still call a node Ready that hasn't come up this time: its Lease must be younger than this. */
  readonly since: Date;
  readonly expected: readonly string[];
  readonly timeoutMs: number;
  /** False once the supervisor is gone: then waiting is pointless. */
  readonly isAlive: () => Promise<boolean>;
  readonly onProgress: (sentence: string) => void;
  readonly signal?: AbortSignal;
}

/** Resolves when every expected node is Ready and pods can be made; else throws what was missing. */
export async function untilNodesReady(wait: ReadinessWait): Promise<void> {
  const client = new KubernetesClient(loadKubeConfig({ path: wait.kubeconfig }));
  const deadline = Date.now() + wait.timeoutMs;
  let reported = '';
  let obstacle = 'the API did not answer';
  const report = (sentence: string) => {
    if (sentence !== reported) wait.onProgress(sentence);
    reported = sentence;
  };
  try {
    while (Date.now() < deadline) {
      wait.signal?.throwIfAborted();
      if (!(await wait.isAlive())) throw new Error('the supervisor ended');
      try {
        const [nodes, alive] = await Promise.all([
          listReadiness(client, wait.signal),
          renewedLeases(client, wait.since),
        ]);
        const pending = wait.expected.filter(
          (name) => !alive.has(name) || !nodes.some((node) => node.name === name && node.ready),
        );
        if (pending.length === 0) {
          // Without it the first pod of a user in a hurry would be refused.
          await client.get(resources.serviceAccounts, 'default', 'default');
          return;
        }
        obstacle = `not Ready: ${pending.join(', ')}`;
        report(`The API answers; waiting for ${wait.expected.join(', ')}.`);
      } catch (error) {
        obstacle = describeError(error);
      }
      await sleep(POLL_MS);
    }
    throw new Error(`gave up after ${Math.round(wait.timeoutMs / 1000)} s (${obstacle})`);
  } finally {
    client.close();
  }
}
