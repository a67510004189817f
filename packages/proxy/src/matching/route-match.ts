import { envoy, google } from '@weft/api/envoy';
import type { HeaderMap } from '../engine/types.ts';
import { compileHeaderMatchers } from './header-matcher.ts';
import { at, invalid } from './invalid.ts';
import { pathOf } from './path-matcher.ts';
import { compileRegex } from './regex.ts';
import { asciiLower, compileStringMatcher, type StringPredicate } from './string-matcher.ts';
import { compileUriTemplate } from './uri-template.ts';

type RouteMatch = envoy.config.route.v3.RouteMatch.$Properties;

const URI_TEMPLATE = 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';

/** The part of a route's condition that depends on the request alone: path, headers, query parameters, gRPC. */
export function compileRequestMatch(match: RouteMatch): (headers: HeaderMap) => boolean {
  const path = compilePathSpecifier(match);
  const headersMatch = at('headers', () => compileHeaderMatchers(match.headers ?? []));
  const query = compileQuery(match);
  const grpcOnly = match.grpc !== undefined && match.grpc !== null;
  return (headers) =>
    path(headers) &&
    headersMatch(headers) &&
    (!grpcOnly || isGrpcContentType(headers.get('content-type'))) &&
    query(headers);
}

/** `application/grpc` and `application/grpc+proto`, but not grpc-web; to the letter, as Envoy matches it. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|\+)/.test(contentType);
}

/** Query parameters as sent, not percent-decoded; the first occurrence counts. */
export function queryOf(target: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  const start = target.indexOf('?');
  if (start < 0) return parameters;
  const end = target.indexOf('#', start);
  for (const pair of target.slice(start + 1, end < 0 ? undefined : end).split('&')) {
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    if (!parameters.has(key)) parameters.set(key, equals < 0 ? '' : pair.slice(equals + 1));
  }
  return parameters;
}

function compilePathSpecifier(match: RouteMatch): (headers: HeaderMap) => boolean {
  if (match.pathSpecifier === 'connectMatcher') return (headers) => headers.method === 'CONNECT';
  const matches = compilePath(match);
  // CONNECT has no path to match, and its target must never be taken for one.
  return (headers) =>
    headers.method !== 'CONNECT' && headers.path !== undefined && matches(pathOf(headers.path));
}

function compilePath(match: RouteMatch): StringPredicate {
  const fold = match.caseSensitive?.value === false;
  const text = (value: string | null | undefined): string => (fold ? asciiLower(value ?? '') : (value ?? ''));
  const on = (predicate: StringPredicate): StringPredicate =>
    fold ? (path) => predicate(asciiLower(path)) : predicate;
  switch (match.pathSpecifier) {
    case 'prefix': {
      const prefix = text(match.prefix);
      return on((path) => path.startsWith(prefix));
    }
    case 'path': {
      const expected = text(match.path);
      return on((path) => path === expected);
    }
    case 'pathSeparatedPrefix': {
      const prefix = text(match.pathSeparatedPrefix);
      if (!/^\/[^?#]*[^?#/]$/.test(prefix)) {
        invalid('must begin with "/", not end with it, and hold no "?" or "#"', 'path_separated_prefix');
      }
      return on((path) => path === prefix || path.startsWith(`${prefix}/`));
    }
    case 'safeRegex':
      return at('safe_regex', () => compileRegex(match.safeRegex ?? {}));
    case 'pathMatchPolicy':
      return at('path_match_policy', () => compilePolicy(match.pathMatchPolicy ?? {}));
    default:
      return invalid('path_specifier is required');
  }
}

function compilePolicy(config: envoy.config.core.v3.TypedExtensionConfig.$Properties): StringPredicate {
  const any = google.protobuf.Any.create(config.typedConfig ?? {});
  if (!any.type_url.endsWith(`/${URI_TEMPLATE}`))
    invalid(`"${any.type_url}" is not supported`, 'typed_config');
  const { pathTemplate } = envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig.decode(
    any.value,
  );
  const template = at('typed_config.path_template', () => compileUriTemplate(pathTemplate));
  return (path) => template.match(path) !== undefined;
}

function compileQuery({ queryParameters }: RouteMatch): (headers: HeaderMap) => boolean {
  const parameters = (queryParameters ?? []).map((p, i) =>
    at(`query_parameters[${i}]`, () => compileQueryParameter(p)),
  );
  if (parameters.length === 0) return () => true;
  return (headers) => {
    const query = queryOf(headers.path ?? '');
    return parameters.every((matches) => matches(query));
  };
}

function compileQueryParameter(
  matcher: envoy.config.route.v3.QueryParameterMatcher.$Properties,
): (query: ReadonlyMap<string, string>) => boolean {
  const name = matcher.name ?? '';
  if (name === '') invalid('must not be empty', 'name');
  const { stringMatch } = matcher;
  if (stringMatch) {
    const matches = at('string_match', () => compileStringMatcher(stringMatch));
    return (query) => {
      const value = query.get(name);
      return value !== undefined && matches(value);
    };
  }
  const present = matcher.presentMatch ?? true;
  return (query) => query.has(name) === present;
}
