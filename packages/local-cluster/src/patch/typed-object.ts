import {
  canonicalJson,
  isObject,
  jsonEquals,
  type JsonObject,
  type JsonValue,
  member,
  setMember,
  type TypeSchema,
} from '../schema/index.ts';
import {
  emptyFieldSet,
  type FieldSet,
  fieldElement,
  fieldSet,
  isEmptySet,
  leafFieldSet,
  union,
} from './field-set.ts';
import { PatchError } from './patch-error.ts';

/**
 * The operations that server-side apply needs on a value whose type is known. They follow the model of
 * structured merge: objects are granular, lists are keyed, sets or atomic, and an atomic value is one leaf.
 */

/** How a value takes part: as a leaf, as a map of members, or as a list of addressable items. */
type Shape =
  | { readonly kind: 'leaf' }
  | { readonly kind: 'map'; readonly value: JsonObject }
  | { readonly kind: 'list'; readonly value: readonly JsonValue[] };

const leaf: Shape = { kind: 'leaf' };

function shapeOf(schema: TypeSchema, value: JsonValue | undefined): Shape {
  if (Array.isArray(value)) {
    return schema.listType === 'map' || schema.listType === 'set' ? { kind: 'list', value } : leaf;
  }
  if (!isObject(value) || schema.mapType === 'atomic') return leaf;
  // RawExtension and the like are atomic; in custom types an unknown object is granular.
  if (schema.source === 'built-in' && (schema.preserveUnknownFields || schema.type === 'any')) return leaf;
  return { kind: 'map', value };
}

const untyped: TypeSchema = {
  source: 'custom',
  type: 'any',
  nullable: true,
  properties: new Map(),
  required: [],
  listMapKeys: [],
  patchStrategies: [],
  preserveUnknownFields: true,
  embeddedResource: false,
};

function memberSchema(schema: TypeSchema, name: string): TypeSchema {
  return schema.properties.get(name) ?? schema.values ?? untyped;
}

function itemSchema(schema: TypeSchema): TypeSchema {
  return schema.items ?? untyped;
}

