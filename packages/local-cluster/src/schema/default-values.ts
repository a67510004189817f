import { isObject, type JsonObject, type JsonValue } from './json.ts';

/**
 * Go's decoder can't tell a zero value from an absent one in fields held by value, so Kubernetes' defaulting
 * treats `""` and `0` there as "not given".
 */
export function isUnset(value: JsonValue | undefined): boolean {
  return value === undefined || value === null || value === '' || value === 0;
}

/** For fields held by value. */
export function setDefault(object: JsonObject, field: string, value: JsonValue): void {
  if (isUnset(object[field])) object[field] = value;
}

/** For fields held by pointer, where `0` and `""` are the user's choice. */
export function setAbsent(object: JsonObject, field: string, value: JsonValue): void {
  const present = object[field];
  if (present === undefined || present === null) object[field] = value;
}

/** The member as an object, created when it is absent. */
export function ensureObject(object: JsonObject, field: string): JsonObject {
  const present = object[field];
  if (isObject(present)) return present;
  const created: JsonObject = {};
  object[field] = created;
  return created;
}
