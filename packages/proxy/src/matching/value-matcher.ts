import type { envoy } from '@weft/api/envoy';
import type { MetadataValue } from '../engine/types.ts';
import { at, invalid } from './invalid.ts';
import { compileStringMatcher } from './string-matcher.ts';

/** Dynamic metadata: a Struct per namespace. */
export type MetadataLookup = (namespace: string) => MetadataValue | undefined;
export type ValuePredicate = (value: MetadataValue | undefined) => boolean;

export function compileValueMatcher(matcher: envoy.type.matcher.v3.ValueMatcher.$Properties): ValuePredicate {
  switch (matcher.matchPattern) {
    case 'nullMatch':
      return (value) => value === null;
    case 'boolMatch':
      return (value) => value === matcher.boolMatch;
    case 'doubleMatch':
      return compileDouble(matcher.doubleMatch ?? {});
    case 'stringMatch': {
      const matches = at('string_match', () => compileStringMatcher(matcher.stringMatch ?? {}));
      return (value) => typeof value === 'string' && matches(value);
    }
    case 'presentMatch':
      return (value) => (value !== undefined && value !== null) === matcher.presentMatch;
    case 'listMatch': {
      const { oneOf } = matcher.listMatch ?? {};
      if (oneOf === undefined || oneOf === null) return invalid('value is required', 'list_match.one_of');
      const matches = at('list_match.one_of', () => compileValueMatcher(oneOf));
      return (value) => Array.isArray(value) && value.some((element: MetadataValue) => matches(element));
    }
    case 'orMatch': {
      const alternatives = (matcher.orMatch?.valueMatchers ?? []).map((m, i) =>
        at(`or_match.value_matchers[${i}]`, () => compileValueMatcher(m)),
      );
      return (value) => alternatives.some((matches) => matches(value));
    }
    default:
      return invalid('match_pattern is required');
  }
}

/** Walks `path` from the namespace's Struct; a missing step gives undefined to the value matcher. */
export function compileMetadataMatcher(
  matcher: envoy.type.matcher.v3.MetadataMatcher.$Properties,
): (metadata: MetadataLookup) => boolean {
  const namespace = matcher.filter ?? '';
  const path = (matcher.path ?? []).map((segment) => segment.key ?? '');
  if (namespace === '') invalid('must not be empty', 'filter');
  if (path.length === 0) invalid('must not be empty', 'path');
  const { value } = matcher;
  if (value === undefined || value === null) return invalid('value is required', 'value');
  const matches = at('value', () => compileValueMatcher(value));
  const invert = matcher.invert === true;
  return (metadata) => matches(valueAt(metadata(namespace), path)) !== invert;
}

export function valueAt(root: MetadataValue | undefined, path: readonly string[]): MetadataValue | undefined {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    // A claim named like a member of Object.prototype is still just a claim.
    if (!Object.hasOwn(value, key)) return undefined;
    value = (value as { readonly [key: string]: MetadataValue })[key]; // arrays are excluded above
  }
  return value;
}

function compileDouble(matcher: envoy.type.matcher.v3.DoubleMatcher.$Properties): ValuePredicate {
  const { range } = matcher;
  if (range !== undefined && range !== null) {
    const { start, end } = range;
    return (value) => typeof value === 'number' && value >= (start ?? 0) && value < (end ?? 0);
  }
  return (value) => value === (matcher.exact ?? 0);
}
