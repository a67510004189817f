import { envoy } from '@weft/api/envoy';
import type { CompileContext, ConnectionInfo } from '../engine/types.ts';
import { isLocal, ipOf, portOf } from './connection-input.ts';
import { parseRange, type IpRange } from './ip-range-table.ts';
import ipaddr from 'ipaddr.js';

type Match = envoy.config.listener.v3.FilterChainMatch.$Properties;
type CidrRange = envoy.config.core.v3.CidrRange.$Properties;
const { FilterChainMatch } = envoy.config.listener.v3;
const { ConnectionSourceType } = FilterChainMatch;

/** How specific one criterion's match is: higher wins, 0 matches anything, undefined doesn't match. */
type Score = (connection: ConnectionInfo) => number | undefined;

/**
 * Envoy's order: each criterion in turn keeps only the chains with the most specific match, and there is no way back:
 * a chain that was dropped is not tried when the survivors fail a later criterion.
 */
const CRITERIA: readonly ((match: Match, context: CompileContext) => Score)[] = [
  (match) => exact(match.destinationPort?.value ?? undefined, (c) => Number(portOf(c.localAddress))),
  (match, context) => ranges(match.prefixRanges, (c) => ipOf(c.localAddress), context.at('prefix_ranges')),
  (match, context) => serverNames(match.serverNames ?? [], context.at('server_names')),
  (match) => exact(match.transportProtocol || undefined, (c) => c.transportProtocol),
  (match) => anyOf(match.applicationProtocols ?? [], (c) => c.applicationProtocols),
  (match, context) =>
    ranges(
      match.directSourcePrefixRanges,
      (c) => ipOf(c.directRemoteAddress),
      context.at('direct_source_prefix_ranges'),
    ),
  (match) => sourceType(match.sourceType ?? 0),
  (match, context) =>
    ranges(match.sourcePrefixRanges, (c) => ipOf(c.remoteAddress), context.at('source_prefix_ranges')),
  (match) => anyOf(match.sourcePorts ?? [], (c) => [Number(portOf(c.remoteAddress))]),
];

export interface MatchedChain<T> {
  readonly match: Match;
  readonly chain: T;
}

/** Chooses among filter chains by their `filter_chain_match`. Two chains with equal matches are an error. */
export function filterChainSelector<T>(
  chains: readonly MatchedChain<T>[],
  context: CompileContext,
): (connection: ConnectionInfo) => T | undefined {
  const seen = new Set<string>();
  const candidates = chains.map(({ match, chain }, i) => {
    const at = context.at(`filter_chains[${i}].filter_chain_match`);
    const key = Buffer.from(FilterChainMatch.encode({ ...match }).finish()).toString('base64');
    if (seen.has(key)) at.fail('has the same matching rules as another filter chain');
    seen.add(key);
    return { chain, scores: CRITERIA.map((criterion) => criterion(match, at)) };
  });
  if (candidates.length === 1 && isCatchAll(chains[0]?.match ?? {})) return () => candidates[0]?.chain;
  return (connection) => {
    let left: readonly (typeof candidates)[number][] = candidates;
    for (let i = 0; i < CRITERIA.length; i++) {
      let best = -1;
      let kept: (typeof candidates)[number][] = [];
      for (const candidate of left) {
        const score = candidate.scores[i]?.(connection);
        if (score === undefined || score < best) continue;
        if (score > best) kept = [];
        best = score;
        kept.push(candidate);
      }
      if (kept.length === 0) return undefined;
      left = kept;
    }
    return left[0]?.chain;
  };
}

function isCatchAll(match: Match): boolean {
  return FilterChainMatch.encode(match).finish().length === 0;
}

function exact<V>(wanted: V | undefined, input: (c: ConnectionInfo) => V): Score {
  if (wanted === undefined) return () => 0;
  return (c) => (input(c) === wanted ? 1 : undefined);
}

function anyOf<V>(wanted: readonly V[], input: (c: ConnectionInfo) => readonly V[]): Score {
  if (wanted.length === 0) return () => 0;
  return (c) => (input(c).some((value) => wanted.includes(value)) ? 1 : undefined);
}

function sourceType(type: number): Score {
  if (type === ConnectionSourceType.SAME_IP_OR_LOOPBACK) return (c) => (isLocal(c) ? 1 : undefined);
  if (type === ConnectionSourceType.EXTERNAL) return (c) => (isLocal(c) ? undefined : 1);
  return () => 0;
}

function ranges(
  list: readonly CidrRange[] | null | undefined,
  input: (c: ConnectionInfo) => string | undefined,
  context: CompileContext,
): Score {
  if (!list || list.length === 0) return () => 0;
  const parsed: IpRange[] = list.map(
    (range, i) =>
      parseRange(range.addressPrefix ?? '', range.prefixLen?.value ?? 0) ??
      context
        .at(`[${i}]`)
        .fail(`"${range.addressPrefix}/${range.prefixLen?.value ?? 0}" is no address range`),
  );
  return (c) => {
    const ip = input(c);
    if (ip === undefined || !ipaddr.isValid(ip)) return undefined;
    const bytes = ipaddr.process(ip).toByteArray();
    let best: number | undefined;
    for (const range of parsed) {
      if (contains(range, bytes) && range.prefixLength + 1 > (best ?? 0)) best = range.prefixLength + 1;
    }
    return best;
  };
}

function contains(range: IpRange, bytes: readonly number[]): boolean {
  if (range.bytes.length !== bytes.length) return false;
  const whole = range.prefixLength >> 3;
  for (let i = 0; i < whole; i++) if (range.bytes[i] !== bytes[i]) return false;
  const rest = range.prefixLength & 7;
  return (
    rest === 0 || (((range.bytes[whole] ?? 0) ^ (bytes[whole] ?? 0)) & (0xff << (8 - rest)) & 0xff) === 0
  );
}

/** An exact name beats any wildcard, a longer wildcard a shorter one; `*` is no name of its own. */
function serverNames(names: readonly string[], context: CompileContext): Score {
  if (names.length === 0) return () => 0;
  const patterns = names.map((name, i) => {
    if (name.includes('*') && !/^\*\.[^*]+$/.test(name))
      context.at(`[${i}]`).fail('partial wildcards are not supported');
    return name.toLowerCase();
  });
  return (c) => {
    const server = c.requestedServerName;
    if (server === undefined) return undefined;
    let best: number | undefined;
    for (const pattern of patterns) {
      const score = pattern.startsWith('*')
        ? wildcard(pattern, server)
        : pattern === server
          ? EXACT_NAME
          : undefined;
      if (score !== undefined && score > (best ?? 0)) best = score;
    }
    return best;
  };
}

/** Longer than any DNS name. */
const EXACT_NAME = 1_000;

function wildcard(pattern: string, server: string): number | undefined {
  const suffix = pattern.slice(1);
  return server.length > suffix.length && server.endsWith(suffix) ? suffix.length : undefined;
}
