import { badRequest } from '../api-error.ts';
import { isObject, type JsonObject, type JsonValue, type ObjectMeta } from '../object.ts';
import type { Resource } from '../resource.ts';

const texts = [
  'name',
  'generateName',
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'deletionTimestamp',
];

/**
 * Metadata from the outside as the type the server relies on: null fields are absent, null labels are empty (both
 * as in Go), and anything of another type is 400, before a rule or an admission step looks at it.
 */
export function parseObjectMeta(resource: Resource, value: JsonValue | undefined): ObjectMeta {
  const refuse = (found: JsonValue, field: string, type: string) =>
    badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: json: cannot unmarshal ${jsonType(found)} into Go struct field ObjectMeta.metadata${field} of type ${type}`,
    );
  if (value === undefined || value === null) return { name: '' };
  if (!isObject(value)) throw refuse(value, '', 'v1.ObjectMeta');
  const metadata: JsonObject = {};
  for (const [field, member] of Object.entries(value)) if (member !== null) metadata[field] = member;

  for (const field of texts) {
    const text = metadata[field];
    if (text !== undefined && typeof text !== 'string') throw refuse(text, `.${field}`, 'string');
  }
  for (const field of ['generation', 'deletionGracePeriodSeconds']) {
    const number = metadata[field];
    if (number !== undefined && !Number.isInteger(number)) throw refuse(number, `.${field}`, 'int64');
  }
  for (const field of ['labels', 'annotations']) {
    const map = metadata[field];
    if (map === undefined) continue;
    if (!isObject(map)) throw refuse(map, `.${field}`, 'map[string]string');
    for (const [key, text] of Object.entries(map)) {
      if (text === null) map[key] = '';
      else if (typeof text !== 'string') throw refuse(text, `.${field}`, 'string');
    }
  }
  for (const [field, isItem, type] of lists) {
    const list = metadata[field];
    if (list === undefined) continue;
    if (!Array.isArray(list)) throw refuse(list, `.${field}`, type);
    const wrong = list.find((item) => !isItem(item));
    if (wrong !== undefined) throw refuse(wrong, `.${field}`, type);
  }
  metadata['name'] ??= '';
  return metadata as ObjectMeta; // every field that ObjectMeta names was checked above
}

const lists: readonly (readonly [field: string, isItem: (item: JsonValue) => boolean, type: string])[] = [
  ['finalizers', (item) => typeof item === 'string', 'string'],
  ['ownerReferences', isObject, 'v1.OwnerReference'],
  ['managedFields', isObject, 'v1.ManagedFieldsEntry'],
];

function jsonType(value: JsonValue): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value === 'boolean' ? 'bool' : typeof value;
}
