import type { envoy } from '@weft/api/envoy';
import type {
  AnyRouteFacts,
  GrpcRouteMatch,
  HttpRouteMatch,
  ValueMatch,
} from '../sources/gateway-objects.ts';
import { escape } from './rbac-principals.ts';

type RouteMatch = envoy.config.route.v3.RouteMatch.$Properties;
type HeaderMatcher = envoy.config.route.v3.HeaderMatcher.$Properties;

/** One match of a rule, with what decides before which others it is tried. */
export interface RankedMatch {
  readonly match: RouteMatch;
  readonly rank: MatchRank;
  /** The element-wise prefix, for rewrites that replace it. */
  readonly prefix: string | undefined;
}

interface MatchRank {
  readonly path: 'exact' | 'prefix' | 'regex';
  readonly pathLength: number;
  readonly hasMethod: boolean;
  readonly headers: number;
  readonly queryParams: number;
}

/** A rule without matches matches everything. */
export function routeMatches(route: AnyRouteFacts, rule: number): RankedMatch[] {
  if (route.kind === 'HTTPRoute') {
    const { matches = [] } = route.rules[rule] ?? {};
    return (matches.length === 0 ? [{}] : matches).map(httpMatch);
  }
  const { matches = [] } = route.rules[rule] ?? {};
  return (matches.length === 0 ? [{}] : matches).map(grpcMatch);
}

const pathOrder = { exact: 0, prefix: 1, regex: 2 } as const;

/** The Gateway API's precedence: negative when `a` is to be tried first. Ties are left to the caller. */
export function compareRank(a: MatchRank, b: MatchRank): number {
  return (
    pathOrder[a.path] - pathOrder[b.path] ||
    b.pathLength - a.pathLength ||
    Number(b.hasMethod) - Number(a.hasMethod) ||
    b.headers - a.headers ||
    b.queryParams - a.queryParams
  );
}

function httpMatch({ path = {}, headers = [], queryParams = [], method }: HttpRouteMatch): RankedMatch {
  const { type = 'PathPrefix', value = '/' } = path;
  const kind = type === 'Exact' ? 'exact' : type === 'PathPrefix' ? 'prefix' : 'regex';
  const methodMatch: HeaderMatcher[] =
    method === undefined ? [] : [{ name: ':method', stringMatch: { exact: method } }];
  const prefix = kind === 'prefix' ? trimmedPrefix(value) : undefined;
  return {
    match: {
      ...pathMatch(kind, prefix ?? value),
      headers: [...methodMatch, ...firstOfEach(headers, lowerCase).map(headerMatcher)],
      queryParameters: firstOfEach(queryParams, (name) => name).map((param) => ({
        name: param.name,
        stringMatch: stringMatcher(param),
      })),
    },
    rank: {
      path: kind,
      pathLength: value.length,
      hasMethod: method !== undefined,
      headers: headers.length,
      queryParams: queryParams.length,
    },
    prefix,
  };
}

function grpcMatch({ method = {}, headers = [] }: GrpcRouteMatch): RankedMatch {
  const { service, method: name, type = 'Exact' } = method;
  const matchers = firstOfEach(headers, lowerCase).map(headerMatcher);
  const ranked = (path: RankedMatch['rank']['path'], value: string): RankedMatch => ({
    match: { ...pathMatch(path, value), headers: matchers },
    rank: { path, pathLength: value.length, hasMethod: false, headers: headers.length, queryParams: 0 },
    prefix: undefined,
  });
  if (type === 'RegularExpression') return ranked('regex', `/${service ?? '[^/]+'}/${name ?? '.+'}`);
  if (service !== undefined && name !== undefined) return ranked('exact', `/${service}/${name}`);
  if (service !== undefined) return ranked('prefix', `/${service}`);
  return name === undefined ? ranked('prefix', '/') : ranked('regex', `/[^/]+/${escape(name)}`);
}

function pathMatch(kind: RankedMatch['rank']['path'], value: string): RouteMatch {
  switch (kind) {
    case 'exact':
      return { path: value };
    case 'regex':
      return { safeRegex: { regex: value } };
    case 'prefix':
      // A path of `/` alone is no element, so everything matches.
      return value === '/' ? { prefix: '/' } : { pathSeparatedPrefix: value };
  }
}

function trimmedPrefix(value: string): string {
  const trimmed = value.replace(/\/+$/, '');
  return trimmed === '' ? '/' : trimmed;
}

function headerMatcher(header: ValueMatch): HeaderMatcher {
  return { name: header.name, stringMatch: stringMatcher(header) };
}

function stringMatcher({
  type = 'Exact',
  value,
}: ValueMatch): envoy.type.matcher.v3.StringMatcher.$Properties {
  return type === 'Exact' ? { exact: value } : { safeRegex: { regex: value } };
}

/** Of equal names only the first counts. */
function firstOfEach(matches: readonly ValueMatch[], key: (name: string) => string): readonly ValueMatch[] {
  const seen = new Set<string>();
  return matches.filter(({ name }) => !seen.has(key(name)) && seen.add(key(name)));
}

function lowerCase(name: string): string {
  return name.toLowerCase();
}
