import type { envoy } from '@weft/api/envoy';
import type { HeaderMap } from '../engine/types.ts';
import { at, invalid } from './invalid.ts';
import { compileRegex } from './regex.ts';
import { compileStringMatcher, type StringPredicate } from './string-matcher.ts';

export type HeaderPredicate = (headers: HeaderMap) => boolean;
export type HeaderMatcherConfig = envoy.config.route.v3.HeaderMatcher.$Properties;

/**
 * One header's condition (l7-proxy §3.2). Lines are matched **one by one, and any may match**; a line `1,2` is one
 * value. `invert_match` asks that no line matches. An absent header fails a value condition, inverted or not, unless
 * it is to be treated as empty; inverted presence is absence.
 */
export function compileHeaderMatcher(matcher: HeaderMatcherConfig): HeaderPredicate {
  const name = (matcher.name ?? '').toLowerCase();
  if (name === '') invalid('must not be empty', 'name');
  const invert = matcher.invertMatch === true;
  const present = presence(matcher);
  if (present !== undefined) return (headers) => (headers.has(name) === present) !== invert;

  const value = valuePredicate(matcher);
  const emptyWhenMissing = matcher.treatMissingHeaderAsEmpty === true;
  return (headers) => {
    const values = headers.getAll(name);
    if (values.length === 0) return emptyWhenMissing ? value('') !== invert : false;
    return values.some(value) !== invert;
  };
}

/** All of several; an empty list is true. */
export function compileHeaderMatchers(matchers: readonly HeaderMatcherConfig[]): HeaderPredicate {
  const predicates = matchers.map((m, i) => at(`[${i}]`, () => compileHeaderMatcher(m)));
  return (headers) => predicates.every((matches) => matches(headers));
}

function presence(matcher: HeaderMatcherConfig): boolean | undefined {
  if (matcher.headerMatchSpecifier === 'presentMatch') return matcher.presentMatch ?? true;
  return matcher.headerMatchSpecifier === undefined ? true : undefined;
}

function valuePredicate(matcher: HeaderMatcherConfig): StringPredicate {
  switch (matcher.headerMatchSpecifier) {
    case 'stringMatch':
      return at('string_match', () => compileStringMatcher(matcher.stringMatch ?? {}));
    case 'exactMatch':
      return (text) => text === matcher.exactMatch;
    case 'prefixMatch':
      return (text) => text.startsWith(matcher.prefixMatch ?? '');
    case 'suffixMatch':
      return (text) => text.endsWith(matcher.suffixMatch ?? '');
    case 'containsMatch':
      return (text) => text.includes(matcher.containsMatch ?? '');
    case 'safeRegexMatch':
      return at('safe_regex_match', () => compileRegex(matcher.safeRegexMatch ?? {}));
    case 'rangeMatch': {
      const start = Number(matcher.rangeMatch?.start ?? 0);
      const end = Number(matcher.rangeMatch?.end ?? 0);
      // The whole value must be a decimal integer.
      return (text) => /^[+-]?\d{1,19}$/.test(text) && Number(text) >= start && Number(text) < end;
    }
    default:
      return invalid('header_match_specifier is not supported');
  }
}
