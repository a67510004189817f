import { type LabelSelector, matchesLabelSelector } from '@weft/kubernetes';
import { type FieldError, fieldError } from './field-errors.ts';
import { arrayAt, jsonEquals, type JsonObject, numberAt, objectAt, objectsAt, stringAt } from './json.ts';
import { labelErrors } from './metadata-validation.ts';
import { dataKey, dns1035Label, dns1123Label } from './names.ts';
import { enumErrors, negative, podSpecErrors, portErrors, portNameProblem } from './pod-validation.ts';
import type { GroupVersionKind } from './type-schema.ts';

type Validator = (object: JsonObject) => FieldError[];

/**
 * What a user is likely to get wrong in a built-in kind. An object whose desired state didn't change isn't checked
 * again: status writers don't answer for the spec.
 */
export function builtinErrors(
  gvk: GroupVersionKind,
  object: JsonObject,
  oldObject?: JsonObject,
): FieldError[] {
  const validator = validators.get(`${gvk.group}/${gvk.kind}`);
  if (validator === undefined) return [];
  if (oldObject !== undefined && jsonEquals(desired(object), desired(oldObject))) return [];
  return validator(object);
}

function desired(object: JsonObject): JsonObject {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

const validators: ReadonlyMap<string, Validator> = new Map<string, Validator>([
  ['/Pod', (pod) => podSpecErrors(objectAt(pod, 'spec') ?? {}, 'spec')],
  ['apps/Deployment', (object) => workloadErrors(object, ['Always'])],
  ['apps/ReplicaSet', (object) => workloadErrors(object, ['Always'])],
  ['apps/StatefulSet', (object) => workloadErrors(object, ['Always'])],
  ['apps/DaemonSet', (object) => workloadErrors(object, ['Always'])],
  ['batch/Job', jobErrors],
  ['batch/CronJob', cronJobErrors],
  ['/Service', serviceErrors],
  ['/ConfigMap', dataErrors],
  ['/Secret', secretErrors],
  ['discovery.k8s.io/EndpointSlice', endpointSliceErrors],
  ['rbac.authorization.k8s.io/Role', roleErrors],
  ['rbac.authorization.k8s.io/ClusterRole', roleErrors],
  ['rbac.authorization.k8s.io/RoleBinding', bindingErrors],
  ['rbac.authorization.k8s.io/ClusterRoleBinding', bindingErrors],
  ['admissionregistration.k8s.io/MutatingWebhookConfiguration', webhookErrors],
  ['admissionregistration.k8s.io/ValidatingWebhookConfiguration', webhookErrors],
]);

function workloadErrors(object: JsonObject, restartPolicies: readonly string[]): FieldError[] {
  const spec = objectAt(object, 'spec') ?? {};
  const errors = selectorErrors(spec);
  for (const field of ['replicas', 'minReadySeconds', 'revisionHistoryLimit']) {
    if ((numberAt(spec, field) ?? 0) < 0) errors.push(negative(`spec.${field}`, spec[field] ?? 0));
  }
  const strategy = object['kind'] === 'Deployment' ? objectAt(spec, 'strategy') : undefined;
  if (strategy !== undefined) {
    errors.push(...enumErrors(strategy, 'spec.strategy.type', ['Recreate', 'RollingUpdate']));
    if (strategy['type'] === 'Recreate' && objectAt(strategy, 'rollingUpdate') !== undefined) {
      const detail = "may not be specified when strategy `type` is 'Recreate'";
      errors.push(fieldError.forbidden('spec.strategy.rollingUpdate', detail));
    }
  }
  return [...errors, ...templateErrors(spec, 'spec.template', restartPolicies)];
}

function selectorErrors(spec: JsonObject): FieldError[] {
  const selector = objectAt(spec, 'selector');
  if (selector === undefined) return [fieldError.required('spec.selector')];
  const errors = labelErrors('spec.selector.matchLabels', objectAt(selector, 'matchLabels'));
  for (const [index, expression] of objectsAt(selector, 'matchExpressions').entries()) {
    const path = `spec.selector.matchExpressions[${index}]`;
    const operator = stringAt(expression, 'operator') ?? '';
    const takesValues = operator === 'In' || operator === 'NotIn';
    if (!takesValues && operator !== 'Exists' && operator !== 'DoesNotExist') {
      errors.push(fieldError.invalid(`${path}.operator`, operator, 'not a valid selector operator'));
    } else if (takesValues && arrayAt(expression, 'values').length === 0) {
      errors.push(
        fieldError.required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"),
      );
    } else if (!takesValues && arrayAt(expression, 'values').length > 0) {
      errors.push(
        fieldError.forbidden(
          `${path}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
      );
    }
  }
  if (Object.values(selector).every((part) => part === null || Object.keys(part).length === 0)) {
    errors.push(fieldError.invalid('spec.selector', selector, 'empty selector is invalid for deployment'));
  }
  const labels = objectAt(objectAt(objectAt(spec, 'template'), 'metadata'), 'labels') ?? {};
  if (errors.length === 0 && !matchesLabelSelector(labelSelector(selector), texts(labels))) {
    const detail = '`selector` does not match template `labels`';
    errors.push(fieldError.invalid('spec.template.metadata.labels', labels, detail));
  }
  return errors;
}

function labelSelector(selector: JsonObject): LabelSelector {
  return {
    matchLabels: texts(objectAt(selector, 'matchLabels') ?? {}),
    matchExpressions: objectsAt(selector, 'matchExpressions').map((expression) => ({
      key: stringAt(expression, 'key') ?? '',
      operator: stringAt(expression, 'operator') ?? '',
      values: arrayAt(expression, 'values').filter((value) => typeof value === 'string'),
    })),
  };
}

/** Whatever isn't text was refused by the schema. */
function texts(labels: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function templateErrors(spec: JsonObject, path: string, restartPolicies: readonly string[]): FieldError[] {
  const template = objectAt(spec, 'template');
  if (template === undefined) return [fieldError.required(path)];
  const podSpec = objectAt(template, 'spec') ?? {};
  return [
    ...labelErrors(`${path}.labels`, objectAt(objectAt(template, 'metadata'), 'labels')),
    ...podSpecErrors(podSpec, `${path}.spec`),
    ...enumErrors(podSpec, `${path}.spec.restartPolicy`, restartPolicies),
  ];
}

function jobErrors(object: JsonObject): FieldError[] {
  const spec = objectAt(object, 'spec') ?? {};
  const errors: FieldError[] = [];
  for (const field of [
    'parallelism',
    'completions',
    'backoffLimit',
    'activeDeadlineSeconds',
    'ttlSecondsAfterFinished',
  ]) {
    if ((numberAt(spec, field) ?? 0) < 0) errors.push(negative(`spec.${field}`, spec[field] ?? 0));
  }
  return [...errors, ...templateErrors(spec, 'spec.template', ['OnFailure', 'Never'])];
}

function cronJobErrors(object: JsonObject): FieldError[] {
  const spec = objectAt(object, 'spec') ?? {};
  const job = objectAt(objectAt(spec, 'jobTemplate'), 'spec') ?? {};
  const errors = templateErrors(job, 'spec.jobTemplate.spec.template', ['OnFailure', 'Never']);
  return (stringAt(spec, 'schedule') ?? '') === ''
    ? [fieldError.required('spec.schedule'), ...errors]
    : errors;
}

const serviceTypes = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];

function serviceErrors(object: JsonObject): FieldError[] {
  const spec = objectAt(object, 'spec') ?? {};
  const errors = [
    ...enumErrors(spec, 'spec.type', serviceTypes),
    ...enumErrors(spec, 'spec.sessionAffinity', ['ClientIP', 'None']),
    ...enumErrors(spec, 'spec.internalTrafficPolicy', ['Cluster', 'Local']),
    ...labelErrors('spec.selector', objectAt(spec, 'selector')),
  ];
  const type = stringAt(spec, 'type');
  const ports = objectsAt(spec, 'ports');
  if (type === 'ExternalName' && (stringAt(spec, 'externalName') ?? '') === '') {
    errors.push(fieldError.required('spec.externalName'));
  }
  if (ports.length === 0 && type !== 'ExternalName' && stringAt(spec, 'clusterIP') !== 'None') {
    errors.push(fieldError.required('spec.ports'));
  }
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    const name = stringAt(port, 'name') ?? '';
    if (name === '' && ports.length > 1) errors.push(fieldError.required(`${path}.name`));
    const problem = name === '' ? undefined : dns1123Label(name);
    if (problem !== undefined) errors.push(fieldError.invalid(`${path}.name`, name, problem));
    if (name !== '' && names.has(name)) errors.push(fieldError.duplicate(`${path}.name`, name));
    names.add(name);
    errors.push(...servicePortErrors(port, path));
    const number = `${stringAt(port, 'protocol') ?? ''}/${numberAt(port, 'port') ?? 0}`;
    if (numbers.has(number)) {
      errors.push(fieldError.duplicate(path, { port: port['port'] ?? 0, protocol: port['protocol'] ?? '' }));
    }
    numbers.add(number);
  }
  return errors;
}

function servicePortErrors(port: JsonObject, path: string): FieldError[] {
  const errors = [
    ...portErrors(numberAt(port, 'port') ?? 0, `${path}.port`),
    ...enumErrors(port, `${path}.protocol`, ['SCTP', 'TCP', 'UDP']),
  ];
  const target = port['targetPort'];
  if (typeof target === 'number') errors.push(...portErrors(target, `${path}.targetPort`));
  if (typeof target === 'string') {
    const problem = portNameProblem(target);
    if (problem !== undefined) errors.push(fieldError.invalid(`${path}.targetPort`, target, problem));
  }
  return errors;
}

function dataErrors(object: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const field of ['data', 'binaryData']) {
    for (const key of Object.keys(objectAt(object, field) ?? {})) {
      const problem = dataKey(key);
      if (problem !== undefined) errors.push(fieldError.invalid(`${field}[${key}]`, key, problem));
      if (seen.has(key))
        errors.push(fieldError.invalid(field, key, 'duplicate of key present in binaryData'));
      seen.add(key);
    }
  }
  return errors;
}

/** Members that a Secret of a type must have. */
const secretTypes: ReadonlyMap<string, readonly string[]> = new Map([
  ['kubernetes.io/tls', ['tls.crt', 'tls.key']],
  ['kubernetes.io/dockerconfigjson', ['.dockerconfigjson']],
]);

function secretErrors(object: JsonObject): FieldError[] {
  const data = objectAt(object, 'data') ?? {};
  const errors = dataErrors(object);
  for (const key of secretTypes.get(stringAt(object, 'type') ?? '') ?? []) {
    if (!Object.hasOwn(data, key)) errors.push(fieldError.required(`data[${key}]`));
  }
  return errors;
}

function endpointSliceErrors(object: JsonObject): FieldError[] {
  const errors = enumErrors(object, 'addressType', ['FQDN', 'IPv4', 'IPv6']);
  if ((stringAt(object, 'addressType') ?? '') === '') errors.push(fieldError.required('addressType'));
  for (const [index, endpoint] of objectsAt(object, 'endpoints').entries()) {
    if (arrayAt(endpoint, 'addresses').length === 0) {
      errors.push(fieldError.required(`endpoints[${index}].addresses`, 'must contain at least 1 address'));
    }
  }
  return errors;
}

function roleErrors(object: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, rule] of objectsAt(object, 'rules').entries()) {
    const path = `rules[${index}]`;
    if (arrayAt(rule, 'verbs').length === 0) {
      errors.push(fieldError.required(`${path}.verbs`, 'verbs must contain at least one value'));
    }
    if (arrayAt(rule, 'nonResourceURLs').length > 0) continue;
    if (arrayAt(rule, 'apiGroups').length === 0) {
      errors.push(
        fieldError.required(`${path}.apiGroups`, 'resource rules must supply at least one api group'),
      );
    }
    if (arrayAt(rule, 'resources').length === 0) {
      errors.push(
        fieldError.required(`${path}.resources`, 'resource rules must supply at least one resource'),
      );
    }
  }
  return errors;
}

function bindingErrors(object: JsonObject): FieldError[] {
  const role = objectAt(object, 'roleRef') ?? {};
  const errors = enumErrors(role, 'roleRef.kind', ['Role', 'ClusterRole']);
  if ((stringAt(role, 'name') ?? '') === '') errors.push(fieldError.required('roleRef.name'));
  for (const [index, subject] of objectsAt(object, 'subjects').entries()) {
    const path = `subjects[${index}]`;
    errors.push(...enumErrors(subject, `${path}.kind`, ['ServiceAccount', 'User', 'Group']));
    if ((stringAt(subject, 'name') ?? '') === '') errors.push(fieldError.required(`${path}.name`));
    const needsNamespace =
      stringAt(subject, 'kind') === 'ServiceAccount' && (stringAt(subject, 'namespace') ?? '') === '';
    if (needsNamespace) errors.push(fieldError.required(`${path}.namespace`));
  }
  return errors;
}

function webhookErrors(object: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, webhook] of objectsAt(object, 'webhooks').entries()) {
    const path = `webhooks[${index}]`;
    const name = stringAt(webhook, 'name') ?? '';
    if (name.split('.').length < 3 || name.split('.').some((label) => dns1123Label(label) !== undefined)) {
      const detail = 'should be a domain with at least three segments separated by dots';
      errors.push(fieldError.invalid(`${path}.name`, name, detail));
    }
    if (names.has(name)) errors.push(fieldError.duplicate(`${path}.name`, name));
    names.add(name);
    errors.push(
      ...enumErrors(webhook, `${path}.failurePolicy`, ['Fail', 'Ignore']),
      ...enumErrors(webhook, `${path}.matchPolicy`, ['Equivalent', 'Exact']),
      ...enumErrors(webhook, `${path}.sideEffects`, ['None', 'NoneOnDryRun']),
    );
    if (webhook['sideEffects'] === undefined) errors.push(fieldError.required(`${path}.sideEffects`));
    if (!arrayAt(webhook, 'admissionReviewVersions').includes('v1')) {
      errors.push(fieldError.required(`${path}.admissionReviewVersions`, 'must include v1'));
    }
    const client = objectAt(webhook, 'clientConfig') ?? {};
    const service = objectAt(client, 'service');
    if ((stringAt(client, 'url') === undefined) === (service === undefined)) {
      errors.push(fieldError.required(`${path}.clientConfig`, 'exactly one of url or service is required'));
    }
    const problem = service === undefined ? undefined : dns1035Label(stringAt(service, 'name') ?? '');
    if (problem !== undefined) {
      errors.push(fieldError.invalid(`${path}.clientConfig.service.name`, service?.['name'] ?? '', problem));
    }
  }
  return errors;
}
