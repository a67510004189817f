import type { envoy } from '@weft/api/envoy';
import { at, invalid } from './invalid.ts';
import { compileRegex } from './regex.ts';

export type StringPredicate = (text: string) => boolean;
export type StringMatcherConfig = envoy.type.matcher.v3.StringMatcher.$Properties;

/** `ignore_case` is about ASCII, as in Envoy; a locale's rules must not let one policy mean two things. */
export function compileStringMatcher(matcher: StringMatcherConfig): StringPredicate {
  const fold = matcher.ignoreCase === true;
  const value = (text: string | null | undefined): string => (fold ? asciiLower(text ?? '') : (text ?? ''));
  const on = (predicate: StringPredicate): StringPredicate =>
    fold ? (text) => predicate(asciiLower(text)) : predicate;
  switch (matcher.matchPattern) {
    case 'exact': {
      const expected = value(matcher.exact);
      return on((text) => text === expected);
    }
    case 'prefix': {
      const prefix = nonEmpty(value(matcher.prefix), 'prefix');
      return on((text) => text.startsWith(prefix));
    }
    case 'suffix': {
      const suffix = nonEmpty(value(matcher.suffix), 'suffix');
      return on((text) => text.endsWith(suffix));
    }
    case 'contains': {
      const part = nonEmpty(value(matcher.contains), 'contains');
      return on((text) => text.includes(part));
    }
    case 'safeRegex':
      // Envoy ignores ignore_case for regexes.
      return at('safe_regex', () => compileRegex(matcher.safeRegex ?? {}));
    case 'custom':
      return invalid('custom string matchers are not supported', 'custom');
    default:
      return invalid('match_pattern is required');
  }
}

/** Any of several; true for none is never meant, so an empty list matches nothing. */
export function compileStringMatchers(matchers: readonly StringMatcherConfig[]): StringPredicate {
  const predicates = matchers.map((m, i) => at(`[${i}]`, () => compileStringMatcher(m)));
  return (text) => predicates.some((matches) => matches(text));
}

export function asciiLower(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (upper) => upper.toLowerCase()) : text;
}

function nonEmpty(text: string, path: string): string {
  return text === '' ? invalid('must not be empty', path) : text;
}
