import { setTimeout as sleep } from 'node:timers/promises';
import { Component } from '@weft/api';
import {
  apiErrorStatus,
  matchesNodeSelectorTerm,
  resources,
  type KubernetesClient,
  type Node,
  type NodeSelectorTerm,
  type PodController,
} from '@weft/kubernetes';

const ASK_TIMEOUT_MS = 3_000;
const WATCH_LAG_MS = 3_000;
const WATCH_POLL_MS = 50;

/** What the agent last saw of its own DaemonSet. */
export type OwnDaemonSet =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'present'; readonly object: PodController }
  | { readonly kind: 'gone' };

/**
 * Whether the agent was removed for good. One whose DaemonSet is there and wants this node is upgraded, or its node
 * restarts, and then everything stays, so that no pod starts unmeshed.
 *
 * An answer of "unauthorized" says nothing: an uninstall takes our rights, but so does a changed signing key or an API
 * server that comes up. Then what the watch saw last counts; a deletion comes to it before the rights go.
 */
export function decideRemoval(
  asked:
    | { readonly kind: 'answer'; readonly object: PodController | undefined }
    | { readonly kind: 'no-answer' },
  seen: OwnDaemonSet,
  node: Node | undefined,
): boolean {
  if (asked.kind === 'answer') return asked.object === undefined || isLeaving(asked.object, node);
  if (seen.kind === 'present') return isLeaving(seen.object, node);
  return seen.kind === 'gone';
}

export async function isRemoved(
  client: KubernetesClient,
  namespace: string,
  nodeName: string,
  seen: () => OwnDaemonSet,
): Promise<boolean> {
  const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
  const [asked, node] = await Promise.all([
    client.get(resources.daemonSets, Component.cni, namespace, { signal }).then(
      (object) => ({ kind: 'answer', object }) as const,
      (error: unknown) =>
        apiErrorStatus(error) === 404
          ? ({ kind: 'answer', object: undefined } as const)
          : ({ kind: 'no-answer' } as const),
    ),
    client.get(resources.nodes, nodeName, undefined, { signal }).catch(() => undefined),
  ]);
  // The deletion may be on its way to the watch still.
  const deadline = Date.now() + WATCH_LAG_MS;
  while (!decideRemoval(asked, seen(), node) && asked.kind === 'no-answer' && Date.now() < deadline)
    await sleep(WATCH_POLL_MS);
  return decideRemoval(asked, seen(), node);
}

function isLeaving(daemonSet: PodController, node: Node | undefined): boolean {
  if (daemonSet.metadata.deletionTimestamp !== undefined) return true;
  return node !== undefined && !wantsNode(podSpecOf(daemonSet), node);
}

interface Placement {
  readonly affinity?: {
    readonly nodeAffinity?: {
      readonly requiredDuringSchedulingIgnoredDuringExecution?: {
        readonly nodeSelectorTerms?: readonly NodeSelectorTerm[];
      };
    };
  };
}

function podSpecOf(daemonSet: PodController): Placement {
  const { spec } = daemonSet;
  const podSpec: unknown = spec?.template.spec;
  return isRecord(podSpec) ? podSpec : {}; // written by the API server, which checks this part
}

/**
 * Any term of the required affinity. A node selector is not looked at, as Istio's agent doesn't either: it is how
 * agents are taken away for a while, and new pods must not start unmeshed meanwhile.
 */
export function wantsNode({ affinity }: Placement, node: Node): boolean {
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => matchesNodeSelectorTerm(term, node));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
