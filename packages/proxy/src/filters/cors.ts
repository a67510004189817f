import { envoy } from '@weft/api/envoy';
import type {
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StatCounter,
  StreamCallbacks,
} from '../engine/types.ts';
import { compileStringMatchers, at, type StringPredicate } from '../matching/index.ts';
import { compileMessage, fraction } from './message.ts';

const NAME = 'envoy.filters.http.cors';

interface CorsPolicy {
  readonly allows: StringPredicate;
  readonly enabled: number;
  readonly shadow: boolean;
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly allowPrivateNetwork: boolean;
  readonly forwardNotMatching: boolean;
}

/** `envoy.filters.http.cors`: acts only where a route or virtual host has a CorsPolicy. */
export const cors: HttpFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors'],
  routeTypeUrls: ['type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy'],
  compile(_config, context) {
    const { stats } = context.engine;
    const scope = (context.statPrefix === undefined ? stats : stats.scope(context.statPrefix)).scope('cors');
    const counters = { valid: scope.counter('origin_valid'), invalid: scope.counter('origin_invalid') };
    const name = context.filterName ?? NAME;
    return { create: () => new CorsFilter(name, counters, () => context.engine.random()) };
  },
  compileRoute(config, context): CorsPolicy {
    return compileMessage(envoy.extensions.filters.http.cors.v3.CorsPolicy, config, context, compilePolicy);
  },
};

function compilePolicy(policy: envoy.extensions.filters.http.cors.v3.CorsPolicy): CorsPolicy {
  const share = policy.filterEnabled?.defaultValue;
  return {
    allows: at('allow_origin_string_match', () => compileStringMatchers(policy.allowOriginStringMatch)),
    enabled: share ? fraction(share) : 1,
    shadow: fraction(policy.shadowEnabled?.defaultValue) > 0,
    allowMethods: policy.allowMethods,
    allowHeaders: policy.allowHeaders,
    exposeHeaders: policy.exposeHeaders,
    maxAge: policy.maxAge,
    allowCredentials: policy.allowCredentials?.value === true,
    allowPrivateNetwork: policy.allowPrivateNetworkAccess?.value === true,
    forwardNotMatching: policy.forwardNotMatchingPreflights?.value ?? true,
  };
}

class CorsFilter implements HttpFilter {
  private readonly name: string;
  private readonly counters: { readonly valid: StatCounter; readonly invalid: StatCounter };
  private readonly random: () => number;
  private allowed: { readonly policy: CorsPolicy; readonly origin: string } | undefined;

  constructor(name: string, counters: CorsFilter['counters'], random: () => number) {
    this.name = name;
    this.counters = counters;
    this.random = random;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const origin = headers.get('origin');
    if (origin === undefined || origin === '') return 'continue';
    // compileRoute of this filter made it; the route table only keeps it.
    const policy = callbacks.route()?.filterConfig(this.name) as CorsPolicy | undefined;
    if (policy === undefined) return 'continue';
    const enabled = policy.enabled >= 1 || this.random() < policy.enabled;
    if (!enabled && !policy.shadow) return 'continue';
    const matches = policy.allows(origin);
    (matches ? this.counters.valid : this.counters.invalid).add();
    if (!enabled) return 'continue';

    if (headers.method === 'OPTIONS' && headers.has('access-control-request-method')) {
      if (!matches && policy.forwardNotMatching) return 'continue';
      callbacks.sendLocalReply({
        status: 200,
        details: 'cors_response',
        unrouted: true,
        headers: matches ? preflightHeaders(policy, origin, headers) : [],
      });
      return 'stop';
    }
    if (matches) this.allowed = { policy, origin };
    return 'continue';
  }

  onResponseHeaders(headers: HeaderMap): FilterStatus {
    if (this.allowed === undefined) return 'continue';
    const { policy, origin } = this.allowed;
    headers.set('access-control-allow-origin', origin);
    if (policy.allowCredentials) headers.set('access-control-allow-credentials', 'true');
    if (policy.exposeHeaders !== '') headers.set('access-control-expose-headers', policy.exposeHeaders);
    return 'continue';
  }
}

function preflightHeaders(
  policy: CorsPolicy,
  origin: string,
  request: HeaderMap,
): readonly (readonly [string, string])[] {
  const headers: (readonly [string, string])[] = [['access-control-allow-origin', origin]];
  if (policy.allowCredentials) headers.push(['access-control-allow-credentials', 'true']);
  if (policy.allowMethods !== '') headers.push(['access-control-allow-methods', policy.allowMethods]);
  if (policy.allowHeaders !== '') headers.push(['access-control-allow-headers', policy.allowHeaders]);
  if (policy.exposeHeaders !== '') headers.push(['access-control-expose-headers', policy.exposeHeaders]);
  if (policy.maxAge !== '') headers.push(['access-control-max-age', policy.maxAge]);
  if (policy.allowPrivateNetwork && request.get('access-control-request-private-network') === 'true') {
    headers.push(['access-control-allow-private-network', 'true']);
  }
  return headers;
}
