import { isObject, type JsonValue, member } from '../schema/index.ts';

/** One step into a value. */
type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'all' }
  | {
      readonly kind: 'filter';
      readonly path: readonly Step[];
      readonly operator: string;
      readonly value: JsonValue;
    };

export type JsonPath = readonly Step[];

/**
 * The subset of JSONPath that printer columns use: `.a.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, and filters such as
 * `[?(@.type=="Ready")]`. Returns undefined for anything else.
 */
export function parseJsonPath(text: string): JsonPath | undefined {
  const steps: Step[] = [];
  const body = text
    .trim()
    .replace(/^\{(.*)\}$/s, '$1')
    .replace(/^\$/, '');
  let rest = body.startsWith('.') || body.startsWith('[') ? body : `.${body}`;
  while (rest !== '' && rest !== '.') {
    const match = token.exec(rest);
    if (match === null) return undefined;
    const step = stepOf(match.groups ?? {});
    if (step === undefined) return undefined;
    steps.push(step);
    rest = rest.slice(match[0].length);
  }
  return steps;
}

const token =
  /^(?:\.(?<field>(?:[^.[\]\\]|\\.)+)|\[(?<index>-?\d+)\]|(?<all>\[\*\]|\.\*)|\[(?<quote>['"])(?<quoted>.*?)\k<quote>\]|\[\?\(\s*@(?<path>[^=!<>\s]*)\s*(?<operator>==|!=|>=|<=|>|<)\s*(?<value>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\])/;

function stepOf(groups: Readonly<Record<string, string | undefined>>): Step | undefined {
  const { field, index, quoted, path, operator, value } = groups;
  if (groups['all'] !== undefined || field === '*') return { kind: 'all' };
  if (index !== undefined) return { kind: 'index', index: Number(index) };
  const name = field?.replaceAll(/\\(.)/g, '$1') ?? quoted;
  if (name !== undefined) return { kind: 'field', name };
  const inner = path === undefined ? undefined : parseJsonPath(path);
  if (inner === undefined || operator === undefined || value === undefined) return undefined;
  return { kind: 'filter', path: inner, operator, value: literal(value) };
}

function literal(text: string): JsonValue {
  if (/^['"]/.test(text)) return text.slice(1, -1);
  if (text === 'true' || text === 'false') return text === 'true';
  return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text;
}

/** All values that the path leads to. */
export function evaluateJsonPath(path: JsonPath, value: JsonValue): JsonValue[] {
  return path.reduce<JsonValue[]>((values, step) => values.flatMap((entry) => follow(step, entry)), [value]);
}

function follow(step: Step, value: JsonValue): JsonValue[] {
  switch (step.kind) {
    case 'field': {
      const found = isObject(value) ? member(value, step.name) : undefined;
      return found === undefined ? [] : [found];
    }
    case 'index': {
      const found = Array.isArray(value) ? value.at(step.index) : undefined;
      return found === undefined ? [] : [found];
    }
    case 'all':
      return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    case 'filter':
      return (Array.isArray(value) ? value : []).filter((entry) => {
        const [left] = evaluateJsonPath(step.path, entry);
        return left !== undefined && compares(left, step.operator, step.value);
      });
  }
}

function compares(left: JsonValue, operator: string, right: JsonValue): boolean {
  if (operator === '==') return left === right;
  if (operator === '!=') return left !== right;
  const [a, b] = [Number(left), Number(right)];
  switch (operator) {
    case '>':
      return a > b;
    case '<':
      return a < b;
    case '>=':
      return a >= b;
    default:
      return a <= b;
  }
}