/** The path element of a list item. Throws PatchError when a keyed item lacks a key that has no default. */
function itemElement(schema: TypeSchema, item: JsonValue, path: string): string {
  if (schema.listType === 'set') return `v:${canonicalJson(item)}`;
  if (!isObject(item)) throw new PatchError(`${path}: item of an associative list is not an object`, 400);
  const keys: JsonObject = {};
  for (const key of [...schema.listMapKeys].sort()) {
    const value = member(item, key) ?? schema.items?.properties.get(key)?.default;
    if (value === undefined) {
      throw new PatchError(
        `${path}: associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`,
        400,
      );
    }
    keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

function indexItems(schema: TypeSchema, items: readonly JsonValue[], path: string): Map<string, JsonValue> {
  const index = new Map<string, JsonValue>();
  for (const item of items) {
    const element = itemElement(schema, item, path);
    if (!index.has(element)) index.set(element, item); // a live object may hold duplicates: the first counts
  }
  return index;
}

/** Throws PatchError when a list that should have distinct items doesn't. */
export function assertDistinctItems(schema: TypeSchema, value: JsonValue, path = ''): void {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'map') {
    for (const [name, entry] of Object.entries(shape.value)) {
      assertDistinctItems(memberSchema(schema, name), entry, `${path}.${name}`);
    }
  } else if (shape.kind === 'list') {
    const seen = new Set<string>();
    for (const item of shape.value) {
      const element = itemElement(schema, item, path);
      if (seen.has(element))
        throw new PatchError(`${path}: duplicate entries for key ${element.slice(2)}`, 400);
      seen.add(element);
      assertDistinctItems(itemSchema(schema), item, `${path}[${element.slice(2)}]`);
    }
  }
}

/** The fields that an applied configuration claims. */
export function fieldsOf(schema: TypeSchema, value: JsonValue, path = ''): FieldSet {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'leaf') return leafFieldSet;
  if (shape.kind === 'list') {
    const items = indexItems(schema, shape.value, path);
    return fieldSet(
      false,
      [...items].map(([element, item]) => {
        // An item is claimed as such, whatever it holds.
        return [element, fieldSet(true, fieldsOf(itemSchema(schema), item, path).children)] as const;
      }),
    );
  }
  return fieldSet(
    false,
    Object.entries(shape.value).map(([name, entry]) => {
      const fields = fieldsOf(memberSchema(schema, name), entry, `${path}.${name}`);
      const isEmpty = isObject(entry) && Object.keys(entry).length === 0;
      const isMapKey = !schema.properties.has(name);
      return [fieldElement(name), fieldSet(fields.member || isEmpty || isMapKey, fields.children)] as const;
    }),
  );
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

const noDifference: Comparison = { added: emptyFieldSet, modified: emptyFieldSet, removed: emptyFieldSet };

/** Every path that differs, containers included: a new map is added itself, and so is all that it holds. */
export function compare(
  schema: TypeSchema,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): Comparison {
  if (jsonEquals(before, after)) return noDifference;
  const left = shapeOf(schema, before);
  const right = shapeOf(schema, after);
  if (before === undefined) return { ...noDifference, added: allPaths(schema, right) };
  if (after === undefined) return { ...noDifference, removed: allPaths(schema, left) };
  if (left.kind === 'map' && right.kind === 'map') {
    return compareMembers(
      new Map(Object.entries(left.value)),
      new Map(Object.entries(right.value)),
      fieldElement,
      (name) => memberSchema(schema, name),
    );
  }
  if (left.kind === 'list' && right.kind === 'list') {
    return compareMembers(
      indexItems(schema, left.value, ''),
      indexItems(schema, right.value, ''),
      (element) => element,
      () => itemSchema(schema),
    );
  }
  return { ...noDifference, modified: leafFieldSet };
}

function compareMembers(
  before: ReadonlyMap<string, JsonValue>,
  after: ReadonlyMap<string, JsonValue>,
  elementOf: (name: string) => string,
  schemaOf: (name: string) => TypeSchema,
): Comparison {
  const added: [string, FieldSet][] = [];
  const modified: [string, FieldSet][] = [];
  const removed: [string, FieldSet][] = [];
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const element = elementOf(name);
    const inner = compare(schemaOf(name), before.get(name), after.get(name));
    added.push([element, inner.added]);
    modified.push([element, inner.modified]);
    removed.push([element, inner.removed]);
  }
  return {
    added: fieldSet(false, added),
    modified: fieldSet(false, modified),
    removed: fieldSet(false, removed),
  };
}

function allPaths(schema: TypeSchema, shape: Shape): FieldSet {
  if (shape.kind === 'leaf') return leafFieldSet;
  const children: [string, FieldSet][] =
    shape.kind === 'map'
      ? Object.entries(shape.value).map(([name, entry]) => {
          const inner = memberSchema(schema, name);
          return [fieldElement(name), allPaths(inner, shapeOf(inner, entry))];
        })
      : [...indexItems(schema, shape.value, '')].map(([element, item]) => {
          const inner = itemSchema(schema);
          return [element, allPaths(inner, shapeOf(inner, item))];
        });
  return fieldSet(true, children);
}

/** The live value with the applied one merged into it. */
export function mergeApplied(schema: TypeSchema, live: JsonValue | undefined, applied: JsonValue): JsonValue {
  const right = shapeOf(schema, applied);
  const left = shapeOf(schema, live);
  if (right.kind === 'map') {
    const merged: JsonObject = {};
    if (left.kind === 'map')
      for (const [name, value] of Object.entries(left.value)) setMember(merged, name, value);
    for (const [name, value] of Object.entries(right.value)) {
      setMember(merged, name, mergeApplied(memberSchema(schema, name), member(merged, name), value));
    }
    return merged;
  }
  if (right.kind === 'list') return mergeLists(schema, left.kind === 'list' ? left.value : [], right.value);
  return applied;
}

