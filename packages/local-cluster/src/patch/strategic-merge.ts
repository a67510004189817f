import {
  isObject,
  jsonEquals,
  type JsonObject,
  type JsonValue,
  member,
  setMember,
  type TypeSchema,
} from '../schema/index.ts';
import { PatchError } from './patch-error.ts';

const PATCH = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM_LIST = '$deleteFromPrimitiveList/';
const SET_ORDER = '$setElementOrder/';

/**
 * Kubernetes' strategic merge patch: a merge patch whose lists merge by key where the type says so, with the
 * directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…`. The arguments are
 * left alone. Throws PatchError.
 */
export function strategicMerge(schema: TypeSchema, target: JsonObject, patch: JsonObject): JsonObject {
  return mergeObject(schema, target, patch);
}

/** A field whose type the schema doesn't know merges as an object and replaces as a list. */
function memberSchema(schema: TypeSchema | undefined, name: string): TypeSchema | undefined {
  return schema?.properties.get(name) ?? schema?.values;
}

function mergeObject(schema: TypeSchema | undefined, target: JsonObject, patch: JsonObject): JsonObject {
  const directive = patch[PATCH];
  if (directive !== undefined) {
    if (directive === 'replace') return omit(patch, PATCH);
    if (directive === 'delete') return {};
    throw new PatchError(`unknown patch type found: ${JSON.stringify(directive)} in map`, 400);
  }
  const result = retainKeys(target, patch);
  mergeOrderedLists(schema, result, patch);
  for (const [name, value] of Object.entries(patch)) {
    if (name === RETAIN_KEYS || name.startsWith(SET_ORDER)) continue;
    if (name.startsWith(DELETE_FROM_LIST)) {
      deleteFromList(result, name.slice(DELETE_FROM_LIST.length), value);
    } else if (!Object.hasOwn(patch, SET_ORDER + name)) {
      mergeMember(memberSchema(schema, name), result, name, value);
    }
  }
  return result;
}

function mergeMember(
  schema: TypeSchema | undefined,
  result: JsonObject,
  name: string,
  value: JsonValue,
): void {
  const current = member(result, name);
  if (value === null) delete result[name];
  else if (current === undefined) setMember(result, name, withoutDirectives(value));
  else if (isObject(value) && isObject(current) && !schema?.patchStrategies.includes('replace')) {
    setMember(result, name, mergeObject(schema, current, value));
  } else if (Array.isArray(value) && Array.isArray(current) && schema?.patchStrategies.includes('merge')) {
    setMember(result, name, mergeList(schema, current, value));
  } else setMember(result, name, withoutDirectives(value));
}

/** `$retainKeys` lists all keys that may remain: a union is switched by naming its new member only. */
function retainKeys(target: JsonObject, patch: JsonObject): JsonObject {
  const retained = patch[RETAIN_KEYS];
  if (retained === undefined) return copyOf(target);
  if (!Array.isArray(retained) || !retained.every((key) => typeof key === 'string')) {
    throw new PatchError('invalid patch format of retainKeys', 400);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key !== RETAIN_KEYS && value !== null && !key.startsWith('$') && !retained.includes(key)) {
      throw new PatchError('patches of retainKeys list a key that is not retained', 400);
    }
  }
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(target))
    if (retained.includes(key)) setMember(result, key, value);
  return result;
}

function deleteFromList(result: JsonObject, name: string, unwanted: JsonValue): void {
  if (!Array.isArray(unwanted)) throw new PatchError('invalid patch format of primitive list', 400);
  const current = member(result, name);
  if (!Array.isArray(current)) return;
  setMember(
    result,
    name,
    current.filter((entry) => !unwanted.some((other) => jsonEquals(entry, other))),
  );
}

/** Lists for which the patch gives an order, whether or not it also changes their items. */
function mergeOrderedLists(schema: TypeSchema | undefined, result: JsonObject, patch: JsonObject): void {
  for (const [directive, order] of Object.entries(patch)) {
    if (!directive.startsWith(SET_ORDER)) continue;
    if (!Array.isArray(order)) throw new PatchError('invalid patch format of setElementOrder list', 400);
    const name = directive.slice(SET_ORDER.length);
    const listSchema = memberSchema(schema, name);
    const changes = member(patch, name);
    const current = member(result, name);
    if (changes !== undefined && !Array.isArray(changes)) {
      if (changes === null) delete result[name];
      else throw new PatchError('invalid patch format of setElementOrder list', 400);
    } else if (Array.isArray(current)) {
      setMember(result, name, mergeList(listSchema, current, changes ?? [], order));
    } else if (changes !== undefined) setMember(result, name, withoutDirectives(changes));
  }
}

/** How the items of a list are told apart. */
type Identity = (item: JsonValue) => JsonValue | undefined;

