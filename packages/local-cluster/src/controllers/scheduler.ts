import { objectKey, resources, type Node, type Pod } from '@weft/kubernetes';
import { unfitReason } from './node-fitness.ts';
import { controllerOf, withCondition } from './objects.ts';
import { isFinished, isTerminating } from './pods.ts';
import {
  isOf,
  nothing,
  splitKey,
  type ClusterView,
  type Controller,
  type ObjectChange,
  type Reconciliation,
} from './reconcile.ts';

export type Placement =
  | { readonly kind: 'bind'; readonly nodeName: string }
  | { readonly kind: 'unschedulable'; readonly message: string };

/**
 * Chooses a node: of those that fit, the one with the fewest pods of the same controller, then the fewest pods.
 * Resources don't count, since a local cluster can't enforce them.
 */
export function place(pod: Pod, nodes: readonly Node[], pods: readonly Pod[]): Placement {
  const reasons = new Map<string, number>();
  const fitting: Node[] = [];
  for (const node of nodes) {
    const reason = unfitReason(pod, node);
    if (reason === undefined) fitting.push(node);
    else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  const owner = controllerOf(pod)?.uid;
  const load = (node: Node): readonly [number, number] => {
    const here = pods.filter((other) => other.spec?.nodeName === node.metadata.name && !isFinished(other));
    const siblings =
      owner === undefined ? 0 : here.filter((other) => controllerOf(other)?.uid === owner).length;
    return [siblings, here.length];
  };
  const [best] = fitting
    .map((node) => ({ name: node.metadata.name ?? '', load: load(node) }))
    .sort((a, b) => a.load[0] - b.load[0] || a.load[1] - b.load[1] || (a.name < b.name ? -1 : 1));
  if (best !== undefined) return { kind: 'bind', nodeName: best.name };
  const why = [...reasons].map(([reason, count]) => `${count} ${reason}`).join(', ');
  return {
    kind: 'unschedulable',
    message: `0/${nodes.length} nodes are available: ${why || 'there are none'}.`,
  };
}

/**
 * Pods are placed side by side, and a binding is seen only once the API server has answered. What was decided until
 * then is assumed, as kube-scheduler does; otherwise two replicas would find the same node empty.
 */
export function schedulerController(): Controller {
  /** Node names by the pod's UID. */
  const assumed = new Map<string, string>();
  return { name: 'scheduler', keysFor, reconcile: (key, view, now) => reconcile(key, view, now, assumed) };
}

function keysFor(change: ObjectChange, view: ClusterView): readonly string[] {
  if (isOf(change, resources.pods)) return isPending(change.object) ? [objectKey(change.object)] : [];
  // A node that came, went or changed its labels or taints may suit what is waiting.
  return isOf(change, resources.nodes) ? view.list(resources.pods).filter(isPending).map(objectKey) : [];
}

function reconcile(key: string, view: ClusterView, now: Date, assumed: Map<string, string>): Reconciliation {
  const { namespace, name } = splitKey(key);
  const pod = view.get(resources.pods, name, namespace);
  if (pod === undefined || !isPending(pod)) return nothing;
  const uid = pod.metadata.uid ?? '';
  assumed.delete(uid); // a binding that failed is decided anew
  const pods = view.list(resources.pods);
  const pending = new Set(pods.filter(isPending).map((other) => other.metadata.uid ?? ''));
  for (const other of assumed.keys()) if (!pending.has(other)) assumed.delete(other);
  const placement = place(
    pod,
    view.list(resources.nodes),
    pods.map((other) => onAssumedNode(other, assumed)),
  );
  if (placement.kind === 'unschedulable') return reportUnschedulable(pod, placement.message, now);
  assumed.set(uid, placement.nodeName);
  return { writes: [{ kind: 'bind', pod, nodeName: placement.nodeName }] };
}

function onAssumedNode(pod: Pod, assumed: ReadonlyMap<string, string>): Pod {
  const nodeName = assumed.get(pod.metadata.uid ?? '');
  return nodeName === undefined ? pod : { ...pod, spec: { containers: [], ...pod.spec, nodeName } };
}

function isPending(pod: Pod): boolean {
  const gates = pod.spec?.['schedulingGates'];
  return (
    (pod.spec?.nodeName ?? '') === '' &&
    !isTerminating(pod) &&
    !isFinished(pod) &&
    (pod.spec?.['schedulerName'] ?? 'default-scheduler') === 'default-scheduler' &&
    !(Array.isArray(gates) && gates.length > 0)
  );
}

function reportUnschedulable(pod: Pod, message: string, now: Date): Reconciliation {
  const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (before?.status === 'False' && before.message === message) return nothing;
  const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message } as const;
  const { name = '', namespace } = pod.metadata;
  return {
    writes: [
      {
        kind: 'patch',
        type: resources.pods,
        name,
        namespace,
        patch: {
          status: { conditions: withCondition(before === undefined ? [] : [before], condition, now) },
        },
        patchKind: 'strategic',
        subresource: 'status',
      },
      { kind: 'event', regarding: pod, type: 'Warning', reason: 'FailedScheduling', message },
    ],
  };
}
