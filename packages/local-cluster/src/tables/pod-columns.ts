import { type JsonObject, numberAt, objectAt, objectsAt, stringAt } from '../schema/index.ts';
import { age, orNone, since } from './cells.ts';
import { type Column, column, wide } from './columns.ts';

export const podColumns: readonly Column[] = [
  column('Name', (pod) => stringAt(objectAt(pod, 'metadata'), 'name') ?? ''),
  column('Ready', readiness),
  column('Status', podStatus),
  column('Restarts', restarts),
  column('Age', age),
  wide('IP', (pod) => {
    const [first] = objectsAt(objectAt(pod, 'status'), 'podIPs');
    return orNone(stringAt(first, 'ip') ?? stringAt(objectAt(pod, 'status'), 'podIP'));
  }),
  wide('Node', (pod) => orNone(stringAt(objectAt(pod, 'spec'), 'nodeName'))),
  wide('Nominated Node', (pod) => orNone(stringAt(objectAt(pod, 'status'), 'nominatedNodeName'))),
  wide('Readiness Gates', readinessGates),
];

/** Init containers that keep running (native sidecars) count as the others do. */
function readiness(pod: JsonObject): string {
  const spec = objectAt(pod, 'spec');
  const status = objectAt(pod, 'status');
  const sidecars = sidecarNames(spec);
  const statuses = [
    ...objectsAt(status, 'initContainerStatuses').filter((entry) =>
      sidecars.has(stringAt(entry, 'name') ?? ''),
    ),
    ...objectsAt(status, 'containerStatuses'),
  ];
  const running = (entry: JsonObject): boolean => objectAt(objectAt(entry, 'state'), 'running') !== undefined;
  const ready = statuses.filter((entry) => entry['ready'] === true && running(entry)).length;
  return `${ready}/${objectsAt(spec, 'containers').length + sidecars.size}`;
}

function sidecarNames(spec: JsonObject | undefined): ReadonlySet<string> {
  return new Set(
    objectsAt(spec, 'initContainers')
      .filter((container) => container['restartPolicy'] === 'Always')
      .map((container) => stringAt(container, 'name') ?? ''),
  );
}

/** kubectl's STATUS column: the phase, unless something tells more. */
export function podStatus(pod: JsonObject): string {
  const spec = objectAt(pod, 'spec');
  const status = objectAt(pod, 'status');
  const phaseReason = stringAt(status, 'reason') || stringAt(status, 'phase') || 'Unknown';
  const scheduled = objectsAt(status, 'conditions').find((condition) => condition['type'] === 'PodScheduled');
  const gated = stringAt(scheduled, 'reason') === 'SchedulingGated';
  const initReason = initContainersReason(spec, status);
  let reason = initReason ?? containersReason(status) ?? (gated ? 'SchedulingGated' : phaseReason);
  if (reason === 'Completed' && initReason === undefined && hasRunningContainer(status)) {
    reason = isReady(status) ? 'Running' : 'NotReady';
  }
  if (stringAt(objectAt(pod, 'metadata'), 'deletionTimestamp') === undefined) return reason;
  if (stringAt(status, 'reason') === 'NodeLost') return 'Unknown';
  return isFinished(stringAt(status, 'phase')) ? reason : 'Terminating';
}

function isFinished(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

function initContainersReason(
  spec: JsonObject | undefined,
  status: JsonObject | undefined,
): string | undefined {
  const total = objectsAt(spec, 'initContainers').length;
  const sidecars = sidecarNames(spec);
  for (const [index, entry] of objectsAt(status, 'initContainerStatuses').entries()) {
    const state = objectAt(entry, 'state');
    const terminated = objectAt(state, 'terminated');
    const waiting = stringAt(objectAt(state, 'waiting'), 'reason') ?? '';
    if (terminated !== undefined && numberAt(terminated, 'exitCode') === 0) continue;
    if (sidecars.has(stringAt(entry, 'name') ?? '') && entry['started'] === true) continue;
    if (terminated !== undefined) return `Init:${terminationReason(terminated)}`;
    return waiting !== '' && waiting !== 'PodInitializing' ? `Init:${waiting}` : `Init:${index}/${total}`;
  }
  return undefined;
}

/** The last container's word counts least; the first one's most. */
function containersReason(status: JsonObject | undefined): string | undefined {
  for (const entry of objectsAt(status, 'containerStatuses')) {
    const state = objectAt(entry, 'state');
    const waiting = stringAt(objectAt(state, 'waiting'), 'reason') ?? '';
    if (waiting !== '') return waiting;
    const terminated = objectAt(state, 'terminated');
    if (terminated !== undefined) return terminationReason(terminated);
  }
  return undefined;
}

function terminationReason(terminated: JsonObject): string {
  const reason = stringAt(terminated, 'reason') ?? '';
  if (reason !== '') return reason;
  const signal = numberAt(terminated, 'signal') ?? 0;
  return signal !== 0 ? `Signal:${signal}` : `ExitCode:${numberAt(terminated, 'exitCode') ?? 0}`;
}

function hasRunningContainer(status: JsonObject | undefined): boolean {
  return objectsAt(status, 'containerStatuses').some(
    (entry) => entry['ready'] === true && objectAt(objectAt(entry, 'state'), 'running') !== undefined,
  );
}

function isReady(status: JsonObject | undefined): boolean {
  return objectsAt(status, 'conditions').some(
    (condition) => condition['type'] === 'Ready' && condition['status'] === 'True',
  );
}

/** `3 (5m ago)` */
function restarts(pod: JsonObject, now: Date): string {
  const status = objectAt(pod, 'status');
  const statuses = [...objectsAt(status, 'initContainerStatuses'), ...objectsAt(status, 'containerStatuses')];
  const count = statuses.reduce((total, entry) => total + (numberAt(entry, 'restartCount') ?? 0), 0);
  const ends = statuses
    .map((entry) => stringAt(objectAt(objectAt(entry, 'lastState'), 'terminated'), 'finishedAt'))
    .filter((time) => time !== undefined)
    .sort((a, b) => Date.parse(a) - Date.parse(b));
  const last = ends.at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${since(last, now)} ago)`;
}

function readinessGates(pod: JsonObject): string {
  const status = objectAt(pod, 'status');
  const gates = objectsAt(objectAt(pod, 'spec'), 'readinessGates');
  if (gates.length === 0) return '<none>';
  const passed = gates.filter((gate) =>
    objectsAt(status, 'conditions').some(
      (condition) => condition['type'] === gate['conditionType'] && condition['status'] === 'True',
    ),
  );
  return `${passed.length}/${gates.length}`;
}
