import { WeftError } from './errors.ts';

/** Typed reads of the environment. Whatever can't be parsed is a WEFT1001 that names the variable. */
export class Environment {
  private readonly variables: Readonly<Record<string, string | undefined>>;

  constructor(variables: Readonly<Record<string, string | undefined>>) {
    this.variables = variables;
  }

  /** Unset and empty are different: an empty value is returned as such. */
  optional(name: string): string | undefined {
    return this.variables[name];
  }

  string(name: string, fallback: string): string {
    return this.variables[name] ?? fallback;
  }

  required(name: string): string {
    const value = this.variables[name];
    if (value === undefined || value === '') throw new WeftError('WEFT1002', `${name} is not set`);
    return value;
  }

  /** Exactly `true` or `false`. */
  boolean(name: string, fallback: boolean): boolean {
    const value = this.variables[name];
    if (value === undefined || value === '') return fallback;
    if (value === 'true') return true;
    if (value === 'false') return false;
    throw new WeftError('WEFT1001', `${name}=${value}: expected true or false`);
  }

  integer(name: string, fallback: number, range: { min?: number; max?: number } = {}): number {
    const value = this.variables[name];
    if (value === undefined || value === '') return fallback;
    const parsed = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = range;
    if (!(parsed >= min && parsed <= max)) {
      throw new WeftError('WEFT1001', `${name}=${value}: expected a whole number from ${min} to ${max}`);
    }
    return parsed;
  }

  /** `250ms`, `10s`, `5m`, `1h30m`; the result is in milliseconds. */
  durationMs(name: string, fallbackMs: number): number {
    const value = this.variables[name];
    if (value === undefined || value === '') return fallbackMs;
    const parsed = parseDurationMs(value);
    if (parsed === undefined)
      throw new WeftError('WEFT1001', `${name}=${value}: expected a duration such as 10s or 5m`);
    return parsed;
  }

  oneOf<const T extends string>(name: string, values: readonly T[], fallback: T): T {
    const value = this.variables[name];
    if (value === undefined || value === '') return fallback;
    const found = values.find((v) => v === value);
    if (found === undefined)
      throw new WeftError('WEFT1001', `${name}=${value}: expected one of ${values.join(', ')}`);
    return found;
  }

  /** Every variable whose name starts with the prefix, without it. */
  withPrefix(prefix: string): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const [name, value] of Object.entries(this.variables)) {
      if (name.startsWith(prefix) && value !== undefined) found.set(name.slice(prefix.length), value);
    }
    return found;
  }
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's duration syntax in milliseconds, or undefined. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)) {
    total += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  }
  return total;
}