/**
 * Applied items come in applied order. Before each item that both sides have, the live-only items that stand
 * before it are let through; the remaining live-only items come last.
 */
function mergeLists(
  schema: TypeSchema,
  live: readonly JsonValue[],
  applied: readonly JsonValue[],
): JsonValue[] {
  const liveItems = live.map((item) => ({ element: itemElement(schema, item, ''), item }));
  const liveByElement = new Map(liveItems.map(({ element, item }) => [element, item]));
  const appliedItems = applied.map((item) => ({ element: itemElement(schema, item, ''), item }));
  const appliedElements = new Set(appliedItems.map(({ element }) => element));
  const shared = appliedItems
    .filter(({ element }) => liveByElement.has(element))
    .map(({ element }) => element);

  const merged: JsonValue[] = [];
  const done = new Set<string>();
  let position = 0;
  let nextShared = 0;
  /** Emits live-only items up to the shared item that comes next; shared ones out of turn are passed over. */
  const passLiveOnly = (): void => {
    for (; position < liveItems.length; position += 1) {
      const entry = liveItems[position];
      if (entry === undefined) return;
      if (!appliedElements.has(entry.element)) merged.push(entry.item);
      else if (entry.element === shared[nextShared]) return;
      else if (nextShared >= shared.length && !done.has(entry.element)) return;
    }
  };
  for (const { element, item } of appliedItems) {
    passLiveOnly();
    merged.push(mergeApplied(itemSchema(schema), liveByElement.get(element), item));
    done.add(element);
    if (element === shared[nextShared]) nextShared += 1;
  }
  nextShared = shared.length;
  passLiveOnly();
  return merged;
}

/** Adds the paths of fields of fixed structure that only lead to members, so that they can be removed whole. */
export function withNamedFields(schema: TypeSchema, set: FieldSet): FieldSet {
  return fieldSet(
    set.member,
    [...set.children].map(([element, child]) => {
      const isField = element.startsWith('f:');
      const name = element.slice(2);
      const inner = withNamedFields(isField ? memberSchema(schema, name) : itemSchema(schema), child);
      const named = isField && schema.properties.has(name) && child.children.size > 0;
      return [element, fieldSet(inner.member || named, inner.children)] as const;
    }),
  );
}

/**
 * The value without the members of the set. A container that loses everything in it stays, empty; but in
 * built-in types an emptied map or list goes, because Go's JSON leaves those out.
 */
export function removeFields(schema: TypeSchema, value: JsonValue, set: FieldSet): JsonValue {
  if (isEmptySet(set)) return value;
  const shape = shapeOf(schema, value);
  if (shape.kind === 'leaf') return value;
  if (shape.kind === 'list') {
    const items: JsonValue[] = [];
    for (const item of shape.value) {
      const below = set.children.get(itemElement(schema, item, '')) ?? emptyFieldSet;
      if (!below.member) items.push(removeFields(itemSchema(schema), item, below));
    }
    return items;
  }
  const kept: JsonObject = {};
  for (const [name, entry] of Object.entries(shape.value)) {
    const below = set.children.get(fieldElement(name)) ?? emptyFieldSet;
    if (below.member) continue;
    const inner = memberSchema(schema, name);
    const rest = removeFields(inner, entry, below);
    if (rest === entry || !isOmittedWhenEmpty(inner, rest)) setMember(kept, name, rest);
  }
  return kept;
}

function isOmittedWhenEmpty(schema: TypeSchema, value: JsonValue): boolean {
  if (schema.source !== 'built-in') return false;
  if (Array.isArray(value)) return value.length === 0;
  return schema.values !== undefined && isObject(value) && Object.keys(value).length === 0;
}

/** Both ways in which a field may have come to differ from what its owner wrote. */
export function changedFields(comparison: Comparison): FieldSet {
  return union(comparison.added, comparison.modified);
}
