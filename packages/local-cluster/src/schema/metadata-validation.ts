import { type FieldError, fieldError } from './field-errors.ts';
import { jsonEquals, type JsonObject, objectAt, objectsAt, stringAt } from './json.ts';
import {
  dns1035Label,
  dns1123Label,
  dns1123Subdomain,
  labelValue,
  pathSegmentName,
  qualifiedName,
} from './names.ts';
import type { GroupVersionKind } from './type-schema.ts';

type NameRule = (name: string) => string | undefined;

/** Kinds whose names aren't plain subdomains, by `group/Kind`. */
const nameRules: ReadonlyMap<string, NameRule> = new Map<string, NameRule>([
  ['/Service', dns1035Label],
  ['/Namespace', dns1123Label],
  ...(['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding'] as const).map(
    (kind): [string, NameRule] => [`rbac.authorization.k8s.io/${kind}`, pathSegmentName],
  ),
  ['certificates.k8s.io/CertificateSigningRequest', pathSegmentName],
]);

/** Reviews and other requests that are answered, not stored: they have no name. */
const namelessGroups: ReadonlySet<string> = new Set(['authentication.k8s.io', 'authorization.k8s.io']);

/** Checks of `metadata` that all kinds share. An absent name is the caller's to refuse. */
export function metadataErrors(
  gvk: GroupVersionKind,
  object: JsonObject,
  oldObject?: JsonObject,
): FieldError[] {
  const metadata = objectAt(object, 'metadata');
  const old = objectAt(oldObject, 'metadata');
  const errors: FieldError[] = [];
  const name = stringAt(metadata, 'name') ?? '';
  if (oldObject === undefined && name !== '' && !namelessGroups.has(gvk.group)) {
    const problem = (nameRules.get(`${gvk.group}/${gvk.kind}`) ?? dns1123Subdomain)(name);
    if (problem !== undefined) errors.push(fieldError.invalid('metadata.name', name, problem));
  }
  if (!jsonEquals(metadata?.['labels'], old?.['labels'])) {
    errors.push(...labelErrors('metadata.labels', objectAt(metadata, 'labels')));
  }
  if (!jsonEquals(metadata?.['annotations'], old?.['annotations'])) {
    for (const key of Object.keys(objectAt(metadata, 'annotations') ?? {})) {
      const problem = qualifiedName(key.toLowerCase());
      if (problem !== undefined) errors.push(fieldError.invalid('metadata.annotations', key, problem));
    }
  }
  for (const [index, owner] of objectsAt(metadata, 'ownerReferences').entries()) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if ((stringAt(owner, field) ?? '') === '') {
        errors.push(
          fieldError.required(`metadata.ownerReferences[${index}].${field}`, `${field} must not be empty`),
        );
      }
    }
  }
  return errors;
}

export function labelErrors(path: string, labels: JsonObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyProblem = qualifiedName(key);
    if (keyProblem !== undefined) errors.push(fieldError.invalid(path, key, keyProblem));
    const valueProblem = typeof value === 'string' ? labelValue(value) : undefined;
    if (valueProblem !== undefined) errors.push(fieldError.invalid(path, value, valueProblem));
  }
  return errors;
}
