import { builtinDefaults } from './builtin-defaults.ts';
import { cloneJson, isObject, type JsonObject, type JsonValue, setMember } from './json.ts';
import type { GroupVersionKind, TypeSchema } from './type-schema.ts';

/** Fills in the defaults that the API promises, in place: built-in rules, or those of a CRD's schema. */
export function applyDefaults(schema: TypeSchema, gvk: GroupVersionKind, object: JsonObject): void {
  if (schema.source === 'built-in') builtinDefaults.get(`${gvk.group}/${gvk.kind}`)?.(object);
  else defaultObject(schema, object);
}

/**
 * Structural defaulting. A null where the schema doesn't allow one counts as absent: it takes the default, or
 * goes.
 */
function defaultObject(schema: TypeSchema, object: JsonObject): void {
  if (schema.source === 'built-in') return; // metadata
  for (const [name, property] of schema.properties) {
    const present = Object.hasOwn(object, name) ? object[name] : undefined;
    const absent = present === undefined || (present === null && !property.nullable);
    if (!absent) continue;
    if (property.default !== undefined) setMember(object, name, cloneJson(property.default));
    else if (present === null) delete object[name];
  }
  for (const [name, value] of Object.entries(object)) {
    const inner = schema.properties.get(name) ?? schema.values;
    if (inner === undefined) continue;
    if (value === null && !inner.nullable && inner.default !== undefined) {
      setMember(object, name, cloneJson(inner.default));
    }
    defaultValue(inner, object[name]);
  }
}

function defaultValue(schema: TypeSchema, value: JsonValue | undefined): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    for (const [index, entry] of value.entries()) {
      if (entry === null && !items.nullable && items.default !== undefined)
        value[index] = cloneJson(items.default);
      defaultValue(items, value[index]);
    }
  } else if (isObject(value)) defaultObject(schema, value);
}
