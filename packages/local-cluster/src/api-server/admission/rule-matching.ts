import {
  objectAt,
  objectsAt,
  stringAt,
  stringsAt,
  valueAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import { labelSelectorOf } from '../selectors.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionRequest } from './admission.ts';

/**
 * True when a request is one that a webhook, policy or binding asks for: by rules, exclusions, and the selectors of
 * namespace and object. `scope` is a webhook, or the `matchConstraints` of a policy.
 */
export function isMatched(
  store: Store,
  request: AdmissionRequest,
  scope: JsonObject,
  ruleField: 'rules' | 'resourceRules',
): boolean {
  const rules = objectsAt(scope, ruleField);
  // A binding without rules narrows nothing.
  if ((ruleField === 'rules' || rules.length > 0) && !rules.some((rule) => ruleMatches(rule, scope, request)))
    return false;
  if (objectsAt(scope, 'excludeResourceRules').some((rule) => ruleMatches(rule, scope, request)))
    return false;
  return (
    namespaceSelected(store, request, objectAt(scope, 'namespaceSelector')) &&
    objectSelected(request, objectAt(scope, 'objectSelector'))
  );
}

function ruleMatches(rule: JsonObject, scope: JsonObject, request: AdmissionRequest): boolean {
  const { operation, resource, subresource, namespace, name } = request;
  const operations = stringsAt(rule, 'operations');
  if (!operations.includes('*') && !operations.includes(operation)) return false;
  const groups = stringsAt(rule, 'apiGroups');
  if (!groups.includes('*') && !groups.includes(resource.group)) return false;
  const versions = stringsAt(rule, 'apiVersions');
  // All versions of a resource hold the same objects, so any of them is equivalent to the one that was used.
  const equivalent = stringAt(scope, 'matchPolicy') !== 'Exact';
  if (!versions.includes('*') && !versions.includes(resource.version) && !equivalent) return false;
  const ruleScope = stringAt(rule, 'scope') ?? '*';
  if (ruleScope === 'Namespaced' && namespace === undefined) return false;
  if (ruleScope === 'Cluster' && namespace !== undefined) return false;
  const names = stringsAt(rule, 'resourceNames');
  if (names.length > 0 && !names.includes(name)) return false;
  return stringsAt(rule, 'resources').some((pattern) =>
    resourceMatches(pattern, resource.plural, subresource),
  );
}

function resourceMatches(pattern: string, plural: string, subresource: string | undefined): boolean {
  const [wanted, wantedSubresource] = pattern.split('/');
  if (wanted !== '*' && wanted !== plural) return false;
  if (wantedSubresource === undefined) return subresource === undefined;
  return wantedSubresource === '*' || wantedSubresource === subresource;
}

function namespaceSelected(
  store: Store,
  request: AdmissionRequest,
  selector: JsonObject | undefined,
): boolean {
  if (selector === undefined || Object.keys(selector).length === 0) return true;
  const selected = labelSelectorOf(selector);
  if (request.resource.collection === 'namespaces') {
    const object = request.object ?? request.oldObject;
    return selected(object?.metadata.labels ?? {});
  }
  if (request.namespace === undefined) return true;
  return selected(store.get('namespaces', request.namespace)?.metadata.labels ?? {});
}

function objectSelected(request: AdmissionRequest, selector: JsonObject | undefined): boolean {
  if (selector === undefined || Object.keys(selector).length === 0) return true;
  const selected = labelSelectorOf(selector);
  const has = (object: ApiObject | undefined) =>
    object !== undefined && selected(object.metadata.labels ?? {});
  return has(request.object) || has(request.oldObject);
}

/** `AdmissionRequest` v1, as webhooks get it and CEL expressions see it. */
export function requestObject(request: AdmissionRequest, uid: string, userInfo: JsonObject): JsonObject {
  const { resource, subresource, namespace, name, operation, dryRun, options } = request;
  const kind = { group: resource.group, version: resource.version, kind: resource.kind };
  const type = { group: resource.group, version: resource.version, resource: resource.plural };
  return {
    uid,
    kind,
    resource: type,
    ...(subresource === undefined ? {} : { subResource: subresource, requestSubResource: subresource }),
    requestKind: kind,
    requestResource: type,
    ...(name === '' ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    operation,
    userInfo,
    dryRun,
    options,
  };
}

export function failurePolicyOf(owner: JsonObject): 'Fail' | 'Ignore' {
  return valueAt(owner, 'failurePolicy') === 'Ignore' ? 'Ignore' : 'Fail';
}
