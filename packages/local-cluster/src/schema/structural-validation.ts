import { childPath, type FieldError, fieldError } from './field-errors.ts';
import { integerBounds, stringFormats } from './formats.ts';
import { canonicalJson, isObject, jsonEquals, type JsonObject, type JsonValue, member } from './json.ts';
import { matchesPattern } from './pattern.ts';
import type { Constraints, TypeSchema } from './type-schema.ts';

/**
 * Checks a value against a schema, without its CEL rules. A part that equals its old value is left alone: a
 * schema that got stricter doesn't block unrelated updates (validation ratcheting).
 */
export function validateStructure(
  schema: TypeSchema,
  value: JsonValue,
  path = '',
  oldValue?: JsonValue,
): FieldError[] {
  if (oldValue !== undefined && jsonEquals(value, oldValue)) return [];
  if (value === null && schema.nullable) return [];
  const wrong = typeError(schema, value, path);
  if (wrong !== undefined) return [wrong];
  const errors: FieldError[] = [];
  if (typeof value === 'string') errors.push(...stringErrors(schema, value, path));
  else if (typeof value === 'number') errors.push(...numberErrors(schema, value, path));
  else if (Array.isArray(value)) errors.push(...listErrors(schema, value, path, oldValue));
  else if (isObject(value)) errors.push(...objectErrors(schema, value, path, oldValue));
  if (schema.constraints !== undefined) errors.push(...valueErrors(schema.constraints, value, path));
  return errors;
}

function typeError(schema: TypeSchema, value: JsonValue, path: string): FieldError | undefined {
  const wanted = wantedType(schema, value);
  if (wanted === undefined) return undefined;
  const found = typeName(value);
  return fieldError.wrongType(
    path,
    found,
    `${path} in body must be of type ${wanted}: ${JSON.stringify(found)}`,
  );
}

/** The name of the type that the value should have had; undefined when it is right. */
function wantedType(schema: TypeSchema, value: JsonValue): string | undefined {
  const { type } = schema;
  switch (type) {
    case 'any':
      return undefined;
    case 'int-or-string':
      // Built-in quantities may be given as numbers of any kind.
      if (typeof value === 'string' || Number.isInteger(value)) return undefined;
      return typeof value === 'number' && schema.source === 'built-in' ? undefined : 'integer,string';
    case 'integer':
      return Number.isInteger(value) ? undefined : type;
    case 'array':
      return Array.isArray(value) ? undefined : type;
    case 'object':
      return isObject(value) ? undefined : type;
    default:
      return typeof value === type ? undefined : type;
  }
}

export function typeName(value: JsonValue): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function stringErrors(schema: TypeSchema, value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { minLength, maxLength, pattern } = schema.constraints ?? {};
  // Length counts characters, not UTF-16 units.
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
  if (maxLength !== undefined && length > maxLength) {
    errors.push(fieldError.tooLong(path, `may not be more than ${maxLength} bytes`));
  }
  if (minLength !== undefined && length < minLength) {
    errors.push(
      fieldError.invalid(path, value, `${path} in body should be at least ${minLength} chars long`),
    );
  }
  if (pattern !== undefined && !matchesPattern(pattern, value)) {
    errors.push(fieldError.invalid(path, value, `${path} in body should match '${pattern}'`));
  }
  const format = schema.format === undefined ? undefined : stringFormats.get(schema.format);
  if (format !== undefined && !format(value)) {
    errors.push(
      fieldError.wrongType(
        path,
        value,
        `${path} in body must be of type ${schema.format}: ${JSON.stringify(value)}`,
      ),
    );
  }
  return errors;
}

function numberErrors(schema: TypeSchema, value: number, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (detail: string): void => {
    errors.push(fieldError.invalid(path, value, `${path} in body ${detail}`));
  };
  const bound = schema.format === undefined ? undefined : integerBounds.get(schema.format);
  if (bound !== undefined && (value >= bound || value < -bound)) {
    errors.push(
      fieldError.wrongType(
        path,
        String(value),
        `${path} in body must be of type ${schema.format}: "${value}"`,
      ),
    );
  }
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema.constraints ?? {};
  if (minimum !== undefined) {
    if (exclusiveMinimum === true && value <= minimum) refuse(`should be greater than ${minimum}`);
    else if (value < minimum) refuse(`should be greater than or equal to ${minimum}`);
  }
  if (maximum !== undefined) {
    if (exclusiveMaximum === true && value >= maximum) refuse(`should be less than ${maximum}`);
    else if (value > maximum) refuse(`should be less than or equal to ${maximum}`);
  }
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf)) {
    refuse(`should be a multiple of ${multipleOf}`);
  }
  return errors;
}

