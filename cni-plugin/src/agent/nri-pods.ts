import path from 'node:path';
import { isNotFound, resources, type KubernetesClient, type Namespace, type Pod } from '@weft/kubernetes';
import { openNetworkNamespace, type NetworkNamespace } from '@weft/linux';
import { WeftError } from '@weft/telemetry';
import type { NriPod } from '../nri/nri-session.ts';
import { needsNoAgent } from '../plugin/add.ts';
import type { AgentConfig } from './config.ts';
import { decideEnrolment, type EnrolmentPolicy } from './enrolment.ts';
import type { NodeAgent } from './node-agent.ts';
import { addressesIn, findPodNetworkNamespace } from './pod-network-namespace.ts';

export interface NriPodsOptions {
  readonly client: Pick<KubernetesClient, 'get'>;
  readonly agent: Pick<NodeAgent, 'enrolNewPod'>;
  readonly policy: EnrolmentPolicy;
  readonly config: Pick<
    AgentConfig,
    'podNamespace' | 'excludedNamespaces' | 'hostRoot' | 'procDir' | 'netnsDir'
  >;
  /** What interfaces there have: for a runtime that doesn't tell. Entering takes SYS_ADMIN. */
  readonly addressesIn?: (netns: NetworkNamespace) => readonly string[];
}

/** What the CNI plugin does for a new pod, for a runtime that asks by NRI: throws if the pod must not start. */
export async function enrolNriPod(o: NriPodsOptions, pod: NriPod, signal: AbortSignal): Promise<void> {
  const { podNamespace: agentNamespace, excludedNamespaces } = o.config;
  if (needsNoAgent({ agentNamespace, excludedNamespaces }, pod.name, pod.namespace)) return;
  const found = await fetchPod(o, pod, signal);
  if (found === undefined) return; // deleted before it could start
  if (decideEnrolment(o.policy, found.object, found.namespace).kind !== 'enrol') return;
  const netns = networkNamespaceOf(o, pod);
  const addresses = pod.addresses.length > 0 ? pod.addresses : (o.addressesIn ?? addressesIn)(netns);
  await o.agent.enrolNewPod(found.object, found.namespace, netns, addresses);
}

async function fetchPod(
  { client }: NriPodsOptions,
  { name, namespace }: NriPod,
  signal: AbortSignal,
): Promise<{ object: Pod; namespace: Namespace } | undefined> {
  try {
    const [object, owner] = await Promise.all([
      client.get(resources.pods, name, namespace, { signal }),
      client.get(resources.namespaces, namespace, undefined, { signal }),
    ]);
    return { object, namespace: owner };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function networkNamespaceOf({ config }: NriPodsOptions, pod: NriPod): NetworkNamespace {
  if (pod.netns !== undefined)
    return openNetworkNamespace(path.join(config.hostRoot, path.normalize(pod.netns)));
  const found = findPodNetworkNamespace(config, pod.uid, pod.addresses);
  if (found === undefined) throw new WeftError('WEFT1704', `pod ${pod.namespace}/${pod.name}`);
  return found;
}
