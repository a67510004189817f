import { fieldError, jsonEquals, type FieldError } from '../../schema/index.ts';
import { cloneJson, objectAt, objectsAt, valueAt, type ApiObject, type JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';

/** Paths that no update may change, by collection. */
const immutablePaths: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'deployments.apps': [['spec', 'selector']],
  'daemonsets.apps': [['spec', 'selector']],
  'replicasets.apps': [['spec', 'selector']],
  'statefulsets.apps': [
    ['spec', 'selector'],
    ['spec', 'serviceName'],
    ['spec', 'volumeClaimTemplates'],
  ],
  'jobs.batch': [
    ['spec', 'selector'],
    ['spec', 'template'],
    ['spec', 'completionMode'],
  ],
  'endpointslices.discovery.k8s.io': [['addressType']],
  secrets: [['type']],
  'priorityclasses.scheduling.k8s.io': [['value']],
  'storageclasses.storage.k8s.io': [['provisioner'], ['parameters']],
  'ingressclasses.networking.k8s.io': [['spec', 'controller']],
};

/** Changes that the API refuses whatever the new value is. Both objects are defaulted. */
export function immutableFieldErrors(resource: Resource, object: ApiObject, live: ApiObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const path of immutablePaths[resource.collection] ?? []) {
    const value = valueAt(object, ...path);
    if (!jsonEquals(value, valueAt(live, ...path))) {
      errors.push(fieldError.invalid(path.join('.'), value ?? null, 'field is immutable'));
    }
  }
  switch (resource.collection) {
    case 'pods':
      errors.push(...podErrors(object, live));
      break;
    case 'services':
      errors.push(...serviceErrors(object, live));
      break;
    case 'configmaps':
    case 'secrets':
      errors.push(...sealedDataErrors(object, live));
      break;
    case 'rolebindings.rbac.authorization.k8s.io':
    case 'clusterrolebindings.rbac.authorization.k8s.io':
      if (!jsonEquals(object['roleRef'], live['roleRef'])) {
        errors.push(fieldError.invalid('roleRef', object['roleRef'] ?? null, 'cannot change roleRef'));
      }
      break;
  }
  return errors;
}

const podMutableSpec = [
  'activeDeadlineSeconds',
  'tolerations',
  'terminationGracePeriodSeconds',
  'schedulingGates',
];

/** Of a pod's spec only images and a few numbers may change; `nodeName` is set by a binding, not here. */
function podErrors(pod: ApiObject, live: ApiObject): FieldError[] {
  if (jsonEquals(fixedSpec(pod), fixedSpec(live))) return [];
  return [
    fieldError.forbidden(
      'spec',
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ),
  ];
}

function fixedSpec(pod: ApiObject): JsonObject {
  const spec = cloneJson(objectAt(pod, 'spec') ?? {});
  for (const field of podMutableSpec) delete spec[field];
  for (const container of [...objectsAt(spec, 'containers'), ...objectsAt(spec, 'initContainers')])
    delete container['image'];
  return spec;
}

function serviceErrors(service: ApiObject, live: ApiObject): FieldError[] {
  const before = valueAt(live, 'spec', 'clusterIP');
  const after = valueAt(service, 'spec', 'clusterIP');
  const external = [live, service].some((object) => valueAt(object, 'spec', 'type') === 'ExternalName');
  if (external || before === undefined || before === '' || before === after) return [];
  return [fieldError.invalid('spec.clusterIPs[0]', [after ?? ''], 'may not change once set')];
}

function sealedDataErrors(object: ApiObject, live: ApiObject): FieldError[] {
  if (live['immutable'] !== true) return [];
  const message = 'field is immutable when `immutable` is set';
  return ['immutable', 'data', 'binaryData', 'stringData']
    .filter((field) => !jsonEquals(object[field], live[field]))
    .map((field) => fieldError.forbidden(field, message));
}