function listErrors(
  schema: TypeSchema,
  value: readonly JsonValue[],
  path: string,
  oldValue: JsonValue | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { minItems, maxItems } = schema.constraints ?? {};
  if (minItems !== undefined && value.length < minItems) {
    errors.push(
      fieldError.invalid(path, value.length, `${path} in body should have at least ${minItems} items`),
    );
  }
  if (maxItems !== undefined && value.length > maxItems)
    errors.push(fieldError.tooMany(path, value.length, maxItems));
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const itemPath = `${path}[${index}]`;
    const identity = itemIdentity(schema, item);
    if (identity !== undefined) {
      const text = canonicalJson(identity);
      if (seen.has(text)) errors.push(fieldError.duplicate(itemPath, identity));
      seen.add(text);
    }
    if (schema.items !== undefined) {
      errors.push(...validateStructure(schema.items, item, itemPath, correlatedItem(schema, item, oldValue)));
    }
  }
  return errors;
}

/** What must be unique in a list of type set or map; undefined for atomic lists and items without keys. */
export function itemIdentity(schema: TypeSchema, item: JsonValue): JsonValue | undefined {
  if (schema.listType === 'set') return item;
  if (schema.listType !== 'map' || !isObject(item)) return undefined;
  const keys: JsonObject = {};
  for (const key of schema.listMapKeys) {
    const value = member(item, key) ?? schema.items?.properties.get(key)?.default;
    if (value !== undefined) keys[key] = value;
  }
  return keys;
}

/** The old item with the same keys. Items of other lists have no identity over time. */
export function correlatedItem(
  schema: TypeSchema,
  item: JsonValue,
  oldList: JsonValue | undefined,
): JsonValue | undefined {
  if (schema.listType !== 'map' || !Array.isArray(oldList)) return undefined;
  const identity = itemIdentity(schema, item);
  return oldList.find((old) => jsonEquals(itemIdentity(schema, old), identity));
}

function objectErrors(
  schema: TypeSchema,
  value: JsonObject,
  path: string,
  oldValue: JsonValue | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { minProperties, maxProperties } = schema.constraints ?? {};
  const count = Object.keys(value).length;
  if (minProperties !== undefined && count < minProperties) {
    errors.push(
      fieldError.invalid(path, count, `${path} in body should have at least ${minProperties} properties`),
    );
  }
  if (maxProperties !== undefined && count > maxProperties) {
    errors.push(fieldError.tooMany(path, count, maxProperties));
  }
  if (schema.source === 'custom') {
    for (const name of schema.required) {
      if (!Object.hasOwn(value, name)) errors.push(fieldError.required(childPath(path, name)));
    }
  }
  for (const [name, entry] of Object.entries(value)) {
    const inner = schema.properties.get(name) ?? schema.values;
    if (inner === undefined) continue;
    const old = isObject(oldValue) ? member(oldValue, name) : undefined;
    errors.push(...validateStructure(inner, entry, childPath(path, name), old));
  }
  return errors;
}

/** Keywords that say something about the value as a whole. */
function valueErrors(constraints: Constraints, value: JsonValue, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const subject = JSON.stringify(path);
  const refuse = (detail: string): void => {
    errors.push(fieldError.invalid(path, '', `${subject} ${detail}`));
  };
  const failures = (schemas: readonly TypeSchema[]): FieldError[][] =>
    schemas.map((schema) => validateStructure(schema, value, path));
  if (constraints.enum !== undefined && !constraints.enum.some((allowed) => jsonEquals(allowed, value))) {
    errors.push(fieldError.notSupported(path, value, constraints.enum));
  }
  if (constraints.allOf !== undefined) {
    const failed = failures(constraints.allOf).flat();
    if (failed.length > 0) refuse('must validate all the schemas (allOf)');
    errors.push(...failed);
  }
  if (constraints.anyOf !== undefined) {
    const results = failures(constraints.anyOf);
    if (results.every((failed) => failed.length > 0)) {
      refuse('must validate at least one schema (anyOf)');
      errors.push(...closest(results));
    }
  }
  if (constraints.oneOf !== undefined) {
    const results = failures(constraints.oneOf);
    const valid = results.filter((failed) => failed.length === 0).length;
    if (valid !== 1) {
      refuse(`must validate one and only one schema (oneOf). Found ${valid === 0 ? 'none' : valid} valid`);
      if (valid === 0) errors.push(...closest(results));
    }
  }
  if (constraints.not !== undefined && validateStructure(constraints.not, value, path).length === 0) {
    refuse('must not validate the schema (not)');
  }
  return errors;
}

/** The alternative that was missed by least: what the user most likely meant. */
function closest(results: readonly FieldError[][]): readonly FieldError[] {
  return results.reduce((best, failed) => (failed.length < best.length ? failed : best), results[0] ?? []);
}
