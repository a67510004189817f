import { builtinErrors } from './builtin-validation.ts';
import { evaluateRules } from './cel-rules.ts';
import { type FieldError, fieldError } from './field-errors.ts';
import type { JsonObject } from './json.ts';
import { metadataErrors } from './metadata-validation.ts';
import { validateStructure } from './structural-validation.ts';
import type { GroupVersionKind, TypeSchema } from './type-schema.ts';

const UNCHECKED_RULES =
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';

/**
 * All reasons to refuse an object that has been pruned and defaulted. `oldObject` makes it an update. Which fields
 * may change at all is for the caller to say.
 */
export function validate(
  schema: TypeSchema,
  gvk: GroupVersionKind,
  object: JsonObject,
  oldObject?: JsonObject,
): FieldError[] {
  const errors = [
    ...metadataErrors(gvk, object, oldObject),
    ...validateStructure(schema, object, '', oldObject),
  ];
  if (errors.length > 0) {
    // CEL may assume that the structure is right.
    return schema.hasRules === true ? [...errors, fieldError.invalid('', 'null', UNCHECKED_RULES)] : errors;
  }
  return schema.source === 'custom'
    ? evaluateRules(schema, object, '', oldObject)
    : builtinErrors(gvk, object, oldObject);
}
