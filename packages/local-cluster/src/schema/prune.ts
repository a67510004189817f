import type { JsonObject } from './json.ts';
import type { TypeSchema } from './type-schema.ts';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/**
 * A copy without the members that the schema doesn't know, and their paths (empty when they are to be
 * ignored). The caller answers 400 (Strict) or adds warnings (Warn).
 */
export function pruneUnknown(
  _schema: TypeSchema,
  object: JsonObject,
  _mode: FieldValidation,
): { object: JsonObject; unknownFields: string[] } {
  return { object, unknownFields: [] };
}
