import protobuf from 'protobufjs/minimal.js';
import { xds } from '@weft/api/envoy';
import { TYPE_PREFIX, typedConfig } from '../config/typed-config.ts';
import type { CompileContext, ConnectionInfo } from '../engine/types.ts';
import { IpRangeTable, parseRange } from './ip-range-table.ts';
import { connectionInput, type ConnectionInput } from './connection-input.ts';

/** The chosen name, or undefined: nothing matched. */
export type ConnectionMatcher = (connection: ConnectionInfo) => string | undefined;

type Matcher = xds.type.matcher.v3.Matcher.$Properties;
type OnMatch = xds.type.matcher.v3.Matcher.OnMatch.$Properties;
type MatcherTree = xds.type.matcher.v3.Matcher.MatcherTree.$Properties;
type Predicate = xds.type.matcher.v3.Matcher.MatcherList.Predicate.$Properties;
type Extension = xds.core.v3.TypedExtensionConfig.$Properties;
type Test = (connection: ConnectionInfo) => boolean;

const IP_MATCHER = `${TYPE_PREFIX}xds.type.matcher.v3.IPMatcher`;
const STRING_VALUE = `${TYPE_PREFIX}google.protobuf.StringValue`;

/**
 * Compiles a `xds.type.matcher.v3.Matcher` over connections whose actions are names (StringValue), as
 * `filter_chain_matcher` has it.
 */
export function connectionMatcher(matcher: Matcher, context: CompileContext): ConnectionMatcher {
  const otherwise = matcher.onNoMatch ? onMatch(matcher.onNoMatch, context.at('on_no_match')) : undefined;
  const matched = matchedBy(matcher, context);
  return (connection) => matched(connection) ?? otherwise?.(connection);
}

