import { type Condition, type PodController, timestamp } from '@weft/kubernetes';
import { numberField, scaledValue, withCondition } from './objects.ts';

interface Progress extends Condition {
  readonly lastUpdateTime?: string;
}

/** Status of a Deployment from its ReplicaSets; `rollout status` and `helm --wait` read it. */
export function deploymentStatus(
  deployment: PodController,
  sets: readonly PodController[],
  current: PodController | undefined,
  now: Date,
): { readonly fields: Readonly<Record<string, unknown>>; readonly requeueAfterMs: number | undefined } {
  const desired = deployment.spec?.replicas ?? 1;
  const sum = (field: string) => sets.reduce((total, set) => total + count(set, field), 0);
  const replicas = sum('replicas');
  const ready = sum('readyReplicas');
  const available = sum('availableReplicas');
  const updated = current === undefined ? 0 : count(current, 'replicas');

  const strategy = deployment.spec?.['strategy'] as // defaulted and validated by the API server
    | { readonly type?: string; readonly rollingUpdate?: { readonly maxUnavailable?: unknown } }
    | undefined;
  const maxUnavailable =
    strategy?.type === 'Recreate'
      ? 0
      : scaledValue(strategy?.rollingUpdate?.maxUnavailable, desired, 'down', '25%');
  const enough = available >= desired - maxUnavailable;
  let conditions = withCondition(
    deployment.status?.conditions,
    enough
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    now,
  );

  const counts = { replicas, updatedReplicas: updated, readyReplicas: ready, availableReplicas: available };
  const complete = updated === desired && replicas === desired && available === desired;
  const progress = progressOf(deployment, current, counts, complete, now);
  conditions = withCondition(conditions, progress.condition, now);

  return {
    fields: {
      observedGeneration: deployment.metadata.generation,
      // Zero counts are absent in Kubernetes' own answers; clients take both alike.
      replicas,
      updatedReplicas: updated,
      readyReplicas: ready,
      availableReplicas: available,
      unavailableReplicas: Math.max(0, replicas - available, desired - available),
      conditions,
    },
    requeueAfterMs: progress.deadlineMs,
  };
}

function progressOf(
  deployment: PodController,
  current: PodController | undefined,
  counts: Readonly<Record<string, number>>,
  complete: boolean,
  now: Date,
): { readonly condition: Omit<Progress, 'lastTransitionTime'>; readonly deadlineMs: number | undefined } {
  const name =
    current === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${current.metadata.name}"`;
  const before = deployment.status?.conditions?.find(({ type }) => type === 'Progressing') as
    | Progress
    | undefined; // ours
  const isNew = deployment.status?.observedGeneration !== deployment.metadata.generation;
  if (complete) {
    const done = before?.reason === 'NewReplicaSetAvailable' && before.message?.startsWith(name) === true;
    return {
      condition: {
        type: 'Progressing',
        status: 'True',
        reason: 'NewReplicaSetAvailable',
        message: `${name} has successfully progressed.`,
        lastUpdateTime: done ? (before.lastUpdateTime ?? timestamp(now)) : timestamp(now),
      },
      deadlineMs: undefined,
    };
  }
  const moved =
    isNew ||
    Object.entries(counts).some(([field, value]) => Number(deployment.status?.[field] ?? 0) !== value);
  const since = moved || before?.lastUpdateTime === undefined ? timestamp(now) : before.lastUpdateTime;
  const deadline = Date.parse(since) + numberField(deployment, 'progressDeadlineSeconds', 600) * 1000;
  // Losing pods of a finished rollout is not a rollout that got stuck.
  const finishedBefore = !isNew && before?.reason === 'NewReplicaSetAvailable';
  if (finishedBefore) return { condition: before, deadlineMs: undefined };
  if (now.getTime() >= deadline) {
    return {
      condition: {
        type: 'Progressing',
        status: 'False',
        reason: 'ProgressDeadlineExceeded',
        message: `${name} has timed out progressing.`,
        lastUpdateTime: since,
      },
      deadlineMs: undefined,
    };
  }
  return {
    condition: {
      type: 'Progressing',
      status: 'True',
      reason: current === undefined ? 'NewReplicaSetCreated' : 'ReplicaSetUpdated',
      message: `${name} is progressing.`,
      lastUpdateTime: since,
    },
    deadlineMs: deadline - now.getTime(),
  };
}

function count(set: PodController, field: string): number {
  const value = set.status?.[field];
  return typeof value === 'number' ? value : 0;
}
