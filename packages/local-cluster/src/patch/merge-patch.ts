import { isObject, type JsonObject, type JsonValue, member, setMember } from '../schema/index.ts';

/** RFC 7386. The arguments are left alone. */
export function mergePatch(target: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (!isObject(patch)) return patch;
  const result: JsonObject = {};
  if (isObject(target)) for (const [key, value] of Object.entries(target)) setMember(result, key, value);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setMember(result, key, mergePatch(member(result, key), value));
  }
  return result;
}
