import { isObject, type JsonObject, type JsonValue, setMember } from '../schema/index.ts';

/**
 * A set of field paths, as a tree. The edges are FieldsV1 path elements: `f:name` for a field or map key,
 * `k:{"name":"a"}` for an item of a keyed list, `v:"x"` for a member of a set. Values of this type are never
 * changed after they are built; operations return new trees.
 */
export interface FieldSet {
  /** The path that leads here is itself in the set. */
  readonly member: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

export const emptyFieldSet: FieldSet = { member: false, children: new Map() };
export const leafFieldSet: FieldSet = { member: true, children: new Map() };

export function isEmptySet(set: FieldSet): boolean {
  return !set.member && set.children.size === 0;
}

export function fieldElement(name: string): string {
  return `f:${name}`;
}

/** Builds a node; children that hold nothing are left out, so that equal sets have equal trees. */
export function fieldSet(member: boolean, children: Iterable<readonly [string, FieldSet]>): FieldSet {
  return { member, children: new Map([...children].filter(([, child]) => !isEmptySet(child))) };
}

export function pathSet(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((child, element) => fieldSet(false, [[element, child]]), leafFieldSet);
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b;
  if (isEmptySet(b)) return a;
  const children = new Map(a.children);
  for (const [element, child] of b.children) {
    children.set(element, union(children.get(element) ?? emptyFieldSet, child));
  }
  return fieldSet(a.member || b.member, children);
}

/** The paths of `a` that `b` doesn't hold. A member of `b` says nothing about the paths below it. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  const children = [...a.children].map(
    ([element, child]) => [element, difference(child, b.children.get(element) ?? emptyFieldSet)] as const,
  );
  return fieldSet(a.member && !b.member, children);
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const children = [...a.children].map(
    ([element, child]) => [element, intersection(child, b.children.get(element) ?? emptyFieldSet)] as const,
  );
  return fieldSet(a.member && b.member, children);
}

/** All member paths, each as its list of elements: those of one level before those below it, as Kubernetes lists them. */
export function* members(set: FieldSet, path: readonly string[] = []): Generator<readonly string[]> {
  const children = sortedChildren(set);
  for (const [element, child] of children) if (child.member) yield [...path, element];
  for (const [element, child] of children) yield* members(child, [...path, element]);
}

function sortedChildren(set: FieldSet): readonly (readonly [string, FieldSet])[] {
  return [...set.children].sort(([a], [b]) => compareElements(a, b));
}

/** Fields, then keys, values and indexes; numbers within keys by size, not by their digits. */
function compareElements(a: string, b: string): number {
  const kinds = 'fkvi';
  const byKind = kinds.indexOf(a.charAt(0)) - kinds.indexOf(b.charAt(0));
  if (byKind !== 0 || a.startsWith('f:')) return byKind || compareText(a, b);
  const parsed = (element: string): JsonValue => JSON.parse(element.slice(2)) as JsonValue; // checked when built
  return compareValues(parsed(a), parsed(b));
}

function compareValues(a: JsonValue | undefined, b: JsonValue | undefined): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (isObject(a) && isObject(b)) {
    for (const key of Object.keys(a)) {
      const order = compareValues(a[key], b[key]);
      if (order !== 0) return order;
    }
    return 0;
  }
  return compareText(JSON.stringify(a), JSON.stringify(b));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** `.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]`, as in conflict messages. */
export function formatFieldPath(path: readonly string[]): string {
  return path.map(formatElement).join('');
}

function formatElement(element: string): string {
  const body = element.slice(2);
  switch (element.slice(0, 2)) {
    case 'k:': {
      const keys = JSON.parse(body) as JsonObject; // written by keyElement or checked by decodeFieldsV1
      return `[${Object.entries(keys)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(',')}]`;
    }
    case 'v:':
      return `[=${body}]`;
    case 'i:':
      return `[${body}]`;
    default:
      return `.${body}`;
  }
}

export function encodeFieldsV1(set: FieldSet): JsonObject {
  const fields: JsonObject = {};
  for (const [element, child] of sortedChildren(set)) {
    const encoded = encodeFieldsV1(child);
    const withSelf = child.member && child.children.size > 0 ? { '.': {}, ...encoded } : encoded;
    setMember(fields, element, withSelf);
  }
  return fields;
}

/** Returns undefined for anything that isn't FieldsV1. */
export function decodeFieldsV1(fields: JsonObject): FieldSet | undefined {
  const children: [string, FieldSet][] = [];
  for (const [element, value] of Object.entries(fields)) {
    if (element === '.') continue;
    if (!isPathElement(element) || !isObject(value)) return undefined;
    const child = decodeFieldsV1(value);
    if (child === undefined) return undefined;
    const member = Object.hasOwn(value, '.') || Object.keys(value).length === 0;
    children.push([element, fieldSet(member, child.children)]);
  }
  return fieldSet(false, children);
}

function isPathElement(element: string): boolean {
  if (element.startsWith('f:')) return true;
  if (!/^[kvi]:/.test(element)) return false;
  try {
    const value: unknown = JSON.parse(element.slice(2));
    return (
      !element.startsWith('k:') || (typeof value === 'object' && value !== null && !Array.isArray(value))
    );
  } catch {
    return false;
  }
}
