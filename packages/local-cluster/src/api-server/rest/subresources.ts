import { timestamp } from '@weft/kubernetes';
import { fieldError } from '../../schema/index.ts';
import { ApiError, badRequest, conflict, invalid, notFound, successStatus } from '../api-error.ts';
import type { BoundObject, ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import {
  cloneJson,
  ensureObject,
  numberAt,
  objectAt,
  objectKey,
  objectsAt,
  stringAt,
  stringsAt,
  textOf,
  valueAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { Resource, ScalePaths } from '../resource.ts';
import { labelSelectorOf } from '../selectors.ts';
import type { Store } from '../store/store.ts';

const builtInScale: ScalePaths = {
  spec: ['spec', 'replicas'],
  status: ['status', 'replicas'],
  selector: undefined,
};
const MIN_TOKEN_SECONDS = 600;
const DEFAULT_TOKEN_SECONDS = 3600;

/** `autoscaling/v1 Scale` as a view of an object. */
export function scaleOf(resource: Resource, object: ApiObject): JsonObject {
  const paths = resource.custom?.scalePaths ?? builtInScale;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector =
    paths.selector === undefined ? selectorText(object) : (stringAt(object, ...paths.selector) ?? '');
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: uid ?? '',
      resourceVersion: resourceVersion ?? '',
      creationTimestamp: creationTimestamp ?? null,
    },
    spec: { replicas: numberAt(object, ...paths.spec) ?? 0 },
    status: {
      replicas: numberAt(object, ...paths.status) ?? 0,
      ...(selector === '' ? {} : { selector }),
    },
  };
}

/** The object with the replica count of a Scale. */
export function withScale(resource: Resource, object: ApiObject, scale: JsonObject): ApiObject {
  const paths = resource.custom?.scalePaths ?? builtInScale;
  const replicas = numberAt(scale, 'spec', 'replicas') ?? 0;
  if (replicas < 0) {
    throw invalid({ group: 'autoscaling', kind: 'Scale' }, object.metadata.name, [
      fieldError.invalid('spec.replicas', replicas, 'must be greater than or equal to 0'),
    ]);
  }
  const version = stringAt(scale, 'metadata', 'resourceVersion') ?? '';
  const scaled = cloneJson(object);
  if (version !== '') scaled.metadata.resourceVersion = version;
  else delete scaled.metadata.resourceVersion;
  let parent: JsonObject = scaled;
  for (const field of paths.spec.slice(0, -1)) parent = ensureObject(parent, field);
  parent[paths.spec.at(-1) ?? 'replicas'] = replicas;
  return scaled;
}

function selectorText(object: ApiObject): string {
  const selector = valueAt(object, 'spec', 'selector');
  const labels =
    objectAt(selector, 'matchLabels') ??
    (object.kind === 'ReplicationController' ? objectAt(selector) : undefined) ??
    {};
  const terms = Object.entries(labels).map(([key, value]) => `${key}=${textOf(value)}`);
  for (const expression of objectsAt(selector, 'matchExpressions')) {
    const key = stringAt(expression, 'key') ?? '';
    const values = stringsAt(expression, 'values').join(',');
    const operator = stringAt(expression, 'operator');
    if (operator === 'In') terms.push(`${key} in (${values})`);
    else if (operator === 'NotIn') terms.push(`${key} notin (${values})`);
    else terms.push(operator === 'Exists' ? key : `!${key}`);
  }
  return terms.sort().join(',');
}

/** `POST …/serviceaccounts/X/token`. */
export function createToken(
  store: Store,
  tokens: ServiceAccountTokens,
  serviceAccounts: Resource,
  namespace: string,
  name: string,
  request: JsonObject,
): JsonObject {
  const account = store.get('serviceaccounts', objectKey(namespace, name));
  if (account === undefined) throw notFound(serviceAccounts, name);
  const spec = objectAt(request, 'spec') ?? {};
  const seconds = numberAt(spec, 'expirationSeconds') ?? DEFAULT_TOKEN_SECONDS;
  if (seconds < MIN_TOKEN_SECONDS) {
    throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, '', [
      fieldError.invalid(
        'spec.expirationSeconds',
        seconds,
        'may not specify a duration less than 10 minutes',
      ),
    ]);
  }
  const bound = boundObject(store, namespace, account, objectAt(spec, 'boundObjectRef'));
  const { token, expiresAt } = tokens.issue(account, stringsAt(spec, 'audiences'), seconds, bound);
  return {
    ...request,
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: timestamp(new Date()) },
    spec: { ...spec, expirationSeconds: seconds },
    status: { token, expirationTimestamp: timestamp(expiresAt) },
  };
}

const boundCollections = {
  Pod: { group: '', plural: 'pods', kind: 'Pod' },
  Secret: { group: '', plural: 'secrets', kind: 'Secret' },
  Node: { group: '', plural: 'nodes', kind: 'Node' },
} as const;

