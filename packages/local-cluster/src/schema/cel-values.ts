import { celList, celMap, type CelValue, isCelList, isCelMap, isCelUint } from '@bufbuild/cel';
import { timestampFromMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import { isObject, type JsonObject, type JsonValue } from './json.ts';
import { isDateTime } from './formats.ts';
import type { TypeSchema } from './type-schema.ts';

/** Anything that may be bound: bound values themselves, and plain JSON. */
export type Bindable = CelValue | JsonValue | Timestamp;

/**
 * A value as CEL sees it under a schema: integers as int (a JavaScript number would be a double), date-times as
 * timestamps, and property names escaped, so that `self.my-field` can be written `self.my__dash__field`.
 */
export function bindValue(schema: TypeSchema | undefined, value: JsonValue): Bindable {
  if (value === null) return null;
  if (Array.isArray(value)) return celList(value.map((item) => bindValue(schema?.items, item) as CelValue)); // bound
  if (isObject(value)) return bindObject(schema, value);
  if (typeof value === 'number') return bindNumber(schema, value);
  if (typeof value === 'string' && schema?.format === 'date-time' && isDateTime(value)) {
    return timestampFromMs(Date.parse(value));
  }
  return value;
}

function bindObject(schema: TypeSchema | undefined, object: JsonObject): CelValue {
  const entries = Object.entries(object).map(([name, value]) => {
    const property = schema?.properties.get(name);
    const key = property === undefined ? name : escapeName(name);
    return [key, bindValue(property ?? schema?.values, value) as CelValue] as const; // bound
  });
  return celMap(new Map(entries));
}

/** Without a schema, a number that is whole is an int, as in Kubernetes' untyped objects. */
function bindNumber(schema: TypeSchema | undefined, value: number): bigint | number {
  return schema?.type !== 'number' && Number.isInteger(value) ? BigInt(value) : value;
}

const reservedNames: ReadonlySet<string> = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** Kubernetes' escaping of property names that aren't CEL identifiers. */
export function escapeName(name: string): string {
  if (reservedNames.has(name)) return `__${name}__`;
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
}

/** A result as plain values: lists and maps unwrapped, ints as bigint. */
export function unbindValue(value: CelValue): unknown {
  if (isCelList(value)) return [...value].map(unbindValue);
  if (isCelMap(value)) {
    const entries = [...value].map(
      ([key, entry]) => [isCelUint(key) ? key.value : key, unbindValue(entry)] as const,
    );
    return Object.fromEntries(entries.map(([key, entry]) => [String(key), entry]));
  }
  return isCelUint(value) ? value.value : value;
}
