import {
  objectKey,
  resources,
  type Condition,
  type Pod,
  type PodController,
  timestamp,
} from '@weft/kubernetes';
import { controllerOf, numberField, statusWrites, withCondition } from './objects.ts';
import { isActive, isReady, isTerminating, podFromTemplate } from './pods.ts';
import { isOf, nothing, splitKey, type Controller, type Reconciliation, type Write } from './reconcile.ts';
import { MAX_PODS_PER_PASS } from './replica-set.ts';

/** Runs pods to completion. Indexed completion and podFailurePolicy are stored, not acted on. */
export const jobController: Controller = {
  name: 'job',

  keysFor(change) {
    if (isOf(change, resources.jobs)) return [objectKey(change.object)];
    if (!isOf(change, resources.pods)) return [];
    const owner = controllerOf(change.object);
    return owner?.kind === 'Job' ? [`${change.object.metadata.namespace}/${owner.name}`] : [];
  },

  reconcile(key, view, now) {
    const { namespace, name } = splitKey(key);
    const job = view.get(resources.jobs, name, namespace);
    if (job?.spec === undefined || isTerminating(job)) return nothing;
    const end = finishedAt(job);
    if (end !== undefined) return expire(job, end, now);
    return advance(job, view.controlledBy(resources.pods, job.metadata.uid), now);
  },
};

function finishedAt(job: PodController): Date | undefined {
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  return end === undefined ? undefined : new Date(end.lastTransitionTime ?? 0);
}

/** ttlSecondsAfterFinished. */
function expire(job: PodController, end: Date, now: Date): Reconciliation {
  const ttl = job.spec?.['ttlSecondsAfterFinished'];
  if (typeof ttl !== 'number') return nothing;
  const leftMs = end.getTime() + ttl * 1000 - now.getTime();
  if (leftMs > 0) return { writes: [], requeueAfterMs: leftMs };
  return { writes: [{ kind: 'delete', type: resources.jobs, object: job, propagationPolicy: 'Background' }] };
}

function advance(job: PodController, pods: readonly Pod[], now: Date): Reconciliation {
  const active = pods.filter(isActive);
  // A finished pod that someone removed still counts: the status remembers it.
  const succeeded = Math.max(phaseCount(pods, 'Succeeded'), Number(job.status?.['succeeded'] ?? 0));
  const failed = Math.max(phaseCount(pods, 'Failed'), Number(job.status?.['failed'] ?? 0));
  const completions = job.spec?.['completions'];
  const wanted = typeof completions === 'number' ? completions : undefined;
  const parallelism = numberField(job, 'parallelism', 1);
  const startTime = job.status?.['startTime'] ?? timestamp(now);
  const deadline = job.spec?.['activeDeadlineSeconds'];
  const leftMs =
    typeof deadline === 'number' && typeof startTime === 'string'
      ? Date.parse(startTime) + deadline * 1000 - now.getTime()
      : undefined;

  const counts = { succeeded, failed, ready: active.filter(isReady).length, startTime };
  const stop = (conditions: readonly Condition[], extra: object = {}): Reconciliation => ({
    writes: [
      ...active.map((object): Write => ({ kind: 'delete', type: resources.pods, object })),
      ...statusWrites(resources.jobs, job, { ...counts, ready: 0, active: 0, conditions, ...extra }),
    ],
  });
  if (job.spec?.['suspend'] === true) {
    return stop(
      withCondition(
        job.status?.conditions,
        { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' },
        now,
      ),
    );
  }
  // With no number of completions the first success ends the job once the others are done.
  if (wanted === undefined ? succeeded > 0 && active.length === 0 : succeeded >= wanted) {
    return stop(
      ending(job, 'Complete', 'CompletionsReached', 'Reached expected number of succeeded pods', now),
      {
        completionTime: timestamp(now),
      },
    );
  }
  if (failed > numberField(job, 'backoffLimit', 6)) {
    const message = 'Job has reached the specified backoff limit';
    return stop(ending(job, 'Failed', 'BackoffLimitExceeded', message, now));
  }
  if (leftMs !== undefined && leftMs <= 0) {
    return stop(
      ending(job, 'Failed', 'DeadlineExceeded', 'Job was active longer than specified deadline', now),
    );
  }

  const room =
    wanted === undefined ? (succeeded > 0 ? 0 : parallelism) : Math.min(parallelism, wanted - succeeded);
  const missing = Math.min(room - active.length, MAX_PODS_PER_PASS);
  const { template } = job.spec ?? {};
  const writes: Write[] = [];
  for (let i = 0; i < missing && template !== undefined; i++) {
    writes.push({
      kind: 'create',
      type: resources.pods,
      object: podFromTemplate(resources.jobs, job, template),
    });
  }
  for (const object of active.slice(Math.max(0, room)))
    writes.push({ kind: 'delete', type: resources.pods, object });
  writes.push(...statusWrites(resources.jobs, job, { ...counts, active: active.length }));
  return { writes, requeueAfterMs: leftMs };
}

/** The criteria condition precedes the end condition, as clients since 1.31 expect. */
function ending(job: PodController, type: 'Complete' | 'Failed', reason: string, message: string, now: Date) {
  const criteria = type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget';
  const first = withCondition(
    job.status?.conditions,
    { type: criteria, status: 'True', reason, message },
    now,
  );
  return withCondition(first, { type, status: 'True', reason, message }, now);
}

function phaseCount(pods: readonly Pod[], phase: 'Succeeded' | 'Failed'): number {
  return pods.filter((pod) => pod.status?.phase === phase).length;
}
