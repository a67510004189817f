import { isDeepStrictEqual } from 'node:util';
import { resources, type Condition, type Node, type Pod, timestamp } from '@weft/kubernetes';
import { tolerationOf, type Taint } from './node-fitness.ts';
import { withCondition } from './objects.ts';
import { isTerminating } from './pods.ts';
import { isOf, nothing, type Controller, type Write } from './reconcile.ts';

export const NODE_LEASE_NAMESPACE = 'kube-node-lease';
const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
/** As kubelets' Leases say; for a node that never had one. */
const DEFAULT_LEASE_SECONDS = 40;
/** How long pods stay bound to a node that is in trouble, unless they say themselves. */
export const DEFAULT_TOLERATION_SECONDS = 300;

type TimedTaint = Taint & { readonly timeAdded?: string };

/** Readiness and taints of nodes from their Leases, and the removal of pods from nodes that are lost. */
export const nodeLifecycleController: Controller = {
  name: 'node-lifecycle',

  keysFor(change) {
    if (isOf(change, resources.nodes)) return [change.object.metadata.name ?? ''];
    if (isOf(change, resources.leases) && change.object.metadata.namespace === NODE_LEASE_NAMESPACE) {
      return [change.object.metadata.name ?? ''];
    }
    // A pod of a node that no longer exists is found by the node's name.
    if (isOf(change, resources.pods))
      return change.object.spec?.nodeName ? [change.object.spec.nodeName] : [];
    return [];
  },

  reconcile(name, view, now) {
    if (name === '') return nothing;
    const node = view.get(resources.nodes, name);
    const pods = view.list(resources.pods).filter((pod) => pod.spec?.nodeName === name);
    if (node === undefined) return { writes: pods.map((pod) => removal(pod, 0)) };
    const lease = view.get(resources.leases, name, NODE_LEASE_NAMESPACE)?.spec;
    const renewed = Date.parse(lease?.renewTime ?? node.metadata.creationTimestamp ?? '');
    const leftMs = renewed + (lease?.leaseDurationSeconds ?? DEFAULT_LEASE_SECONDS) * 1000 - now.getTime();
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
    const lost = leftMs <= 0;

    const writes: Write[] = [];
    if (lost && ready?.status !== 'Unknown') writes.push(markUnknown(node, now));
    const key =
      lost || ready?.status === 'Unknown' ? UNREACHABLE : ready?.status === 'True' ? undefined : NOT_READY;
    const taints = taintsOf(node, key, now);
    if (!isDeepStrictEqual(node.spec?.taints ?? [], taints)) {
      writes.push({ kind: 'patch', type: resources.nodes, name, patch: { spec: { taints } } });
    }
    const evictions = evict(pods, taints, now);
    writes.push(...evictions.writes);
    if (lost) writes.push(...pods.flatMap(markNotReady(now)));
    const waits = [evictions.nextMs, lost ? undefined : leftMs].filter((ms) => ms !== undefined);
    return { writes, requeueAfterMs: waits.length === 0 ? undefined : Math.min(...waits) };
  },
};

function markUnknown(node: Node, now: Date): Write {
  const conditions = (
    node.status?.conditions ?? [{ type: 'Ready', status: 'Unknown' } satisfies Condition]
  ).reduce(
    (all: readonly Condition[], { type }) =>
      withCondition(
        all,
        {
          type,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
        },
        now,
      ),
    node.status?.conditions ?? [],
  );
  const { name = '' } = node.metadata;
  return {
    kind: 'patch',
    type: resources.nodes,
    name,
    patch: { status: { conditions } },
    subresource: 'status',
  };
}

/** Nobody is left to say so, hence the pods of a lost node stop being ready here: Services must not send to them. */
function markNotReady(now: Date): (pod: Pod) => readonly Write[] {
  return (pod) => {
    const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
    if (ready?.status !== 'True') return [];
    const condition = { type: 'Ready', status: 'False', reason: 'NodeNotReady' } as const;
    const { name = '', namespace } = pod.metadata;
    return [
      {
        kind: 'patch',
        type: resources.pods,
        name,
        namespace,
        patch: { status: { conditions: withCondition([ready], condition, now) } },
        patchKind: 'strategic',
        subresource: 'status',
      },
    ];
  };
}

function taintsOf(node: Node, key: string | undefined, now: Date): readonly TimedTaint[] {
  const present: readonly TimedTaint[] = node.spec?.taints ?? [];
  const others = present.filter((taint) => taint.key !== NOT_READY && taint.key !== UNREACHABLE);
  if (key === undefined) return others;
  const noExecute = present.find((taint) => taint.key === key && taint.effect === 'NoExecute');
  return [
    ...others,
    { key, effect: 'NoSchedule' },
    { key, effect: 'NoExecute', timeAdded: noExecute?.timeAdded ?? timestamp(now) },
  ];
}

/** Pods go once they don't tolerate a NoExecute taint any longer; from an unreachable node without its consent. */
function evict(pods: readonly Pod[], taints: readonly TimedTaint[], now: Date) {
  const writes: Write[] = [];
  let nextMs: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== 'NoExecute') continue;
    for (const pod of pods) {
      const toleration = pod.spec === undefined ? undefined : tolerationOf(pod.spec, taint);
      if (toleration !== undefined && toleration.tolerationSeconds === undefined) continue;
      const implied = taint.key === NOT_READY || taint.key === UNREACHABLE ? DEFAULT_TOLERATION_SECONDS : 0;
      const seconds = toleration?.tolerationSeconds ?? implied;
      const leftMs = Date.parse(taint.timeAdded ?? timestamp(now)) + seconds * 1000 - now.getTime();
      if (leftMs > 0) nextMs = Math.min(nextMs ?? leftMs, leftMs);
      else if (!isTerminating(pod) || taint.key === UNREACHABLE) {
        writes.push(removal(pod, taint.key === UNREACHABLE ? 0 : undefined));
      }
    }
  }
  return { writes, nextMs };
}

function removal(object: Pod, gracePeriodSeconds: number | undefined): Write {
  const type = resources.pods;
  return gracePeriodSeconds === undefined
    ? { kind: 'delete', type, object }
    : { kind: 'delete', type, object, gracePeriodSeconds };
}
