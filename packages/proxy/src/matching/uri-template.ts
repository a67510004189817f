import { invalid } from './invalid.ts';

/** Envoy's bounds. */
const MAX_VARIABLES = 5;
const MAX_NAME_LENGTH = 16;

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly name?: string }
  | { readonly kind: 'rest'; readonly name?: string };

export interface UriTemplate {
  /** The variables, or undefined when the path (without query) doesn't match. */
  match(path: string): ReadonlyMap<string, string> | undefined;
}

/**
 * `*` is one non-empty segment, `**` the rest (last only, may be empty after its slash), `{name}` a named `*`,
 * `{name=pattern}` a named pattern. `/t/{a}/x/{b=**}` matches `/t/1/x/`, not `/t/1/x`.
 */
export function compileUriTemplate(template: string): UriTemplate {
  const segments = parse(template);
  return { match: (path) => matchSegments(segments, path) };
}

function parse(template: string): readonly Segment[] {
  if (!template.startsWith('/')) invalid('must start with "/"');
  const segments: Segment[] = [];
  const names = new Set<string>();
  // A variable's pattern may itself hold slashes: `{n=/a/*}` is not split there.
  for (const text of splitOutsideBraces(template.slice(1))) segments.push(parseSegment(text, names));
  const rest = segments.findIndex((s) => s.kind === 'rest');
  if (rest >= 0 && rest !== segments.length - 1) invalid('"**" must be last');
  return segments;
}

function splitOutsideBraces(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{') depth++;
    else if (c === '}') depth--;
    else if (c === '/' && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
    if (depth < 0 || depth > 1) invalid('braces must be balanced and not nested');
  }
  if (depth !== 0) invalid('braces must be balanced');
  parts.push(text.slice(start));
  return parts;
}

function parseSegment(text: string, names: Set<string>): Segment {
  if (text === '*') return { kind: 'one' };
  if (text === '**') return { kind: 'rest' };
  if (!text.startsWith('{')) {
    // Envoy's literal alphabet: RFC 3986 pchar, without "*" which would look like a wildcard.
    if (!/^[-A-Za-z0-9._~%!$&'()+,;=:@]*$/.test(text)) invalid(`"${text}" is no literal path segment`);
    return { kind: 'literal', text };
  }
  if (!text.endsWith('}')) invalid(`"${text}" mixes a variable with text`);
  const [name = '', pattern = '*'] = text.slice(1, -1).split('=', 2);
  if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(name) || name.length > MAX_NAME_LENGTH) {
    invalid(`"${name}" is no variable name`);
  }
  if (names.has(name)) invalid(`variable "${name}" is used twice`);
  if (names.size === MAX_VARIABLES) invalid(`more than ${MAX_VARIABLES} variables`);
  names.add(name);
  if (pattern === '*') return { kind: 'one', name };
  if (pattern === '**') return { kind: 'rest', name };
  return invalid(`pattern "${pattern}" of variable "${name}" is not supported`);
}

function matchSegments(segments: readonly Segment[], path: string): ReadonlyMap<string, string> | undefined {
  if (!path.startsWith('/')) return undefined;
  const variables = new Map<string, string>();
  let at = 1;
  for (const [i, segment] of segments.entries()) {
    if (segment.kind === 'rest') {
      if (segment.name !== undefined) variables.set(segment.name, path.slice(at));
      return variables;
    }
    const slash = path.indexOf('/', at);
    const end = slash < 0 ? path.length : slash;
    const text = path.slice(at, end);
    if (segment.kind === 'literal' ? text !== segment.text : text === '') return undefined;
    if (segment.kind === 'one' && segment.name !== undefined) variables.set(segment.name, text);
    if (slash < 0 !== (i === segments.length - 1)) return undefined;
    at = end + 1;
  }
  return variables;
}
