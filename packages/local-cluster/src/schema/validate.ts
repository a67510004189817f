import type { FieldError } from './field-errors.ts';
import type { JsonObject } from './json.ts';
import type { GroupVersionKind, TypeSchema } from './type-schema.ts';

/** All reasons to refuse an object that has been pruned and defaulted. `oldObject` makes it an update. */
export function validate(
  _schema: TypeSchema,
  _gvk: GroupVersionKind,
  _object: JsonObject,
  _oldObject?: JsonObject,
): FieldError[] {
  return [];
}
