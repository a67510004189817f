import Long from 'long';
import { envoy } from '@weft/api/envoy';
import type { AnyRouteFacts, BackendReference, RouteFilter, RouteRule } from '../sources/gateway-objects.ts';
import { NO_LIMIT, duration, extension } from './any.ts';
import { type BackendTarget, backendTarget } from '../sources/backend-references.ts';
import type { EndpointSource, UpstreamProtocol } from './clusters.ts';
import { parseGatewayDuration } from './gateway-duration.ts';
import { Name, inboundCluster, outboundCluster } from './names.ts';
import {
  type HeaderChanges,
  corsPolicy,
  headerChanges,
  hostChange,
  pathRewrite,
  redirect,
  supportedBackendFilters,
} from './route-filters.ts';
import { type RouteProblem, routeProblems } from './route-problems.ts';
import { type RankedMatch, compareRank, routeMatches } from './route-matches.ts';

type Route = envoy.config.route.v3.Route.$Properties;
type RouteAction = envoy.config.route.v3.RouteAction.$Properties;
type RetryPolicy = envoy.config.route.v3.RetryPolicy.$Properties;

const { ClusterNotFoundResponseCode } = envoy.config.route.v3.RouteAction;
const { DenominatorType } = envoy.type.v3.FractionalPercent;
const previousHosts = envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate;

/** The Service's port that routes are for, and what they may send to. */
export interface RouteContext {
  readonly hostname: string;
  readonly port: number;
  /** The cluster of the Service itself. */
  readonly ownCluster: string;
  /** Undefined where the route's namespace sees no such service, or it has no such port. */
  readonly backend: (route: AnyRouteFacts, target: BackendTarget, port: number) => Backend | undefined;
  /** Whether the Service's namespace lets the route send requests there. */
  readonly mayReferTo: (route: AnyRouteFacts, namespace: string, name: string) => boolean;
}

export interface Backend {
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly port: number;
  readonly protocol: UpstreamProtocol;
  /** By the same waypoint, as HTTP, so that its own cluster is there. */
  readonly served: boolean;
  /** For a cluster of its own. */
  readonly endpoints: (cluster: string) => EndpointSource;
}

/**
 * The routes of a Service's port. Routes that users attach take the place of the default: what they don't match is
 * answered 404.
 */
