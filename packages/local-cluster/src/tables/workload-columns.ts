import { type JsonObject, numberAt, objectAt, objectsAt, stringAt } from '../schema/index.ts';
import { age, containerImages, containerNames, humanDuration, labels, selector } from './cells.ts';
import { type Column, column, count, wide } from './columns.ts';
import { podColumns } from './pod-columns.ts';

const name = column('Name', (object) => stringAt(objectAt(object, 'metadata'), 'name') ?? '');
const ageColumn = column('Age', age);

function spec(object: JsonObject): JsonObject | undefined {
  return objectAt(object, 'spec');
}

function status(object: JsonObject, field: string): number {
  return numberAt(objectAt(object, 'status'), field) ?? 0;
}

function podSpec(object: JsonObject): JsonObject | undefined {
  return objectAt(objectAt(spec(object), 'template'), 'spec');
}

const templateColumns: readonly Column[] = [
  wide('Containers', (object) => containerNames(podSpec(object))),
  wide('Images', (object) => containerImages(podSpec(object))),
];
const selectorColumn = wide('Selector', (object) => selector(objectAt(spec(object), 'selector')));

const deploymentColumns: readonly Column[] = [
  name,
  column(
    'Ready',
    (object) => `${status(object, 'readyReplicas')}/${numberAt(spec(object), 'replicas') ?? 0}`,
  ),
  count('Up-to-date', (object) => status(object, 'updatedReplicas')),
  count('Available', (object) => status(object, 'availableReplicas')),
  ageColumn,
  ...templateColumns,
  selectorColumn,
];

const replicaSetColumns: readonly Column[] = [
  name,
  count('Desired', (object) => numberAt(spec(object), 'replicas') ?? 0),
  count('Current', (object) => status(object, 'replicas')),
  count('Ready', (object) => status(object, 'readyReplicas')),
  ageColumn,
  ...templateColumns,
  selectorColumn,
];

const daemonSetColumns: readonly Column[] = [
  name,
  count('Desired', (object) => status(object, 'desiredNumberScheduled')),
  count('Current', (object) => status(object, 'currentNumberScheduled')),
  count('Ready', (object) => status(object, 'numberReady')),
  count('Up-to-date', (object) => status(object, 'updatedNumberScheduled')),
  count('Available', (object) => status(object, 'numberAvailable')),
  column('Node Selector', (object) => labels(objectAt(podSpec(object), 'nodeSelector'))),
  ageColumn,
  ...templateColumns,
  selectorColumn,
];

const statefulSetColumns: readonly Column[] = [
  name,
  column(
    'Ready',
    (object) => `${status(object, 'readyReplicas')}/${numberAt(spec(object), 'replicas') ?? 0}`,
  ),
  ageColumn,
  ...templateColumns,
];

const jobColumns: readonly Column[] = [
  name,
  column('Status', jobStatus),
  column('Completions', jobCompletions),
  column('Duration', jobDuration),
  ageColumn,
  ...templateColumns,
  selectorColumn,
];

function jobStatus(job: JsonObject): string {
  const holds = (type: string): boolean =>
    objectsAt(objectAt(job, 'status'), 'conditions').some(
      (condition) => condition['type'] === type && condition['status'] === 'True',
    );
  if (holds('Complete')) return 'Complete';
  if (holds('Failed')) return 'Failed';
  if (stringAt(objectAt(job, 'metadata'), 'deletionTimestamp') !== undefined) return 'Terminating';
  if (holds('Suspended')) return 'Suspended';
  if (holds('FailureTarget')) return 'FailureTarget';
  return holds('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function jobCompletions(job: JsonObject): string {
  const succeeded = status(job, 'succeeded');
  const completions = numberAt(spec(job), 'completions');
  if (completions !== undefined) return `${succeeded}/${completions}`;
  const parallelism = numberAt(spec(job), 'parallelism') ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(job: JsonObject, now: Date): string {
  const started = stringAt(objectAt(job, 'status'), 'startTime');
  const completed = stringAt(objectAt(job, 'status'), 'completionTime');
  if (started === undefined) return '';
  const end = completed === undefined ? now.getTime() : Date.parse(completed);
  return humanDuration(end - Date.parse(started));
}

const cronJobColumns: readonly Column[] = [
  name,
  column('Schedule', (object) => stringAt(spec(object), 'schedule') ?? ''),
  column('Timezone', (object) => stringAt(spec(object), 'timeZone') ?? '<none>'),
  column('Suspend', (object) => (spec(object)?.['suspend'] === true ? 'True' : 'False')),
  count('Active', (object) => objectsAt(objectAt(object, 'status'), 'active').length),
  ageColumn,
];

/** Columns of what runs pods, by `group/Kind`. */
export const workloadColumns: readonly (readonly [string, readonly Column[]])[] = [
  ['/Pod', podColumns],
  ['apps/Deployment', deploymentColumns],
  ['apps/ReplicaSet', replicaSetColumns],
  ['apps/DaemonSet', daemonSetColumns],
  ['apps/StatefulSet', statefulSetColumns],
  ['batch/Job', jobColumns],
  ['batch/CronJob', cronJobColumns],
];
