import { WeftError } from '@weft/telemetry';

/** A value of a YAML document that knows where it is, and refuses to be taken for what it is not. Absent is undefined. */
export class YamlValue {
  private readonly value: unknown;
  private readonly path: string;

  constructor(value: unknown, path: string) {
    this.value = value ?? undefined;
    this.path = path;
  }

  get isAbsent(): boolean {
    return this.value === undefined;
  }

  at(key: string): YamlValue {
    return new YamlValue(this.fields()[key], `${this.path}.${key}`);
  }

  list(): readonly YamlValue[] {
    const value = this.value ?? [];
    if (!Array.isArray(value)) throw this.expected('a list');
    return value.map((each: unknown, i) => new YamlValue(each, `${this.path}[${i}]`));
  }

  entries(): readonly (readonly [key: string, value: YamlValue])[] {
    return Object.entries(this.fields()).map(([key, value]) => [
      key,
      new YamlValue(value, `${this.path}.${key}`),
    ]);
  }

  string(fallback = ''): string {
    const value = this.value ?? fallback;
    if (typeof value !== 'string') throw this.expected('a string');
    return value;
  }

  boolean(fallback: boolean): boolean {
    const value = this.value ?? fallback;
    if (typeof value !== 'boolean') throw this.expected('true or false');
    return value;
  }

  integer(fallback: number, max: number): number {
    const value = this.value ?? fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max)
      throw this.expected(`a whole number up to ${max}`);
    return value;
  }

  oneOf<const T extends string>(values: readonly T[], fallback: T): T {
    const value = this.value ?? fallback;
    const found = values.find((v) => v === value);
    if (found === undefined) throw this.expected(`one of ${values.join(', ')}`);
    return found;
  }

  /** What `parse` makes of the string; undefined from it is an error. */
  parsed<T>(expected: string, parse: (text: string) => T | undefined): T {
    const found = parse(this.string());
    if (found === undefined) throw this.expected(expected);
    return found;
  }

  expected(what: string): WeftError {
    return new WeftError('WEFT1001', `${this.path}: expected ${what}`);
  }

  private fields(): Readonly<Record<string, unknown>> {
    const value = this.value ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) throw this.expected('an object');
    return value as Readonly<Record<string, unknown>>; // keys of YAML maps become strings
  }
}