function matchedBy(matcher: Matcher, context: CompileContext): ConnectionMatcher {
  if (matcher.matcherTree) return tree(matcher.matcherTree, context.at('matcher_tree'));
  if (!matcher.matcherList) return () => undefined;
  const list = context.at('matcher_list');
  const entries = (matcher.matcherList.matchers ?? []).map((entry, i) => {
    const at = list.at(`matchers[${i}]`);
    const test = predicate(entry.predicate ?? {}, at.at('predicate'));
    return { test, decide: onMatch(entry.onMatch ?? {}, at.at('on_match')) };
  });
  // The first entry whose predicate holds and whose own matcher, if it is one, finds something.
  return (connection) => {
    for (const { test, decide } of entries) {
      const found = test(connection) ? decide(connection) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

function onMatch(on: OnMatch, context: CompileContext): ConnectionMatcher {
  if (on.matcher) return connectionMatcher(on.matcher, context.at('matcher'));
  const action = typedConfig(on.action?.typedConfig, context.at('action'));
  if (action?.typeUrl !== STRING_VALUE) {
    return context.at('action').fail(`needs a StringValue, got ${action?.typeUrl ?? 'nothing'}`);
  }
  const value = stringValue(action.value);
  return () => value;
}

/** google.protobuf.StringValue, which no message of ours names as a type. */
function stringValue(bytes: Uint8Array): string {
  const reader = protobuf.Reader.create(bytes);
  let value = '';
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) value = reader.string();
    else reader.skipType(tag & 7);
  }
  return value;
}

function tree(matcherTree: MatcherTree, context: CompileContext): ConnectionMatcher {
  const input = inputOf(matcherTree.input, context.at('input'));
  if (matcherTree.exactMatchMap) {
    const at = context.at('exact_match_map');
    const map = new Map(
      Object.entries(matcherTree.exactMatchMap.map ?? {}).map(([key, on]) => [
        key,
        onMatch(on, at.at(`map["${key}"]`)),
      ]),
    );
    return (connection) => {
      const value = input(connection);
      return value === undefined ? undefined : map.get(value)?.(connection);
    };
  }
  if (matcherTree.prefixMatchMap) {
    const at = context.at('prefix_match_map');
    const prefixes = Object.entries(matcherTree.prefixMatchMap.map ?? {})
      .map(([prefix, on]) => ({ prefix, decide: onMatch(on, at.at(`map["${prefix}"]`)) }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
    return (connection) => {
      const value = input(connection);
      return prefixes.find(({ prefix }) => value?.startsWith(prefix))?.decide(connection);
    };
  }
  return customTree(matcherTree.customMatch, input, context.at('custom_match'));
}

function customTree(
  custom: Extension | null | undefined,
  input: ConnectionInput,
  context: CompileContext,
): ConnectionMatcher {
  const config = typedConfig(custom?.typedConfig, context);
  if (config?.typeUrl !== IP_MATCHER) {
    return context.fail(`no implementation for ${config?.typeUrl ?? 'a tree without matcher'}`);
  }
  const table = new IpRangeTable<ConnectionMatcher>();
  const { rangeMatchers } = xds.type.matcher.v3.IPMatcher.decode(config.value);
  rangeMatchers.forEach((entry, i) => {
    const at = context.at(`range_matchers[${i}]`);
    const decide = onMatch(entry.onMatch ?? {}, at.at('on_match'));
    (entry.ranges ?? []).forEach((range, j) => {
      const parsed = parseRange(range.addressPrefix ?? '', range.prefixLen?.value ?? 0);
      if (parsed === undefined)
        return at.at(`ranges[${j}]`).fail(`"${range.addressPrefix}" is no address range`);
      table.add(parsed, { value: decide, exclusive: entry.exclusive ?? false });
    });
  });
  return (connection) => {
    const ip = input(connection);
    if (ip === undefined) return undefined;
    // Longest prefix first; where its own matcher finds nothing, shorter ranges are tried unless it is exclusive.
    for (const { value, exclusive } of table.lookup(ip)) {
      const found = value(connection);
      if (found !== undefined || exclusive) return found;
    }
    return undefined;
  };
}

function predicate(p: Predicate, context: CompileContext): Test {
  const all = (list: readonly Predicate[] | null | undefined, name: string): Test[] =>
    (list ?? []).map((entry, i) => predicate(entry, context.at(`${name}.predicate[${i}]`)));
  if (p.orMatcher) {
    const tests = all(p.orMatcher.predicate, 'or_matcher');
    return (connection) => tests.some((test) => test(connection));
  }
  if (p.andMatcher) {
    const tests = all(p.andMatcher.predicate, 'and_matcher');
    return (connection) => tests.every((test) => test(connection));
  }
  if (p.notMatcher) {
    const test = predicate(p.notMatcher, context.at('not_matcher'));
    return (connection) => !test(connection);
  }
  const single = p.singlePredicate;
  if (!single) return context.fail('a predicate is required');
  const at = context.at('single_predicate');
  const input = inputOf(single.input, at.at('input'));
  if (!single.valueMatch) return at.fail('only value_match is supported');
  const test = stringTest(single.valueMatch, at.at('value_match'));
  return (connection) => {
    const value = input(connection);
    return value !== undefined && test(value);
  };
}

function stringTest(
  matcher: xds.type.matcher.v3.StringMatcher.$Properties,
  context: CompileContext,
): (value: string) => boolean {
  const fold = (text: string): string => (matcher.ignoreCase ? text.toLowerCase() : text);
  const { exact, prefix, suffix, contains } = matcher;
  switch (matcher.matchPattern) {
    case 'exact':
      return (value) => fold(value) === fold(exact ?? '');
    case 'prefix':
      return (value) => fold(value).startsWith(fold(prefix ?? ''));
    case 'suffix':
      return (value) => fold(value).endsWith(fold(suffix ?? ''));
    case 'contains':
      return (value) => fold(value).includes(fold(contains ?? ''));
    default:
      return context.fail(`${matcher.matchPattern ?? 'an empty matcher'} is not supported`);
  }
}

function inputOf(input: Extension | null | undefined, context: CompileContext): ConnectionInput {
  const config = typedConfig(input?.typedConfig, context);
  return config === undefined ? context.fail('an input is required') : connectionInput(config, context);
}
