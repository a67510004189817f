import type { envoy } from '@weft/api/envoy';
import type { HeaderMap } from '../../engine/types.ts';

type Provider = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.$Properties;

/** One place where a provider's tokens may be. */
export interface TokenLocation {
  /** Tokens found there: every header line counts, so that a second one can't hide behind a good first. */
  find(headers: HeaderMap): readonly string[];
  /** Takes them out of the request, when the provider doesn't forward them. */
  remove(headers: HeaderMap): void;
}

/** The provider's places; without any, `Authorization: Bearer` and the query's `access_token`. */
export function tokenLocations(provider: Provider): readonly TokenLocation[] {
  const { fromHeaders, fromParams, fromCookies } = provider;
  const locations = [
    ...(fromHeaders ?? []).map((h) => headerLocation(h.name ?? '', h.valuePrefix ?? '')),
    ...(fromParams ?? []).map(paramLocation),
    ...(fromCookies ?? []).map(cookieLocation),
  ];
  return locations.length > 0
    ? locations
    : [headerLocation('authorization', 'Bearer '), paramLocation('access_token')];
}

function headerLocation(name: string, prefix: string): TokenLocation {
  return {
    find: (headers) =>
      headers
        .getAll(name)
        .filter((line) => line.startsWith(prefix))
        .map((line) => line.slice(prefix.length).trim()),
    remove: (headers) => void headers.delete(name),
  };
}

function paramLocation(name: string): TokenLocation {
  return {
    find: (headers) =>
      queryPairs(headers)
        .filter(([key]) => key === name)
        .map(([, value]) => value),
    remove: (headers) => {
      const { path = '' } = headers;
      const start = path.indexOf('?');
      if (start < 0) return;
      const kept = path
        .slice(start + 1)
        .split('&')
        .filter((pair) => keyOf(pair) !== name)
        .join('&');
      headers.path = path.slice(0, start) + (kept === '' ? '' : `?${kept}`);
    },
  };
}

function cookieLocation(name: string): TokenLocation {
  const pairs = (line: string): readonly string[] => line.split(';').map((pair) => pair.trim());
  return {
    find: (headers) =>
      headers
        .getAll('cookie')
        .flatMap(pairs)
        .filter((pair) => keyOf(pair) === name)
        .map((pair) => pair.slice(name.length + 1).replace(/^"(.*)"$/, '$1')),
    remove: (headers) => {
      const kept = headers
        .getAll('cookie')
        .flatMap(pairs)
        .filter((pair) => pair !== '' && keyOf(pair) !== name);
      headers.delete('cookie');
      if (kept.length > 0) headers.set('cookie', kept.join('; '));
    },
  };
}

function queryPairs(headers: HeaderMap): readonly (readonly [string, string])[] {
  const [, query = ''] = (headers.path ?? '').split('#', 1)[0]?.split(/\?(.*)/s) ?? [];
  return query.split('&').map((pair) => [keyOf(pair), pair.slice(keyOf(pair).length + 1)] as const);
}

function keyOf(pair: string): string {
  const equals = pair.indexOf('=');
  return equals < 0 ? pair : pair.slice(0, equals);
}
