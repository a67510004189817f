/** A parsed JSON document: what the API server stores, patches and serves. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member as an object, or undefined when it is absent, null or of another type. */
export function objectAt(parent: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = parent?.[key];
  return isObject(value) ? value : undefined;
}

export function arrayAt(parent: JsonObject | undefined, key: string): readonly JsonValue[] {
  const value = parent?.[key];
  return Array.isArray(value) ? value : [];
}

/** The objects among the members of a list; other members are left out. */
export function objectsAt(parent: JsonObject | undefined, key: string): readonly JsonObject[] {
  return arrayAt(parent, key).filter(isObject);
}

/** The strings among the members of a list. */
export function stringsAt(parent: JsonObject | undefined, key: string): readonly string[] {
  return arrayAt(parent, key).filter((entry) => typeof entry === 'string');
}

export function stringAt(parent: JsonObject | undefined, key: string): string | undefined {
  const value = parent?.[key];
  return typeof value === 'string' ? value : undefined;
}

export function numberAt(parent: JsonObject | undefined, key: string): number | undefined {
  const value = parent?.[key];
  return typeof value === 'number' ? value : undefined;
}

/**
 * Sets a member. Plain assignment would call the prototype's setter for `__proto__`, which is a legal
 * key of a ConfigMap or a label map.
 */
export function setMember(object: JsonObject, key: string, value: JsonValue): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}

/** The own member, so that `toString` and its like are not found in every object. */
export function member(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

export function cloneJson<T extends JsonValue>(value: T): T {
  return clone(value) as T; // clone() returns the shape it was given
}

function clone(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(clone);
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const [key, entry] of Object.entries(value)) setMember(copy, key, clone(entry));
  return copy;
}

/** Equality of documents: the order of object members doesn't matter, that of lists does. */
export function jsonEquals(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((entry, index) => jsonEquals(entry, b[index]))
    );
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && jsonEquals(a[key], b[key]))
  );
}

/** JSON text with sorted object keys: equal documents have equal texts. */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`);
  return `{${members.join(',')}}`;
}
