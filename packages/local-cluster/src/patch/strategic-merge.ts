import type { JsonObject, TypeSchema } from '../schema/index.ts';

/** Kubernetes' strategic merge patch. The arguments are left alone. Throws PatchError. */
export function strategicMerge(_schema: TypeSchema, _target: JsonObject, _patch: JsonObject): JsonObject {
  throw new Error('not yet');
}
