import { RE2JS } from 're2js';

/** Beyond this, the pattern used longest ago is compiled anew. */
const MAX_COMPILED_PATTERNS = 2_000;

/** A memo of a pure function: patterns come from CRDs and repeat across their versions and objects. */
const compiled = new Map<string, RE2JS | undefined>();

/** Whether a text contains a match of an RE2 pattern; an invalid pattern matches everything, as nothing can say no. */
export function matchesPattern(pattern: string, text: string): boolean {
  let matcher = compiled.get(pattern);
  if (matcher === undefined && !compiled.has(pattern)) {
    matcher = compile(pattern);
    const [oldest] = compiled.keys();
    if (compiled.size >= MAX_COMPILED_PATTERNS && oldest !== undefined) compiled.delete(oldest);
    compiled.set(pattern, matcher);
  }
  return matcher === undefined || matcher.matcher(text).find();
}

function compile(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
}
