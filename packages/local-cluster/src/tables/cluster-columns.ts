import {
  arrayAt,
  type JsonObject,
  type JsonValue,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
} from '../schema/index.ts';
import { age, orNone, since } from './cells.ts';
import { type Column, column, count, wide } from './columns.ts';

function metadata(object: JsonObject, field: string): string {
  return stringAt(objectAt(object, 'metadata'), field) ?? '';
}

const name = column('Name', (object) => metadata(object, 'name'));
const ageColumn = column('Age', age);

const nodeColumns: readonly Column[] = [
  name,
  column('Status', nodeStatus),
  column('Roles', nodeRoles),
  ageColumn,
  column('Version', (node) => stringAt(nodeInfo(node), 'kubeletVersion') ?? ''),
  wide('Internal-IP', (node) => nodeAddress(node, 'InternalIP')),
  wide('External-IP', (node) => nodeAddress(node, 'ExternalIP')),
  wide('OS-Image', (node) => stringAt(nodeInfo(node), 'osImage') ?? '<unknown>'),
  wide('Kernel-Version', (node) => stringAt(nodeInfo(node), 'kernelVersion') ?? '<unknown>'),
  wide('Container-Runtime', (node) => stringAt(nodeInfo(node), 'containerRuntimeVersion') ?? '<unknown>'),
];

function nodeInfo(node: JsonObject): JsonObject | undefined {
  return objectAt(objectAt(node, 'status'), 'nodeInfo');
}

function nodeStatus(node: JsonObject): string {
  const ready = objectsAt(objectAt(node, 'status'), 'conditions').find(
    (condition) => condition['type'] === 'Ready',
  );
  const parts = [ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady'];
  if (objectAt(node, 'spec')?.['unschedulable'] === true) parts.push('SchedulingDisabled');
  return parts.join(',');
}

const ROLE_PREFIX = 'node-role.kubernetes.io/';

function nodeRoles(node: JsonObject): string {
  const labels = objectAt(objectAt(node, 'metadata'), 'labels') ?? {};
  const roles = Object.entries(labels).flatMap(([key, value]) => {
    if (key.startsWith(ROLE_PREFIX)) return [key.slice(ROLE_PREFIX.length)];
    return key === 'kubernetes.io/role' && typeof value === 'string' ? [value] : [];
  });
  return orNone(
    roles
      .filter((role) => role !== '')
      .sort()
      .join(','),
  );
}

function nodeAddress(node: JsonObject, type: string): string {
  const address = objectsAt(objectAt(node, 'status'), 'addresses').find((entry) => entry['type'] === type);
  return orNone(stringAt(address, 'address'));
}

const eventColumns: readonly Column[] = [
  column('Last Seen', (event, now) => since(lastSeen(event), now)),
  column('Type', (event) => stringAt(event, 'type') ?? ''),
  column('Reason', (event) => stringAt(event, 'reason') ?? ''),
  column('Object', (event) => {
    const target = objectAt(event, 'involvedObject') ?? objectAt(event, 'regarding');
    return `${(stringAt(target, 'kind') ?? '').toLowerCase()}/${stringAt(target, 'name') ?? ''}`;
  }),
  wide('Subobject', (event) => stringAt(objectAt(event, 'involvedObject'), 'fieldPath') ?? ''),
  wide('Source', eventSource),
  column('Message', (event) => (stringAt(event, 'message') ?? stringAt(event, 'note') ?? '').trim()),
  wide('First Seen', (event, now) =>
    since(stringAt(event, 'firstTimestamp') ?? stringAt(event, 'eventTime'), now),
  ),
  wide('Count', (event) => String(occurrences(event))),
  wide('Name', (event) => metadata(event, 'name')),
];

function lastSeen(event: JsonObject): string | undefined {
  const series = stringAt(objectAt(event, 'series'), 'lastObservedTime');
  const times = [series, stringAt(event, 'lastTimestamp'), stringAt(event, 'eventTime')];
  return times.find((time) => time !== undefined) ?? metadata(event, 'creationTimestamp');
}

function eventSource(event: JsonObject): string {
  const source = objectAt(event, 'source');
  const component = stringAt(source, 'component') ?? stringAt(event, 'reportingComponent') ?? '';
  const host = stringAt(source, 'host') ?? '';
  return host === '' ? component : `${component}, ${host}`;
}

function occurrences(event: JsonObject): number {
  return numberAt(objectAt(event, 'series'), 'count') ?? (numberAt(event, 'count') || 1);
}

const leaseColumns: readonly Column[] = [
  name,
  column('Holder', (lease) => stringAt(objectAt(lease, 'spec'), 'holderIdentity') ?? ''),
  ageColumn,
];

const autoscalerColumns: readonly Column[] = [
  name,
  column('Reference', (object) => {
    const target = objectAt(objectAt(object, 'spec'), 'scaleTargetRef');
    return `${stringAt(target, 'kind') ?? ''}/${stringAt(target, 'name') ?? ''}`;
  }),
  column('Targets', autoscalerTargets),
  column('MinPods', (object) => String(numberAt(objectAt(object, 'spec'), 'minReplicas') ?? '<unset>')),
  count('MaxPods', (object) => numberAt(objectAt(object, 'spec'), 'maxReplicas') ?? 0),
  count('Replicas', (object) => numberAt(objectAt(object, 'status'), 'currentReplicas') ?? 0),
  ageColumn,
];

function autoscalerTargets(object: JsonObject): string {
  const metrics = objectsAt(objectAt(object, 'spec'), 'metrics');
  const targets = metrics.map((metric) => {
    const resource = objectAt(metric, 'resource');
    const target = objectAt(resource, 'target');
    const utilization = numberAt(target, 'averageUtilization');
    const wanted =
      utilization === undefined ? (stringAt(target, 'averageValue') ?? '<auto>') : `${utilization}%`;
    return `${stringAt(resource, 'name') ?? stringAt(metric, 'type') ?? ''}: <unknown>/${wanted}`;
  });
  const utilization = numberAt(objectAt(object, 'spec'), 'targetCPUUtilizationPercentage');
  if (utilization !== undefined) targets.push(`cpu: <unknown>/${utilization}%`);
  return orNone(targets.join(', '));
}

const disruptionBudgetColumns: readonly Column[] = [
  name,
  column('Min Available', (object) => valueOr(objectAt(object, 'spec')?.['minAvailable'], 'N/A')),
  column('Max Unavailable', (object) => valueOr(objectAt(object, 'spec')?.['maxUnavailable'], 'N/A')),
  count('Allowed Disruptions', (object) => numberAt(objectAt(object, 'status'), 'disruptionsAllowed') ?? 0),
  ageColumn,
];

function valueOr(value: JsonValue | undefined, otherwise: string): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : otherwise;
}

