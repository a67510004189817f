import type { envoy } from '@weft/api/envoy';
import { at, invalid } from './invalid.ts';
import { compileStringMatcher, type StringPredicate } from './string-matcher.ts';

/** `:path` without query and fragment. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
}

/** Matches `:path`, query and fragment excluded. */
export function compilePathMatcher(matcher: envoy.type.matcher.v3.PathMatcher.$Properties): StringPredicate {
  const { path } = matcher;
  if (path === undefined || path === null) invalid('rule is required');
  const matches = at('path', () => compileStringMatcher(path));
  return (target) => matches(pathOf(target));
}
