/**
 * Structural equality of plain values: objects, arrays, byte arrays, Maps, Sets of primitives and primitives.
 * A property that is `undefined` equals one that is absent.
 */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && equalArrays(a, b);
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  }
  if (a instanceof Map || b instanceof Map) return a instanceof Map && b instanceof Map && equalMaps(a, b);
  if (a instanceof Set || b instanceof Set) {
    return (
      a instanceof Set && b instanceof Set && a.size === b.size && [...a].every((member) => b.has(member))
    );
  }
  return equalObjects(a, b) && equalObjects(b, a, true);
}

function equalArrays(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => deepEqual(value, b[i]));
}

function equalMaps(a: ReadonlyMap<unknown, unknown>, b: ReadonlyMap<unknown, unknown>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    if (!b.has(key) || !deepEqual(value, b.get(key))) return false;
  }
  return true;
}

/** Every property of `a` is in `b`; `presenceOnly` skips the values, which the other direction has compared. */
function equalObjects(a: object, b: object, presenceOnly = false): boolean {
  const left = a as Readonly<Record<string, unknown>>; // any object may be read by string key
  const right = b as Readonly<Record<string, unknown>>;
  for (const key in left) {
    if (!Object.hasOwn(left, key) || left[key] === undefined) continue;
    if (!Object.hasOwn(right, key)) return false;
    if (presenceOnly ? right[key] === undefined : !deepEqual(left[key], right[key])) return false;
  }
  return true;
}
