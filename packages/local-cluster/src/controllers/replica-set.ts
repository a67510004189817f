import { objectKey, resources, type Pod, type PodController } from '@weft/kubernetes';
import { age, controllerOf, numberField, statusWrites } from './objects.ts';
import { countPods, isActive, isReady, isTerminating, podFromTemplate } from './pods.ts';
import { isOf, nothing, splitKey, type Controller, type Write } from './reconcile.ts';

/** Pods made or deleted in one pass; the rest follows in the next, so that one object can't hold up the others. */
export const MAX_PODS_PER_PASS = 50;

export const replicaSetController: Controller = {
  name: 'replicaset',

  keysFor(change) {
    if (isOf(change, resources.replicaSets)) return [objectKey(change.object)];
    if (!isOf(change, resources.pods)) return [];
    const owner = controllerOf(change.object);
    return owner?.kind === 'ReplicaSet' ? [`${change.object.metadata.namespace}/${owner.name}`] : [];
  },

  reconcile(key, view, now) {
    const { namespace, name } = splitKey(key);
    const replicaSet = view.get(resources.replicaSets, name, namespace);
    if (replicaSet?.spec === undefined) return nothing;
    const pods = view.controlledBy(resources.pods, replicaSet.metadata.uid).filter(isActive);
    const counts = countPods(pods, numberField(replicaSet, 'minReadySeconds', 0), now);
    return {
      writes: [
        ...(isTerminating(replicaSet) ? [] : scale(replicaSet, pods)),
        ...statusWrites(resources.replicaSets, replicaSet, {
          replicas: pods.length,
          fullyLabeledReplicas: pods.length,
          readyReplicas: counts.ready,
          availableReplicas: counts.available,
          observedGeneration: replicaSet.metadata.generation,
        }),
      ],
      requeueAfterMs: counts.nextAvailableMs,
    };
  },
};

function scale(replicaSet: PodController, pods: readonly Pod[]): readonly Write[] {
  const template = replicaSet.spec?.template;
  if (template === undefined) return [];
  const missing = (replicaSet.spec?.replicas ?? 1) - pods.length;
  if (missing > 0) {
    return Array.from({ length: Math.min(missing, MAX_PODS_PER_PASS) }, () => ({
      kind: 'create' as const,
      type: resources.pods,
      object: podFromTemplate(resources.replicaSets, replicaSet, template),
    }));
  }
  return [...pods]
    .sort(byDispensability)
    .slice(0, Math.min(-missing, MAX_PODS_PER_PASS))
    .map((object) => ({ kind: 'delete', type: resources.pods, object }));
}

/** Which pod goes first: unscheduled, then not running, then not ready, then the youngest. */
function byDispensability(a: Pod, b: Pod): number {
  return (
    Number(a.spec?.nodeName !== undefined) - Number(b.spec?.nodeName !== undefined) ||
    Number(a.status?.phase === 'Running') - Number(b.status?.phase === 'Running') ||
    Number(isReady(a)) - Number(isReady(b)) ||
    age(b) - age(a)
  );
}
