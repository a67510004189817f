import { jsonEquals } from '../../schema/index.ts';
import { numberAt, objectAt, objectsAt, type ApiObject, type JsonObject } from '../object.ts';
import { hasSubresource, type Resource } from '../resource.ts';

/** Built-in collections whose objects count changes of their specification. */
const withGeneration: ReadonlySet<string> = new Set([
  'pods',
  'replicationcontrollers',
  'deployments.apps',
  'daemonsets.apps',
  'statefulsets.apps',
  'replicasets.apps',
  'jobs.batch',
  'cronjobs.batch',
  'poddisruptionbudgets.policy',
  'networkpolicies.networking.k8s.io',
  'ingresses.networking.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
  'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io',
  'validatingadmissionpolicybindings.admissionregistration.k8s.io',
  'priorityclasses.scheduling.k8s.io',
]);

export function countsGenerations(resource: Resource): boolean {
  return resource.custom !== undefined || withGeneration.has(resource.collection);
}

/** Before a create: what only the server or a controller may say is taken out. */
export function prepareCreate(resource: Resource, object: ApiObject): void {
  if (hasSubresource(resource, 'status')) delete object['status'];
  if (resource.collection === 'pods') object['status'] = { phase: 'Pending', qosClass: qosClassOf(object) };
}

/**
 * Before an update: parts that this endpoint doesn't write come from the live object. `/status` of a built-in kind
 * may also write labels and annotations, which kubelets and CNI agents rely on.
 */
export function prepareUpdate(
  resource: Resource,
  scope: 'main' | 'status',
  updated: ApiObject,
  live: ApiObject,
): void {
  if (scope === 'main') {
    if (hasSubresource(resource, 'status')) copyField(live, updated, 'status');
    return;
  }
  for (const field of new Set([...Object.keys(live), ...Object.keys(updated)])) {
    if (field !== 'status' && field !== 'metadata') copyField(live, updated, field);
  }
  const { labels, annotations, managedFields } = updated.metadata;
  const metadata = { ...live.metadata };
  if (resource.custom === undefined) {
    setOrDelete(metadata, 'labels', labels);
    setOrDelete(metadata, 'annotations', annotations);
  }
  setOrDelete(metadata, 'managedFields', managedFields);
  updated.metadata = metadata;
}

/** True when the change is one of the desired state, which counts as a new generation. */
export function desiredStateChanged(resource: Resource, updated: ApiObject, live: ApiObject): boolean {
  const ignored = new Set(['metadata', 'apiVersion', 'kind']);
  if (resource.custom === undefined || hasSubresource(resource, 'status')) ignored.add('status');
  const fields = new Set([...Object.keys(updated), ...Object.keys(live)]);
  return [...fields].some((field) => !ignored.has(field) && !jsonEquals(updated[field], live[field]));
}

/** True when storing would change nothing but the times in `managedFields`. */
export function isNoOp(updated: ApiObject, live: ApiObject): boolean {
  return jsonEquals(withoutTimes(updated), withoutTimes(live));
}

function withoutTimes(object: ApiObject): JsonObject {
  const { managedFields, resourceVersion: _, ...metadata } = object.metadata;
  const entries = (managedFields ?? []).map(({ time: _time, ...entry }) => entry);
  return { ...object, metadata: { ...metadata, managedFields: entries } };
}

function copyField(from: ApiObject, to: ApiObject, field: string): void {
  const value = from[field];
  if (value === undefined) delete to[field];
  else to[field] = value;
}

function setOrDelete(object: JsonObject, field: string, value: JsonObject[string] | undefined): void {
  if (value === undefined) delete object[field];
  else object[field] = value;
}

/** Guaranteed when every container's limits equal its requests, BestEffort when nobody asks for anything. */
function qosClassOf(pod: ApiObject): string {
  const containers = [...objectsAt(pod, 'spec', 'initContainers'), ...objectsAt(pod, 'spec', 'containers')];
  const asked = containers.map((container) => ({
    limits: objectAt(container, 'resources', 'limits') ?? {},
    requests: objectAt(container, 'resources', 'requests') ?? {},
  }));
  if (asked.every(({ limits, requests }) => Object.keys(limits).length + Object.keys(requests).length === 0))
    return 'BestEffort';
  const guaranteed = asked.every(({ limits, requests }) =>
    ['cpu', 'memory'].every(
      (name) => limits[name] !== undefined && limits[name] === (requests[name] ?? limits[name]),
    ),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

export function gracePeriodOf(pod: ApiObject): number {
  return numberAt(pod, 'spec', 'terminationGracePeriodSeconds') ?? 30;
}
