import type { JsonValue } from '../schema/index.ts';

/** RFC 6902. The arguments are left alone. Throws PatchError. */
export function jsonPatch(_target: JsonValue, _operations: JsonValue): JsonValue {
  throw new Error('not yet');
}