function boundObject(
  store: Store,
  namespace: string,
  account: ApiObject,
  reference: JsonObject | undefined,
): BoundObject | undefined {
  if (reference === undefined) return undefined;
  const kind = stringAt(reference, 'kind');
  if (kind !== 'Pod' && kind !== 'Secret' && kind !== 'Node') {
    throw badRequest(
      `cannot bind token for serviceaccount "${account.metadata.name}" to object of kind ${kind ?? ''}`,
    );
  }
  const name = stringAt(reference, 'name') ?? '';
  const object = store.get(
    boundCollections[kind].plural,
    objectKey(kind === 'Node' ? undefined : namespace, name),
  );
  if (object === undefined) throw notFound(boundCollections[kind], name);
  const uid = stringAt(reference, 'uid') ?? '';
  if (uid !== '' && uid !== object.metadata.uid) {
    throw conflict(
      boundCollections[kind],
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  if (kind === 'Pod' && stringAt(object, 'spec', 'serviceAccountName') !== account.metadata.name) {
    throw badRequest(
      `cannot bind token for serviceaccount "${account.metadata.name}" to pod running with different serviceaccount name`,
    );
  }
  return { kind, object };
}

/** `POST …/pods/X/binding`: the scheduler's decision. */
export function bindPod(
  store: Store,
  pods: Resource,
  namespace: string,
  name: string,
  binding: JsonObject,
): JsonObject {
  const live = store.get('pods', objectKey(namespace, name));
  if (live === undefined) throw notFound(pods, name);
  const nodeName = stringAt(binding, 'target', 'name') ?? '';
  if (nodeName === '') throw badRequest('target.name is required');
  const uid = stringAt(binding, 'metadata', 'uid') ?? '';
  if (uid !== '' && uid !== live.metadata.uid)
    throw conflict(pods, name, `Precondition failed: UID in precondition: ${uid}`);
  if (live.metadata.deletionTimestamp !== undefined)
    throw conflict(pods, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  const assigned = stringAt(live, 'spec', 'nodeName') ?? '';
  if (assigned !== '') throw conflict(pods, name, `pod ${name} is already assigned to node "${assigned}"`);
  const pod = cloneJson(live);
  ensureObject(pod, 'spec')['nodeName'] = nodeName;
  const status = ensureObject(pod, 'status');
  status['conditions'] = [
    ...objectsAt(status, 'conditions').filter(({ type }) => type !== 'PodScheduled'),
    { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: timestamp(new Date()) },
  ];
  store.put('pods', pod);
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

const BUDGETS = 'poddisruptionbudgets.policy';

/** Takes one disruption from every budget that covers the pod; 429 when one has none left. */
export function takeDisruption(store: Store, pod: ApiObject, dryRun: boolean): void {
  const phase = stringAt(pod, 'status', 'phase');
  if (
    phase === 'Pending' ||
    phase === 'Succeeded' ||
    phase === 'Failed' ||
    pod.metadata.deletionTimestamp !== undefined
  )
    return;
  const budgets = store
    .list(BUDGETS, pod.metadata.namespace)
    .filter((budget) => labelSelectorOf(valueAt(budget, 'spec', 'selector'))(pod.metadata.labels ?? {}));
  for (const budget of budgets) {
    const allowed = numberAt(budget, 'status', 'disruptionsAllowed') ?? 0;
    if (allowed > 0) continue;
    const healthy = numberAt(budget, 'status', 'currentHealthy') ?? 0;
    const desired = numberAt(budget, 'status', 'desiredHealthy') ?? 0;
    const message = `The disruption budget ${budget.metadata.name} needs ${desired} healthy pods and has ${healthy} currently`;
    throw new ApiError(
      429,
      'TooManyRequests',
      "Cannot evict pod as it would violate the pod's disruption budget.",
      {
        causes: [{ reason: 'DisruptionBudget', message }],
      },
    );
  }
  if (dryRun) return;
  for (const budget of budgets) {
    const changed = cloneJson(budget);
    const status = ensureObject(changed, 'status');
    status['disruptionsAllowed'] = (numberAt(status, 'disruptionsAllowed') ?? 1) - 1;
    store.put(BUDGETS, changed);
  }
}

export function evictionStatus(): JsonObject {
  return { ...successStatus({}), code: 201 };
}

/** `PUT /api/v1/namespaces/X/finalize`: the namespace controller's last word. */
export function finalizedNamespace(live: ApiObject, body: JsonObject): ApiObject {
  const object = cloneJson(live);
  ensureObject(object, 'spec')['finalizers'] = [...stringsAt(body, 'spec', 'finalizers')];
  const version = stringAt(body, 'metadata', 'resourceVersion') ?? '';
  if (version !== '') object.metadata.resourceVersion = version;
  return object;
}
