import { canonicalJson, type JsonValue } from './json.ts';

/** The `reason` of a cause in a 422 Status. */
export type FieldErrorReason =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueTypeInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTooShort'
  | 'FieldValueNotFound';

/** One refused field. `message` is without the path, as in `details.causes[].message`. */
export interface FieldError {
  /** `spec.containers[0].name`; `<nil>` when the object as a whole is meant. */
  readonly path: string;
  readonly reason: FieldErrorReason;
  readonly message: string;
}

export const fieldError = {
  required(path: string, detail = ''): FieldError {
    return error(path, 'FieldValueRequired', 'Required value', detail);
  },
  invalid(path: string, value: JsonValue, detail: string): FieldError {
    return error(path, 'FieldValueInvalid', `Invalid value: ${quoteValue(value)}`, detail);
  },
  /** Kubernetes names the type in place of the value when the type itself is wrong. */
  wrongType(path: string, foundType: string, detail: string): FieldError {
    return error(path, 'FieldValueTypeInvalid', `Invalid value: ${JSON.stringify(foundType)}`, detail);
  },
  notSupported(path: string, value: JsonValue, supported: readonly JsonValue[]): FieldError {
    const values = supported.map((entry) =>
      typeof entry === 'string' ? JSON.stringify(entry) : JSON.stringify(JSON.stringify(entry)),
    );
    return error(
      path,
      'FieldValueNotSupported',
      `Unsupported value: ${quoteValue(value)}`,
      `supported values: ${values.join(', ')}`,
    );
  },
  duplicate(path: string, value: JsonValue): FieldError {
    return error(path, 'FieldValueDuplicate', `Duplicate value: ${quoteValue(value)}`, '');
  },
  forbidden(path: string, detail: string): FieldError {
    return error(path, 'FieldValueForbidden', 'Forbidden', detail);
  },
  tooLong(path: string, detail: string): FieldError {
    return error(path, 'FieldValueTooLong', 'Too long', detail);
  },
  tooMany(path: string, count: number, maximum: number): FieldError {
    return error(path, 'FieldValueTooMany', `Too many: ${count}`, `must have at most ${maximum} items`);
  },
} as const;

function error(path: string, reason: FieldErrorReason, head: string, detail: string): FieldError {
  return { path: path === '' ? '<nil>' : path, reason, message: detail === '' ? head : `${head}: ${detail}` };
}

function quoteValue(value: JsonValue): string {
  return typeof value === 'string' ? JSON.stringify(value) : canonicalJson(value);
}

/** `spec` + `a` is `spec.a`; a list index or a map key becomes `[0]`, `[key]`. */
export function childPath(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}

/** The text of a 422 answer: `Widget.example.com "x" is invalid: spec.a: Required value`. */
export function invalidMessage(
  type: { readonly group: string; readonly kind: string },
  name: string,
  errors: readonly FieldError[],
): string {
  const subject = type.group === '' ? type.kind : `${type.kind}.${type.group}`;
  const texts = [...new Set(errors.map((entry) => `${entry.path}: ${entry.message}`))];
  return `${subject} ${JSON.stringify(name)} is invalid: ${texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`}`;
}
