import type { LabelSelector } from '@weft/kubernetes';
import { parseProtoDuration } from '../jwks/key-set-fetcher.ts';

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

/** @throws with its path */
export function text(value: unknown, path: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw wrong(path, 'is not a text');
}

const operators: readonly string[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
const SELECTOR_FIELDS: ReadonlySet<string> = new Set(['matchLabels', 'matchExpressions']);

/** A selector that would match nothing, or everything, because of a typing error is refused. @throws with its path */
export function labelSelector(value: unknown, path: string): LabelSelector {
  const fields = record(value, path);
  const unknown = Object.keys(fields).find((name) => !SELECTOR_FIELDS.has(name));
  if (unknown !== undefined) throw wrong(`${path}.${unknown}`, 'is no part of a label selector');
  const matchLabels = record(fields['matchLabels'] ?? {}, `${path}.matchLabels`);
  const labels = Object.entries(matchLabels).map(([key, wanted]): readonly [string, string] => {
    if (typeof wanted === 'string') return [key, wanted];
    throw wrong(`${path}.matchLabels.${key}`, 'is not a text');
  });
  const expressions = list(fields['matchExpressions'] ?? [], `${path}.matchExpressions`);
  return {
    matchLabels: Object.fromEntries(labels),
    matchExpressions: expressions.map((expression, i) =>
      labelExpression(expression, `${path}.matchExpressions[${i}]`),
    ),
  };
}

function labelExpression(value: unknown, path: string) {
  const { key, operator, values } = record(value, path);
  const given = list(values ?? [], `${path}.values`).map((one) => {
    if (typeof one === 'string') return one;
    throw wrong(`${path}.values`, 'is not a list of texts');
  });
  if (typeof operator !== 'string' || !operators.includes(operator)) {
    throw wrong(`${path}.operator`, `is none of ${operators.join(', ')}`);
  }
  const comparesValues = operator === 'In' || operator === 'NotIn';
  if (comparesValues !== given.length > 0) {
    throw wrong(`${path}.values`, comparesValues ? 'is empty' : `is not for ${operator}`);
  }
  return { key: text(key, `${path}.key`), operator, values: given };
}

/** Reads one mapping, and tells where what is wrong in it. */
export class Fields {
  readonly path: string;
  private readonly fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown, path: string) {
    this.path = path;
    this.fields = record(value, path);
  }

  /** Fields may also be written as the protocol buffer names them: `access_log_file`. */
  value(name: string): unknown {
    return this.fields[name] ?? this.fields[snakeCase(name)] ?? undefined;
  }

  /** Of all fields that are there, as {@link value} takes them. */
  names(): string[] {
    return Object.keys(this.fields).map((name) =>
      name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()),
    );
  }

  at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  optionalText(name: string): string | undefined {
    const value = this.value(name);
    return value === undefined ? undefined : text(value, this.at(name));
  }

  /** A text that may also be empty, which is what it is when it isn't there. */
  maybeEmpty(name: string): string {
    const value = this.value(name) ?? '';
    if (typeof value === 'string') return value;
    throw wrong(this.at(name), 'is not a text');
  }

  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.value(name) ?? values[0];
    const found = values.find((one) => one === value);
    if (found === undefined) throw wrong(this.at(name), `is none of ${values.join(', ')}`);
    return found;
  }

  integer(name: string, max: number): number {
    const value = this.value(name);
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw wrong(this.at(name), `is not a number from 1 to ${max}`);
  }

  durationMs(name: string): number | undefined {
    const value = this.optionalText(name);
    const ms = parseProtoDuration(value);
    if (value !== undefined && ms === undefined) throw wrong(this.at(name), 'is not a time such as 5s');
    return ms;
  }

  flag(name: string): boolean {
    const value = this.value(name) ?? false;
    if (typeof value === 'boolean') return value;
    throw wrong(this.at(name), 'is neither true nor false');
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