function mergeList(
  schema: TypeSchema | undefined,
  current: readonly JsonValue[],
  patch: readonly JsonValue[],
  order?: readonly JsonValue[],
): JsonValue[] {
  const keyed = [...current, ...patch, ...(order ?? [])].some(isObject);
  const key = schema?.patchMergeKey;
  if (keyed && key === undefined) throw new PatchError('no merge key is defined for the list', 400);
  const identity: Identity = (item) => (key === undefined || !isObject(item) ? item : member(item, key));
  if (patch.some((item) => isObject(item) && item[PATCH] === 'replace')) {
    return patch.filter((item) => !(isObject(item) && item[PATCH] !== undefined));
  }
  const { kept, changes } = applyDeletions(current, patch, identity, key);
  const merged = kept.slice();
  for (const change of changes) {
    const index = merged.findIndex((item) => sameIdentity(identity(item), identity(change)));
    const present = merged[index];
    if (present === undefined) merged.push(withoutDirectives(change));
    else if (isObject(present) && isObject(change)) {
      merged[index] = mergeObject(schema?.items, present, change);
    }
  }
  const wanted = (order ?? changes).map(identity);
  if (order !== undefined) assertOrdered(changes.map(identity), wanted);
  return arrange(merged, current, wanted, identity);
}

function sameIdentity(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  return a !== undefined && jsonEquals(a, b);
}

/** Takes out the items that `$patch: delete` names, and those patch items themselves. */
function applyDeletions(
  current: readonly JsonValue[],
  patch: readonly JsonValue[],
  identity: Identity,
  key: string | undefined,
): { kept: JsonValue[]; changes: JsonValue[] } {
  const deleted: JsonValue[] = [];
  const changes: JsonValue[] = [];
  for (const item of patch) {
    const directive = isObject(item) ? item[PATCH] : undefined;
    const id = identity(item);
    if (isObject(item) && id === undefined) {
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`, 400);
    }
    if (directive === undefined) changes.push(item);
    else if (directive === 'delete' && id !== undefined) deleted.push(id);
    else throw new PatchError(`unknown patch type found: ${JSON.stringify(directive)} in list`, 400);
  }
  const kept = current.filter((item) => !deleted.some((id) => sameIdentity(identity(item), id)));
  return { kept, changes };
}

function assertOrdered(
  changed: readonly (JsonValue | undefined)[],
  order: readonly (JsonValue | undefined)[],
): void {
  let position = 0;
  for (const id of changed) {
    while (position < order.length && !sameIdentity(order[position], id)) position += 1;
    if (position === order.length) {
      throw new PatchError("the order in the patch list doesn't match the $setElementOrder list", 400);
    }
    position += 1;
  }
}

/**
 * Patched items come in the wanted order; each other item keeps its place before the first patched item that
 * follows it in the live list.
 */
function arrange(
  merged: readonly JsonValue[],
  live: readonly JsonValue[],
  wanted: readonly (JsonValue | undefined)[],
  identity: Identity,
): JsonValue[] {
  const rank = (order: readonly (JsonValue | undefined)[], item: JsonValue): number =>
    order.findIndex((id) => sameIdentity(id, identity(item)));
  const liveOrder = live.map(identity);
  const byRank = (order: readonly (JsonValue | undefined)[]) => (a: JsonValue, b: JsonValue) =>
    rank(order, a) - rank(order, b);
  const patched = merged.filter((item) => rank(wanted, item) >= 0).sort(byRank(wanted));
  const others = merged.filter((item) => rank(wanted, item) < 0).sort(byRank(liveOrder));

  const result: JsonValue[] = [];
  let next = 0;
  for (const item of patched) {
    const place = rank(liveOrder, item);
    for (; next < others.length; next += 1) {
      const other = others[next];
      if (other === undefined || place < 0 || rank(liveOrder, other) > place) break;
      result.push(other);
    }
    result.push(item);
  }
  return distinct([...result, ...others.slice(next)], identity);
}

/** A list of scalars merges as a set. */
function distinct(items: readonly JsonValue[], identity: Identity): JsonValue[] {
  return items.filter(
    (item, index) =>
      isObject(item) || items.findIndex((other) => sameIdentity(identity(other), identity(item))) === index,
  );
}

/** A part of the patch that has nothing to merge into: directives and nulls in it have nothing to act on. */
function withoutDirectives(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    return value
      .filter((item) => !(isObject(item) && (item[PATCH] === 'delete' || item[PATCH] === 'replace')))
      .map(withoutDirectives);
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  if (value[PATCH] === 'delete') return result;
  for (const [name, entry] of Object.entries(value)) {
    const isDirective =
      name === PATCH || name === RETAIN_KEYS || /^\$(deleteFromPrimitiveList|setElementOrder)\//.test(name);
    if (entry !== null && !isDirective) setMember(result, name, withoutDirectives(entry));
  }
  return result;
}

function copyOf(object: JsonObject): JsonObject {
  const copy: JsonObject = {};
  for (const [key, value] of Object.entries(object)) setMember(copy, key, value);
  return copy;
}

function omit(object: JsonObject, name: string): JsonObject {
  const copy = copyOf(object);
  delete copy[name];
  return copy;
}
