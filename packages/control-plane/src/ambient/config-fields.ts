/** A part of the mesh configuration that is a mapping. @throws with its path */
export function record(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>; // any object may be read by string key
  }
  throw wrong(path, 'is not a mapping');
}

/** @throws with its path */
export function list(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrong(path, 'is not a list');
}

export function wrong(path: string, why: string): Error {
  return new Error(`mesh configuration: ${path} ${why}`);
}
