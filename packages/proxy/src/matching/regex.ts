import { RE2JS } from 're2js';
import { at, invalid } from './invalid.ts';

/** Longest pattern in UTF-16 units, and largest compiled program: a peer of the control plane must not cost us memory. */
export const MAX_PATTERN_LENGTH = 16_384;
/** Istio's runtime value; Envoy warns at 100 by default. */
export const MAX_PROGRAM_SIZE = 32_768;

export interface RegexSource {
  readonly regex?: string | null;
}
export interface RegexSubstitution {
  readonly pattern?: RegexSource | null;
  readonly substitution?: string | null;
}

/** RE2, so that no pattern and no input backtracks. `true` only when the whole text matches. */
export function compileRegex(source: RegexSource): (text: string) => boolean {
  const pattern = compilePattern(source);
  return (text) => pattern.matches(text);
}

/** Replaces every match; `\1` in the substitution is a capture, `\0` the whole match, `\\` a backslash. */
export function compileRegexRewrite(rule: RegexSubstitution): (text: string) => string {
  const pattern = at('pattern', () => compilePattern(rule.pattern ?? {}));
  const parts = at('substitution', () => parseSubstitution(rule.substitution ?? '', pattern.groupCount()));
  return (text) => {
    const matcher = pattern.matcher(text);
    let out = '';
    let end = 0;
    while (matcher.find()) {
      out += text.slice(end, matcher.start());
      for (const part of parts) out += typeof part === 'string' ? part : (matcher.group(part) ?? '');
      end = matcher.end();
    }
    return out + text.slice(end);
  };
}

function compilePattern(source: RegexSource): RE2JS {
  const { regex } = source;
  if (regex === undefined || regex === null || regex === '') invalid('must not be empty', 'regex');
  if (regex.length > MAX_PATTERN_LENGTH) invalid(`longer than ${MAX_PATTERN_LENGTH} characters`, 'regex');
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(regex);
  } catch (error) {
    // The library throws its own errors only; their message names the fault and the place.
    invalid(error instanceof Error ? error.message : String(error), 'regex');
  }
  const size = pattern.programSize();
  if (size > MAX_PROGRAM_SIZE) invalid(`program size ${size} is above ${MAX_PROGRAM_SIZE}`, 'regex');
  return pattern;
}

/** Literal text, and the numbers of groups. */
function parseSubstitution(text: string, groups: number): readonly (string | number)[] {
  const parts: (string | number)[] = [];
  for (const [piece] of text.matchAll(/\\.?|[^\\]+/gs)) {
    if (!piece.startsWith('\\')) parts.push(piece);
    else if (piece === '\\\\') parts.push('\\');
    else if (!/^\\[0-9]$/.test(piece)) invalid('a backslash must be followed by a digit or a backslash');
    else {
      const group = Number(piece.slice(1));
      if (group > groups) invalid(`${piece} is beyond the ${groups} groups of the pattern`);
      parts.push(group);
    }
  }
  return parts;
}
