import { envoy } from '@weft/api/envoy';
import type { HeaderModifier, PathModifier, RouteFilter } from '../sources/gateway-objects.ts';
import { any } from './any.ts';
import { escape } from './rbac-principals.ts';

type RouteAction = envoy.config.route.v3.RouteAction.$Properties;
type RedirectAction = envoy.config.route.v3.RedirectAction.$Properties;
type HeaderValueOption = envoy.config.core.v3.HeaderValueOption.$Properties;
type StringMatcher = envoy.type.matcher.v3.StringMatcher.$Properties;

const { HeaderAppendAction } = envoy.config.core.v3.HeaderValueOption;
const { RedirectResponseCode } = envoy.config.route.v3.RedirectAction;
const { CorsPolicy } = envoy.extensions.filters.http.cors.v3;

const filtersOfAll = ['RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestMirror'];
/** Filter types that become part of a route, by the route's kind. */
export const supportedFilters: Readonly<Record<'HTTPRoute' | 'GRPCRoute', readonly string[]>> = {
  HTTPRoute: [...filtersOfAll, 'RequestRedirect', 'URLRewrite', 'CORS'],
  GRPCRoute: filtersOfAll,
};
/** Filter types that a backend may have. */
export const supportedBackendFilters: readonly string[] = ['RequestHeaderModifier', 'ResponseHeaderModifier'];

/** Fields that routes and weighted clusters have alike. */
export interface HeaderChanges {
  readonly requestHeadersToAdd?: HeaderValueOption[];
  readonly requestHeadersToRemove?: string[];
  readonly responseHeadersToAdd?: HeaderValueOption[];
  readonly responseHeadersToRemove?: string[];
}

export function headerChanges(filters: readonly RouteFilter[]): HeaderChanges {
  const request = filters.flatMap(({ requestHeaderModifier }) => requestHeaderModifier ?? []);
  const response = filters.flatMap(({ responseHeaderModifier }) => responseHeaderModifier ?? []);
  return {
    ...(request.length === 0
      ? {}
      : { requestHeadersToAdd: additions(request), requestHeadersToRemove: removals(request) }),
    ...(response.length === 0
      ? {}
      : { responseHeadersToAdd: additions(response), responseHeadersToRemove: removals(response) }),
  };
}

/** A change of Host is a rewrite of the authority to Envoy. */
export function hostChange(filters: readonly RouteFilter[]): string | undefined {
  const rewritten = filters.find(({ urlRewrite }) => urlRewrite?.hostname !== undefined)?.urlRewrite
    ?.hostname;
  const set = filters
    .flatMap(({ requestHeaderModifier }) => requestHeaderModifier?.set ?? [])
    .find(({ name }) => name.toLowerCase() === 'host');
  return rewritten ?? set?.value;
}

function additions(modifiers: readonly HeaderModifier[]): HeaderValueOption[] {
  const { OVERWRITE_IF_EXISTS_OR_ADD, APPEND_IF_EXISTS_OR_ADD } = HeaderAppendAction;
  return modifiers.flatMap(({ set = [], add = [] }) => [
    ...distinct(set).map((header) => option(header, OVERWRITE_IF_EXISTS_OR_ADD)),
    ...distinct(add).map((header) => option(header, APPEND_IF_EXISTS_OR_ADD)),
  ]);
}

function removals(modifiers: readonly HeaderModifier[]): string[] {
  return modifiers.flatMap(({ remove = [] }) => remove.filter((name) => isChangeable(name)));
}

/** Names differ in case only: the first counts. */
function distinct(headers: NonNullable<HeaderModifier['set']>): NonNullable<HeaderModifier['set']> {
  const seen = new Set<string>();
  return headers.filter(({ name }) => {
    const key = name.toLowerCase();
    return isChangeable(name) && !seen.has(key) && seen.add(key);
  });
}

function isChangeable(name: string): boolean {
  return !name.startsWith(':') && name.toLowerCase() !== 'host';
}

function option(
  { name, value }: { readonly name: string; readonly value: string },
  appendAction: envoy.config.core.v3.HeaderValueOption.HeaderAppendAction,
): HeaderValueOption {
  // Values of the Gateway API are literal; to Envoy a percent sign begins an operator.
  return { header: { key: name, value: value.replaceAll('%', '%%') }, appendAction };
}