export function serviceRoutes(attached: readonly AnyRouteFacts[], context: RouteContext): Route[] {
  if (attached.length === 0) return [defaultRoute(context)];
  const candidates = [...attached]
    .sort(
      (a, b) =>
        compare(a.createdAt, b.createdAt) || compare(a.namespace, b.namespace) || compare(a.name, b.name),
    )
    .flatMap((route) => {
      const problems = routeProblems(route);
      return route.rules.flatMap((rule, i) => {
        const has = (effect: RouteProblem['effect']): boolean =>
          problems.some((problem) => problem.rule === i && problem.effect === effect);
        if (has('unmatched')) return [];
        const isRefused = has('refused');
        return routeMatches(route, i).map((matched) => ({ route, rule, i, matched, isRefused }));
      });
    });
  // Stable, so that age, name and order within a route decide among equals.
  candidates.sort((a, b) => compareRank(a.matched.rank, b.matched.rank));
  return candidates.map(({ route, rule, i, matched, isRefused }) => ({
    name: rule.name ?? `${route.namespace}.${route.name}.${i}`,
    ...(isRefused
      ? { match: matched.match, decorator: decorator(context), ...INTERNAL_ERROR }
      : ruleRoute(route, rule, matched, context)),
  }));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function defaultRoute(context: RouteContext): Route {
  return {
    name: 'default',
    match: { prefix: '/' },
    decorator: decorator(context),
    route: {
      cluster: context.ownCluster,
      timeout: NO_LIMIT,
      maxStreamDuration: unlimitedStream,
      retryPolicy: defaultRetry(),
    },
  };
}

/** Neither the route nor a gRPC client's own deadline header cuts a stream. */
const unlimitedStream = { maxStreamDuration: NO_LIMIT, grpcTimeoutHeaderMax: NO_LIMIT };

function decorator({ hostname, port }: RouteContext): NonNullable<Route['decorator']> {
  return { operation: `${hostname}:${port}/*` };
}

const INTERNAL_ERROR: Pick<Route, 'directResponse'> = { directResponse: { status: 500 } };

function ruleRoute(
  route: AnyRouteFacts,
  rule: RouteRule<unknown>,
  { match, prefix }: RankedMatch,
  context: RouteContext,
): Route {
  const { filters = [] } = rule;
  const common = { match, decorator: decorator(context) };
  const cors = filters.find((filter) => filter.cors !== undefined)?.cors;
  const shared = {
    ...common,
    ...headerChanges(filters),
    ...(cors === undefined ? {} : { typedPerFilterConfig: { 'envoy.filters.http.cors': corsPolicy(cors) } }),
  };
  const redirection = filters.find(({ requestRedirect }) => requestRedirect !== undefined)?.requestRedirect;
  if (redirection !== undefined) {
    return { ...shared, redirect: redirect(redirection, { prefix, servicePort: context.port }) };
  }
  const destination = destinations(route, rule.backendRefs ?? [], context);
  if (destination === undefined) return { ...shared, ...INTERNAL_ERROR };
  const path = filters.find(({ urlRewrite }) => urlRewrite?.path !== undefined)?.urlRewrite?.path;
  const host = hostChange(filters);
  const { request, backendRequest } = rule.timeouts ?? {};
  const requestMs = request === undefined ? undefined : parseGatewayDuration(request);
  const tryMs = backendRequest === undefined ? undefined : parseGatewayDuration(backendRequest);
  return {
    ...shared,
    route: {
      ...destination,
      clusterNotFoundResponseCode: ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR,
      ...(path === undefined ? {} : pathRewrite(path, prefix)),
      ...(host === undefined ? {} : { hostRewriteLiteral: host }),
      ...(requestMs === undefined || requestMs === 0
        ? { timeout: NO_LIMIT, maxStreamDuration: unlimitedStream }
        : { timeout: duration(requestMs) }),
      retryPolicy: retryPolicy(rule.retry, tryMs),
      requestMirrorPolicies: mirrors(route, filters, context),
    },
  };
}

/** Undefined where nothing is left to send to. */
function destinations(
  route: AnyRouteFacts,
  backends: readonly BackendReference[],
  context: RouteContext,
): Pick<RouteAction, 'cluster' | 'weightedClusters'> | undefined {
  const weighted = backends
    .map((backend) => ({
      name: backendCluster(route, backend, context),
      // One backend alone gets everything, whatever its weight.
      weight: backends.length === 1 ? (backend.weight === 0 ? 0 : 1) : (backend.weight ?? 1),
      changes: headerChanges(backend.filters ?? []),
    }))
    .filter(({ weight }) => weight > 0);
  const [only] = weighted;
  if (only === undefined) return undefined;
  if (weighted.length === 1 && isUnchanged(only.changes)) return { cluster: only.name };
  return {
    weightedClusters: {
      clusters: weighted.map(({ name, weight, changes }) => ({
        name,
        weight: { value: weight },
        ...changes,
      })),
    },
  };
}

function isUnchanged(changes: HeaderChanges): boolean {
  return Object.keys(changes).length === 0;
}

/** A backend that can't be had keeps its share of the requests: they are answered 500. */
function backendCluster(route: AnyRouteFacts, reference: BackendReference, context: RouteContext): string {
  const backend = resolveBackend(route, reference, context);
  if (backend === undefined) return Name.unknownService;
  const { hostname, port, served } = backend;
  return served ? inboundCluster(port, 'http', hostname) : outboundCluster(port, hostname);
}

function resolveBackend(
  route: AnyRouteFacts,
  reference: BackendReference,
  context: RouteContext,
): Backend | undefined {
  const { port, filters = [] } = reference;
  const target = backendTarget(route, reference);
  if (target === undefined || port === undefined) return undefined;
  const canHonour = filters.every(({ type }) => supportedBackendFilters.includes(type));
  const mayRefer = target.kind === 'Hostname' || context.mayReferTo(route, target.namespace, target.name);
  return canHonour && mayRefer ? context.backend(route, target, port) : undefined;
}

const RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled';
const DEFAULT_RETRIES = 2;
const HOST_SELECTION_ATTEMPTS = 5;

function defaultRetry(): RetryPolicy {
  return {
    retryOn: `${RETRY_ON},retriable-status-codes`,
    numRetries: { value: DEFAULT_RETRIES },
    ...otherHosts(),
  };
}

function retryPolicy(retry: RouteRule<unknown>['retry'], tryMs: number | undefined): RetryPolicy {
  const perTry = tryMs === undefined || tryMs === 0 ? {} : { perTryTimeout: duration(tryMs) };
  if (retry === undefined) return { ...defaultRetry(), ...perTry };
  const { codes = [], attempts = DEFAULT_RETRIES, backoff } = retry;
  const backoffMs = backoff === undefined ? undefined : parseGatewayDuration(backoff);
  return {
    retryOn: codes.length === 0 ? RETRY_ON : `${RETRY_ON},retriable-status-codes`,
    retriableStatusCodes: [...codes],
    numRetries: { value: attempts },
    ...otherHosts(),
    ...perTry,
    ...(backoffMs === undefined || backoffMs === 0
      ? {}
      : { retryBackOff: { baseInterval: duration(backoffMs) } }),
  };
}

function otherHosts(): RetryPolicy {
  return {
    retryHostPredicate: [extension('envoy.retry_host_predicates.previous_hosts', previousHosts, {})],
    hostSelectionRetryMaxAttempts: Long.fromNumber(HOST_SELECTION_ATTEMPTS),
  };
}

const MILLION = 1_000_000;

function mirrors(
  route: AnyRouteFacts,
  filters: readonly RouteFilter[],
  context: RouteContext,
): envoy.config.route.v3.RouteAction.RequestMirrorPolicy.$Properties[] {
  return filters.flatMap(({ requestMirror }) => {
    if (requestMirror === undefined) return [];
    const cluster = backendCluster(route, requestMirror.backendRef, context);
    if (cluster === Name.unknownService) return [];
    const { percent, fraction } = requestMirror;
    const share =
      fraction === undefined ? (percent ?? 100) / 100 : fraction.numerator / (fraction.denominator ?? 100);
    const numerator = Math.round(Math.min(share, 1) * MILLION);
    const defaultValue = { numerator, denominator: DenominatorType.MILLION };
    return [{ cluster, runtimeFraction: { defaultValue }, traceSampled: { value: false } }];
  });
}
