import { objectKey, resources, type Pod, type PodController } from '@weft/kubernetes';
import { contentHash, controllerOf, numberField, statusWrites } from './objects.ts';
import { countPods, isFinished, isReady, isTerminating, podFromTemplate } from './pods.ts';
import { isOf, nothing, splitKey, type Controller, type Write } from './reconcile.ts';

const HASH_LABEL = 'controller-revision-hash';

/** Named pods in order, one change at a time unless `Parallel`. There is no storage, so no volume claims. */
export const statefulSetController: Controller = {
  name: 'statefulset',

  keysFor(change) {
    if (isOf(change, resources.statefulSets)) return [objectKey(change.object)];
    if (!isOf(change, resources.pods)) return [];
    const owner = controllerOf(change.object);
    return owner?.kind === 'StatefulSet' ? [`${change.object.metadata.namespace}/${owner.name}`] : [];
  },

  reconcile(key, view, now) {
    const { namespace, name } = splitKey(key);
    const set = view.get(resources.statefulSets, name, namespace);
    const template = set?.spec?.template;
    if (set === undefined || template === undefined) return nothing;
    const revision = `${name}-${contentHash(template)}`;
    const pods = view.controlledBy(resources.pods, set.metadata.uid);
    const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
    const replicas = set.spec?.replicas ?? 1;
    const counts = countPods(pods, numberField(set, 'minReadySeconds', 0), now);
    const updated = pods.filter((pod) => pod.metadata.labels?.[HASH_LABEL] === revision).length;
    const done = updated === replicas && pods.length === replicas && counts.ready === replicas;
    return {
      writes: [
        ...(isTerminating(set) ? [] : step(set, revision, byOrdinal)),
        ...statusWrites(resources.statefulSets, set, {
          observedGeneration: set.metadata.generation,
          replicas: pods.length,
          readyReplicas: counts.ready,
          availableReplicas: counts.available,
          currentReplicas: done ? updated : pods.length - updated,
          updatedReplicas: updated,
          currentRevision: done ? revision : (set.status?.['currentRevision'] ?? revision),
          updateRevision: revision,
          collisionCount: 0,
        }),
      ],
      requeueAfterMs: counts.nextAvailableMs,
    };
  },
};

function step(set: PodController, revision: string, pods: ReadonlyMap<number, Pod>): readonly Write[] {
  const replicas = set.spec?.replicas ?? 1;
  const parallel = set.spec?.['podManagementPolicy'] === 'Parallel';
  const writes: Write[] = [];
  let settled = true;

  for (let ordinal = 0; ordinal < replicas && (settled || parallel); ordinal++) {
    const pod = pods.get(ordinal);
    if (pod === undefined) writes.push(creation(set, revision, ordinal));
    else if (isFinished(pod) && !isTerminating(pod))
      writes.push({ kind: 'delete', type: resources.pods, object: pod });
    if (pod === undefined || isTerminating(pod) || !isReady(pod)) settled = false;
  }
  const surplus = [...pods].filter(([ordinal]) => ordinal >= replicas).sort(([a], [b]) => b - a);
  for (const [, pod] of surplus) {
    if (!settled && !parallel) break;
    if (!isTerminating(pod)) writes.push({ kind: 'delete', type: resources.pods, object: pod });
    settled = false;
  }
  if (!settled || writes.length > 0) return writes.length > 0 ? writes : replaceBroken(set, revision, pods);
  return replaceOutdated(set, revision, pods);
}

/** A pod of an old template that never becomes ready must not block the template that repairs it. */
function replaceBroken(
  set: PodController,
  revision: string,
  pods: ReadonlyMap<number, Pod>,
): readonly Write[] {
  return replaceOutdated(set, revision, pods).filter(
    (write) => write.kind === 'delete' && !isReady(write.object),
  );
}

/** From the highest ordinal down to the partition, one at a time. */
function replaceOutdated(
  set: PodController,
  revision: string,
  pods: ReadonlyMap<number, Pod>,
): readonly Write[] {
  // Validated and defaulted by the API server.
  const strategy = set.spec?.['updateStrategy'] as
    | { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } }
    | undefined;
  if (strategy?.type === 'OnDelete') return [];
  const partition = strategy?.rollingUpdate?.partition ?? 0;
  for (const [ordinal, pod] of [...pods].sort(([a], [b]) => b - a)) {
    if (ordinal < partition || pod.metadata.labels?.[HASH_LABEL] === revision) continue;
    return isTerminating(pod) ? [] : [{ kind: 'delete', type: resources.pods, object: pod }];
  }
  return [];
}

function ordinalOf(pod: Pod): number {
  return Number(/-(\d+)$/.exec(pod.metadata.name ?? '')?.[1] ?? -1);
}

function creation(set: PodController, revision: string, ordinal: number): Write {
  const name = `${set.metadata.name}-${ordinal}`;
  const serviceName = set.spec?.['serviceName'];
  const template = set.spec?.template ?? { spec: { containers: [] } };
  return {
    kind: 'create',
    type: resources.pods,
    object: podFromTemplate(resources.statefulSets, set, template, {
      name,
      labels: {
        [HASH_LABEL]: revision,
        'statefulset.kubernetes.io/pod-name': name,
        'apps.kubernetes.io/pod-index': String(ordinal),
      },
      spec: { hostname: name, ...(typeof serviceName === 'string' ? { subdomain: serviceName } : {}) },
    }),
  };
}
