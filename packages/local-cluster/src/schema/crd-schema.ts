import type { JsonObject } from './json.ts';
import type { TypeRegistry } from './registry.ts';
import type { TypeSchema } from './type-schema.ts';

/** The type of one served version of a CRD: a member of `spec.versions`. */
export function typeFromCrd(_registry: TypeRegistry, _crdVersion: JsonObject): TypeSchema {
  throw new Error('not yet');
}