const webhookColumns: readonly Column[] = [
  name,
  count('Webhooks', (object) => arrayAt(object, 'webhooks').length),
  ageColumn,
];

function subjects(kind: string): Column['cell'] {
  return (binding) =>
    objectsAt(binding, 'subjects')
      .filter((subject) => subject['kind'] === kind)
      .map((subject) => {
        const namespace = stringAt(subject, 'namespace');
        return namespace === undefined
          ? (stringAt(subject, 'name') ?? '')
          : `${namespace}/${stringAt(subject, 'name') ?? ''}`;
      })
      .join(', ');
}

const bindingColumns: readonly Column[] = [
  name,
  column('Role', (binding) => {
    const role = objectAt(binding, 'roleRef');
    return `${stringAt(role, 'kind') ?? ''}/${stringAt(role, 'name') ?? ''}`;
  }),
  ageColumn,
  wide('Users', subjects('User')),
  wide('Groups', subjects('Group')),
  wide('ServiceAccounts', subjects('ServiceAccount')),
];

/** Roles say when they were made, not how old they are. */
const roleColumns: readonly Column[] = [
  name,
  column('Created At', (object) => metadata(object, 'creationTimestamp')),
];

function members(...fields: readonly string[]): Column['cell'] {
  return (object) =>
    fields.reduce((total, field) => total + Object.keys(objectAt(object, field) ?? {}).length, 0);
}

/** Columns of nodes, configuration, access and policy, by `group/Kind`. */
export const clusterColumns: readonly (readonly [string, readonly Column[]])[] = [
  ['/Node', nodeColumns],
  [
    '/Namespace',
    [name, column('Status', (object) => stringAt(objectAt(object, 'status'), 'phase') ?? ''), ageColumn],
  ],
  ['/Event', eventColumns],
  ['events.k8s.io/Event', eventColumns],
  [
    '/Secret',
    [
      name,
      column('Type', (object) => stringAt(object, 'type') ?? ''),
      count('Data', members('data')),
      ageColumn,
    ],
  ],
  ['/ConfigMap', [name, count('Data', members('data', 'binaryData')), ageColumn]],
  ['/ServiceAccount', [name, ageColumn]],
  ['coordination.k8s.io/Lease', leaseColumns],
  ['autoscaling/HorizontalPodAutoscaler', autoscalerColumns],
  ['policy/PodDisruptionBudget', disruptionBudgetColumns],
  ['admissionregistration.k8s.io/MutatingWebhookConfiguration', webhookColumns],
  ['admissionregistration.k8s.io/ValidatingWebhookConfiguration', webhookColumns],
  ['rbac.authorization.k8s.io/Role', roleColumns],
  ['rbac.authorization.k8s.io/ClusterRole', roleColumns],
  ['rbac.authorization.k8s.io/RoleBinding', bindingColumns],
  ['rbac.authorization.k8s.io/ClusterRoleBinding', bindingColumns],
  ['apiextensions.k8s.io/CustomResourceDefinition', roleColumns],
];
