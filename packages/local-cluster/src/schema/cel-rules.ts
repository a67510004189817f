import { celList, type CelInput, type CelValue } from '@bufbuild/cel';
import { type BoundProgram, compileBound } from './cel.ts';
import { bindValue } from './cel-values.ts';
import { childPath, type FieldError, type FieldErrorReason, fieldError } from './field-errors.ts';
import { isObject, jsonEquals, type JsonValue, member } from './json.ts';
import { correlatedItem } from './structural-validation.ts';
import type { TypeSchema, ValidationRule } from './type-schema.ts';

/**
 * Evaluates all `x-kubernetes-validations` of a value that is structurally valid. Rules about `oldSelf` only run
 * where the part existed before; parts that didn't change are left alone.
 */
export function evaluateRules(
  schema: TypeSchema,
  value: JsonValue,
  path = '',
  oldValue?: JsonValue,
): FieldError[] {
  if (schema.hasRules !== true || value === null) return [];
  if (oldValue !== undefined && jsonEquals(value, oldValue)) return [];
  const errors = (schema.constraints?.rules ?? []).length > 0 ? ownErrors(schema, value, path, oldValue) : [];
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return errors;
    for (const [index, item] of value.entries()) {
      errors.push(...evaluateRules(items, item, `${path}[${index}]`, correlatedItem(schema, item, oldValue)));
    }
  } else if (isObject(value)) {
    for (const [name, entry] of Object.entries(value)) {
      const property = schema.properties.get(name);
      const inner = property ?? schema.values;
      if (inner === undefined) continue;
      const innerPath = property === undefined ? `${path}[${name}]` : childPath(path, name);
      const old = isObject(oldValue) ? member(oldValue, name) : undefined;
      errors.push(...evaluateRules(inner, entry, innerPath, old));
    }
  }
  return errors;
}

function ownErrors(
  schema: TypeSchema,
  value: JsonValue,
  path: string,
  oldValue: JsonValue | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const self = bindValue(schema, value) as CelInput; // what bindValue makes is what CEL takes
  const oldSelf = oldValue === undefined ? undefined : (bindValue(schema, oldValue) as CelInput); // likewise
  for (const rule of schema.constraints?.rules ?? []) {
    const error = ruleError(rule, schema, path, self, oldSelf);
    if (error !== undefined) errors.push(error);
  }
  return errors;
}

function ruleError(
  rule: ValidationRule,
  schema: TypeSchema,
  path: string,
  self: CelInput,
  oldSelf: CelInput | undefined,
): FieldError | undefined {
  const bindings: Record<string, CelInput> = { self };
  if (rule.optionalOldSelf === true) {
    bindings['oldSelf'] = celList(oldSelf === undefined ? [] : [oldSelf as CelValue]); // an optional
  } else if (/\boldSelf\b/.test(rule.rule)) {
    if (oldSelf === undefined) return undefined;
    bindings['oldSelf'] = oldSelf;
  }
  const where = `${path}${rule.fieldPath ?? ''}`.replace(/^\./, '');
  try {
    if (compileBound(rule.rule)(bindings) === true) return undefined;
    return failure(rule.reason, where, schema.type, messageOf(rule, bindings));
  } catch (error) {
    // A rule that can't be evaluated has not been satisfied.
    const detail = `rule evaluation error: ${messageOfError(error)} evaluating rule: ${rule.message ?? rule.rule}`;
    return fieldError.invalid(where, schema.type, detail);
  }
}

function messageOf(rule: ValidationRule, bindings: Readonly<Record<string, CelInput>>): string {
  const computed =
    rule.messageExpression === undefined ? undefined : tryText(rule.messageExpression, bindings);
  return computed ?? rule.message?.trim() ?? `failed rule: ${rule.rule.trim()}`;
}

function tryText(expression: string, bindings: Parameters<BoundProgram>[0]): string | undefined {
  try {
    const text = compileBound(expression)(bindings);
    return typeof text === 'string' && text.trim() !== '' ? text.trim() : undefined;
  } catch {
    return undefined; // the fixed message stands in
  }
}

function failure(reason: string | undefined, path: string, type: string, message: string): FieldError {
  switch (
    reason as FieldErrorReason | undefined // a free text of the CRD; unknown ones are plain
  ) {
    case 'FieldValueForbidden':
      return fieldError.forbidden(path, message);
    case 'FieldValueRequired':
      return fieldError.required(path, message);
    case 'FieldValueDuplicate':
      return fieldError.duplicate(path, type);
    default:
      return fieldError.invalid(path, type, message);
  }
}

function messageOfError(error: unknown): string {
  // Not instanceof: under jest, errors may come from another realm.
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);
}
