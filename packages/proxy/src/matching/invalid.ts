/**
 * What a compiler throws for a value that can't be honoured. Whoever compiles the whole resource adds its name and the
 * path down to here, and makes a `ConfigError` of it: `compileAt`.
 */
export class InvalidValue extends Error {
  readonly path: string;
  readonly reason: string;

  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.name = 'InvalidValue';
    this.path = path;
    this.reason = reason;
  }
}

export function invalid(reason: string, path = ''): never {
  throw new InvalidValue(path, reason);
}

/** Runs a compiler, putting `segment` before the path of what it throws: `at('policies["x"]', () => …)`. */
export function at<T>(segment: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    const glue = error.path === '' || error.path.startsWith('[') ? '' : '.';
    throw new InvalidValue(`${segment}${glue}${error.path}`, error.reason);
  }
}

/** A value that must be present. */
export function required<T>(value: T | null | undefined, path: string): T {
  return value ?? invalid('value is required', path);
}
