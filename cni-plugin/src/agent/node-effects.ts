import { Annotation, PodCondition } from '@weft/api';
import { isConflict, isNotFound, resources, type KubernetesClient, type Pod } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { commandRunner } from '../rules/command.ts';
import type { HostProbeRules } from '../rules/host-rules.ts';
import { PodRedirection, type RedirectionSettings } from '../rules/pod-redirection.ts';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import { findPodNetworkNamespace, type NodeView } from './pod-network-namespace.ts';
import type { ZdsPod, ZdsServer } from './zds-server.ts';

/** What the agent does to the world; the tests put fakes here. */
export interface NodeEffects {
  /** The caller owns the result. */
  findNetworkNamespace(uid: string, addresses: readonly string[]): NetworkNamespace | undefined;
  applyRules(netns: NetworkNamespace, options: PodRuleOptions): void;
  /** As `applyRules`, where an earlier agent may have been at work or somebody else has changed the rules. */
  reconcileRules(netns: NetworkNamespace, options: PodRuleOptions): void;
  /** First step out: new connections are not redirected any more, open ones live on. */
  stopRedirecting(netns: NetworkNamespace): void;
  /** Last step out, when ztunnel has cut its connections. */
  removeRules(netns: NetworkNamespace): void;
  allowProbes(uid: string, addresses: readonly string[]): void;
  disallowProbes(uid: string, addresses: readonly string[]): void;
  /** Throws WEFT1702 or WEFT1703. */
  addToZtunnel(pod: ZdsPod): Promise<void>;
  removeFromZtunnel(uid: string): Promise<void>;
  /** Writes the redirection annotation; `undefined` removes it. A pod that is gone is no error. */
  annotate(pod: Pod, value: string | undefined): Promise<void>;
  /** What the API server knows of a pod now; undefined if it is gone or another pod has its name. */
  fetchPod(pod: ZdsPod): Promise<Pod | undefined>;
}

export interface NodeEffectsOptions {
  readonly client: KubernetesClient;
  readonly zds: () => ZdsServer;
  readonly node: NodeView;
  readonly hostRules: HostProbeRules;
  /** Beside the set of probed addresses: what else lets probes through on this node. */
  readonly probeRoutes?: {
    add(addresses: readonly string[]): void;
    remove(addresses: readonly string[]): void;
  };
  readonly redirection: RedirectionSettings & { readonly scopedLocking: boolean };
}

export function redirectionOf(
  netns: NetworkNamespace,
  settings: NodeEffectsOptions['redirection'],
): PodRedirection {
  return new PodRedirection(commandRunner(netns, { sharedLock: !settings.scopedLocking }), settings);
}

export function nodeEffects(o: NodeEffectsOptions): NodeEffects {
  const of = (netns: NetworkNamespace): PodRedirection => redirectionOf(netns, o.redirection);
  return {
    findNetworkNamespace: (uid, addresses) => findPodNetworkNamespace(o.node, uid, addresses),
    applyRules: (netns, options) => of(netns).apply(options),
    reconcileRules: (netns, options) => void of(netns).reconcile(options),
    stopRedirecting: (netns) => of(netns).stopRedirecting(),
    removeRules: (netns) => of(netns).remove(),
    allowProbes: (uid, addresses) => {
      o.hostRules.addPod(uid, addresses);
      o.probeRoutes?.add(addresses);
    },
    disallowProbes: (uid, addresses) => {
      o.hostRules.removePod(uid, addresses);
      o.probeRoutes?.remove(addresses);
    },
    addToZtunnel: (pod) => o.zds().add(pod),
    removeFromZtunnel: (uid) => o.zds().remove(uid),
    annotate: async ({ metadata }, value) => {
      const body = {
        // The UID is a precondition: a pod of the same name that came since is another pod.
        metadata: { uid: metadata.uid, annotations: { [Annotation.redirection]: value ?? null } },
        // What the audit said was of the state before. Only a strategic patch takes one entry out of a list.
        status: { conditions: [{ type: PodCondition.captured, $patch: 'delete' }] },
      };
      try {
        await o.client.patch(
          resources.pods,
          metadata.name ?? '',
          metadata.namespace ?? '',
          body,
          'strategic',
          {
            subresource: 'status',
          },
        );
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    },
    fetchPod: async ({ uid, name, namespace }) => {
      try {
        const pod = await o.client.get(resources.pods, name, namespace);
        return pod.metadata.uid === uid ? pod : undefined;
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
  };
}
