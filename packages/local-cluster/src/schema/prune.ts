import { childPath } from './field-errors.ts';
import { isObject, type JsonObject, type JsonValue, setMember } from './json.ts';
import type { TypeSchema } from './type-schema.ts';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/**
 * A copy without the members that the schema doesn't know, and their paths (empty for `Ignore`). The caller
 * answers 400 (`Strict`) or adds warnings (`Warn`). In built-in types a null means "not given", as it does to
 * Go's decoder, so nulls go too; in custom types defaulting decides about them.
 */
export function pruneUnknown(
  schema: TypeSchema,
  object: JsonObject,
  mode: FieldValidation,
): { object: JsonObject; unknownFields: string[] } {
  const unknownFields: string[] = [];
  const pruned = pruneObject(schema, object, '', unknownFields);
  return { object: pruned, unknownFields: mode === 'Ignore' ? [] : unknownFields };
}

function pruneValue(schema: TypeSchema, value: JsonValue, path: string, unknown: string[]): JsonValue {
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items === undefined) return value;
    return value.map((entry, index) => pruneValue(items, entry, `${path}[${index}]`, unknown));
  }
  return isObject(value) ? pruneObject(schema, value, path, unknown) : value;
}

function pruneObject(schema: TypeSchema, object: JsonObject, path: string, unknown: string[]): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    const field = fieldSchema(schema, key);
    const fieldPath = childPath(path, key);
    if (field === 'unknown') unknown.push(fieldPath);
    else if (value === null && schema.source === 'built-in' && schema.properties.size > 0) continue;
    // A null among labels or annotations is an empty string to Go's decoder.
    else if (value === null && schema.values?.source === 'built-in' && schema.values.type === 'string')
      result[key] = '';
    else setMember(result, key, field === 'kept' ? value : pruneValue(field, value, fieldPath, unknown));
  }
  return result;
}

const embeddedFields: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

function fieldSchema(schema: TypeSchema, key: string): TypeSchema | 'kept' | 'unknown' {
  const property = schema.properties.get(key) ?? schema.values;
  if (property !== undefined) return property;
  if (schema.preserveUnknownFields || schema.type === 'any') return 'kept';
  return schema.embeddedResource && embeddedFields.has(key) ? 'kept' : 'unknown';
}