const redirectCodes: Readonly<Record<number, envoy.config.route.v3.RedirectAction.RedirectResponseCode>> = {
  301: RedirectResponseCode.MOVED_PERMANENTLY,
  302: RedirectResponseCode.FOUND,
  303: RedirectResponseCode.SEE_OTHER,
  307: RedirectResponseCode.TEMPORARY_REDIRECT,
  308: RedirectResponseCode.PERMANENT_REDIRECT,
};
const schemePorts: Readonly<Record<string, number>> = { http: 80, https: 443 };

export function redirect(
  { scheme, hostname, path, port, statusCode = 302 }: NonNullable<RouteFilter['requestRedirect']>,
  o: { readonly prefix: string | undefined; readonly servicePort: number },
): RedirectAction {
  const wantedPort = port ?? (scheme === undefined ? o.servicePort : (schemePorts[scheme] ?? o.servicePort));
  const isDefault = wantedPort === schemePorts[scheme ?? 'http'];
  return {
    ...(scheme === undefined ? {} : { schemeRedirect: scheme }),
    ...(hostname === undefined ? {} : { hostRedirect: hostname }),
    ...(isDefault ? {} : { portRedirect: wantedPort }),
    ...(path === undefined ? {} : redirectPath(path, o.prefix)),
    responseCode: redirectCodes[statusCode] ?? RedirectResponseCode.FOUND,
  };
}

function redirectPath(path: PathModifier, prefix: string | undefined): Partial<RedirectAction> {
  if (path.type === 'ReplaceFullPath') return { pathRedirect: path.replaceFullPath ?? '/' };
  return prefixRewrite(path.replacePrefixMatch ?? '', prefix ?? '/');
}

/** @param prefix what the rule matched by, without its last slash */
export function pathRewrite(path: PathModifier, prefix: string | undefined): Partial<RouteAction> {
  if (path.type === 'ReplacePrefixMatch') return prefixRewrite(path.replacePrefixMatch ?? '', prefix ?? '/');
  return { regexRewrite: substitute('/.*', literal(path.replaceFullPath ?? '/')) };
}

interface Rewrite {
  readonly prefixRewrite?: string;
  readonly regexRewrite?: Substitution;
}

type Substitution = envoy.type.matcher.v3.RegexMatchAndSubstitute.$Properties;

/** Prefixes are elements of the path, so there is one slash between the new one and the rest, whatever was written. */
function prefixRewrite(replacement: string, prefix: string): Rewrite {
  const wanted = replacement.replace(/\/+$/, '');
  if (prefix === '/') return { prefixRewrite: `${wanted}/` };
  if (wanted !== '') return { prefixRewrite: wanted };
  return { regexRewrite: substitute(`^${escape(prefix)}(/?)(.*)`, '/\\2') };
}

function substitute(regex: string, substitution: string): Substitution {
  return { pattern: { regex }, substitution };
}

function literal(text: string): string {
  return text.replaceAll('\\', '\\\\');
}

/** Origins with stars become patterns; the scheme and the port are part of an origin. */
export function corsPolicy(cors: NonNullable<RouteFilter['cors']>) {
  const { allowOrigins = [], allowMethods, allowHeaders, exposeHeaders, allowCredentials, maxAge } = cors;
  return any(CorsPolicy, {
    allowOriginStringMatch: allowOrigins.map(originMatch),
    ...(allowMethods === undefined ? {} : { allowMethods: allowMethods.join(',') }),
    ...(allowHeaders === undefined ? {} : { allowHeaders: allowHeaders.join(',') }),
    ...(exposeHeaders === undefined ? {} : { exposeHeaders: exposeHeaders.join(',') }),
    ...(maxAge === undefined ? {} : { maxAge: String(maxAge) }),
    ...(allowCredentials === true ? { allowCredentials: { value: true } } : {}),
    forwardNotMatchingPreflights: { value: false },
  });
}

function originMatch(origin: string): StringMatcher {
  if (origin === '*') return { safeRegex: { regex: '[^:/]+://.+' } };
  if (!origin.includes('*')) return { exact: origin };
  const isPrefix = origin.indexOf('*') === origin.length - 1;
  return isPrefix
    ? { prefix: origin.slice(0, -1) }
    : { safeRegex: { regex: origin.split('*').map(escape).join('.*') } };
}
