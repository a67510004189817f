import { Annotation } from '@weft/api';
import { isConflict, isNotFound, resources, type KubernetesClient } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { commandRunner } from '../rules/command.ts';
import type { HostProbeRules } from '../rules/host-rules.ts';
import { PodRedirection, type IptablesVariant } from '../rules/iptables.ts';
import type { IpVersion } from '../rules/pod-rules.ts';
import type { NodeEffects } from './node-agent.ts';
import { findPodNetworkNamespace, type NodeView } from './pod-network-namespace.ts';
import type { ZdsServer } from './zds-server.ts';

export function nodeEffects(o: {
  readonly client: KubernetesClient;
  readonly zds: () => ZdsServer;
  readonly node: NodeView;
  readonly hostRules: HostProbeRules;
  readonly variant: IptablesVariant;
  readonly versions: readonly IpVersion[];
}): NodeEffects {
  const redirection = (netns: NetworkNamespace): PodRedirection =>
    new PodRedirection(commandRunner(netns), o.variant, o.versions);
  return {
    findNetworkNamespace: (uid, addresses) => findPodNetworkNamespace(o.node, uid, addresses),
    applyRules: (netns, options) => redirection(netns).apply(options),
    stopRedirecting: (netns) => redirection(netns).stopRedirecting(),
    removeRules: (netns) => redirection(netns).remove(),
    allowProbes: (uid, addresses) => o.hostRules.addPod(uid, addresses),
    disallowProbes: (uid, addresses) => o.hostRules.removePod(uid, addresses),
    addToZtunnel: (pod) => o.zds().add(pod),
    removeFromZtunnel: (uid) => o.zds().remove(uid),
    annotate: async ({ metadata }, value) => {
      // The UID is a precondition: a pod of the same name that came since is another pod.
      const body = {
        metadata: { uid: metadata.uid, annotations: { [Annotation.redirection]: value ?? null } },
      };
      try {
        await o.client.patch(resources.pods, metadata.name ?? '', metadata.namespace ?? '', body, 'merge', {
          subresource: 'status',
        });
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    },
  };
}
