import { envoy } from '@weft/api/envoy';
import { describeError } from '@weft/telemetry';
import type {
  CompileContext,
  CompiledHttpFilter,
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StatCounter,
  StreamCallbacks,
} from '../../engine/types.ts';
import { at, compileRequestMatch, invalid, required } from '../../matching/index.ts';
import { fetchThroughCluster } from '../cluster-fetch.ts';
import { compileMessage, durationMs, mergeMetadata } from '../message.ts';
import { inlineJwks, parseJwks, RemoteJwks, type FetchRetry, type JwksSource } from './jwks.ts';
import { compileProvider, type JwtProvider } from './provider.ts';
import { compileRequirement, type Outcome, type Verifier } from './requirement.ts';
import { JwtFailure } from './token.ts';

const NAME = 'envoy.filters.http.jwt_authn';
const DEFAULT_CACHE_MS = 600_000;
const DEFAULT_FETCH_TIMEOUT_MS = 5_000;
const DEFAULT_REFETCH_MS = 1_000;
const DEFAULT_RETRY_BASE_MS = 1_000;
/** Requests wait for the attempts of a fetch. */
export const MAX_FETCH_RETRIES = 10;

type Config = envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication;
type RouteConfig = { readonly kind: 'disabled' } | { readonly kind: 'requirement'; readonly name: string };

/** `envoy.filters.http.jwt_authn`: tokens are proven before anything reads what they claim. */
export const jwtAuthn: HttpFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication'],
  routeTypeUrls: ['type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig'],
  compile(config, context) {
    const { JwtAuthentication } = envoy.extensions.filters.http.jwt_authn.v3;
    return compileMessage(JwtAuthentication, config, context, (message) => compileJwtAuthn(message, context));
  },
  compileRoute(config, context): RouteConfig {
    const { PerRouteConfig } = envoy.extensions.filters.http.jwt_authn.v3;
    return compileMessage(PerRouteConfig, config, context, (message) => {
      if (message.disabled === true) return { kind: 'disabled' };
      return {
        kind: 'requirement',
        name: message.requirementName ?? invalid('value is required', 'requirement_name'),
      };
    });
  },
};

interface Compiled {
  readonly providers: readonly JwtProvider[];
  verifierFor(
    headers: HeaderMap,
    route: RouteConfig | undefined,
  ): Verifier | 'unknown-requirement' | undefined;
  readonly bypassCorsPreflight: boolean;
  readonly stripFailureResponse: boolean;
  readonly now: () => number;
  readonly onFault: (error: unknown) => void;
  readonly filterName: string;
  readonly stats: Readonly<Record<'allowed' | 'denied' | 'corsPreflightBypassed', StatCounter>>;
}

function compileJwtAuthn(config: Config, context: CompileContext): CompiledHttpFilter {
  if (config.filterStateRules) invalid('is not supported', 'filter_state_rules');
  const providers = new Map<string, JwtProvider>();
  for (const [name, provider] of Object.entries(config.providers)) {
    at(`providers["${name}"]`, () =>
      providers.set(name, compileProvider(name, provider, jwksSource(name, provider, context))),
    );
  }
  const named = new Map(
    Object.entries(config.requirementMap).map(([name, requirement]) => [
      name,
      at(`requirement_map["${name}"]`, () => compileRequirement(requirement, providers)),
    ]),
  );
  const rules = config.rules.map((rule, i) =>
    at(`rules[${i}]`, () => {
      const matches = at('match', () => compileRequestMatch(required(rule.match, 'match')));
      if (rule.requirementType === 'requirementName') {
        const verify = named.get(rule.requirementName ?? '');
        return { matches, verify: verify ?? invalid('is not in requirement_map', 'requirement_name') };
      }
      const { requires } = rule;
      return {
        matches,
        verify: requires ? at('requires', () => compileRequirement(requires, providers)) : undefined,
      };
    }),
  );
  const { stats, clock, logger } = context.engine;
  const scope = (context.statPrefix === undefined ? stats : stats.scope(context.statPrefix)).scope(
    'jwt_authn',
  );
  const compiled: Compiled = {
    providers: [...providers.values()],
    verifierFor: (headers, route) => {
      if (route === undefined) return rules.find((rule) => rule.matches(headers))?.verify;
      if (route.kind === 'disabled') return undefined;
      return named.get(route.name) ?? 'unknown-requirement';
    },
    bypassCorsPreflight: config.bypassCorsPreflight,
    stripFailureResponse: config.stripFailureResponse,
    now: () => clock.now(),
    onFault: (error) => logger.error('token verification failed', { error: describeError(error) }),
    filterName: context.filterName ?? NAME,
    stats: {
      allowed: scope.counter('allowed'),
      denied: scope.counter('denied'),
      corsPreflightBypassed: scope.counter('cors_preflight_bypassed'),
    },
  };
  return {
    create: () => new JwtAuthnFilter(compiled),
    close: () => {
      for (const provider of providers.values()) provider.close();
    },
  };
}

function jwksSource(
  name: string,
  provider: envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.$Properties,
  context: CompileContext,
): JwksSource {
  const { localJwks, remoteJwks } = provider;
  if (localJwks) {
    const text =
      localJwks.inlineString ?? (localJwks.inlineBytes && Buffer.from(localJwks.inlineBytes).toString());
    if (!text) return invalid('only inline sources are supported', 'local_jwks');
    try {
      return inlineJwks(parseJwks(text));
    } catch (error) {
      return invalid(error instanceof Error ? error.message : String(error), 'local_jwks');
    }
  }
  const httpUri = required(remoteJwks?.httpUri, 'remote_jwks.http_uri');
  const cluster = required(httpUri.cluster, 'remote_jwks.http_uri.cluster');
  const uri = httpUri.uri ?? '';
  if (!URL.canParse(uri)) invalid(`"${uri}" is no URL`, 'remote_jwks.http_uri.uri');
  const { host, pathname, search } = new URL(uri);
  const { engine } = context;
  const counters = engine.stats.scope('jwt_authn');
  const { asyncFetch, retryPolicy } = remoteJwks ?? {};
  const source = new RemoteJwks({
    clock: engine.clock,
    cacheDurationMs: durationMs(remoteJwks?.cacheDuration) ?? DEFAULT_CACHE_MS,
    ...(asyncFetch
      ? { ahead: { afterFailureMs: durationMs(asyncFetch.failedRefetchDuration) || DEFAULT_REFETCH_MS } }
      : {}),
    ...(retryPolicy
      ? { retry: at('remote_jwks.retry_policy', () => fetchRetry(retryPolicy, () => engine.random())) }
      : {}),
    fetch: async (signal) => {
      const timeoutMs = durationMs(httpUri.timeout) ?? DEFAULT_FETCH_TIMEOUT_MS;
      const request = { cluster, method: 'GET', authority: host, path: pathname + search, timeoutMs, signal };
      const response = await fetchThroughCluster(engine, request);
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      return response.body.toString('utf8');
    },
    onFetch: (outcome, error) => {
      counters.counter(outcome === 'success' ? 'jwks_fetch_success' : 'jwks_fetch_failed').add();
      if (outcome === 'failure') {
        engine.logger.warn('JWKS fetch failed: its tokens are refused', {
          provider: name,
          uri,
          error: describeError(error),
        });
      }
    },
  });
  if (asyncFetch) {
    // Unless it is to be fast, a listener waits for the first fetch, good or bad.
    const warm = asyncFetch.fastListener === true ? () => undefined : context.warmUp(`keys of ${name}`);
    void source.refresh().then(warm);
  }
  return source;
}

function fetchRetry(policy: envoy.config.core.v3.RetryPolicy.$Properties, random: () => number): FetchRetry {
  const baseIntervalMs = durationMs(policy.retryBackOff?.baseInterval) ?? DEFAULT_RETRY_BASE_MS;
  const maxIntervalMs = durationMs(policy.retryBackOff?.maxInterval) ?? 10 * baseIntervalMs;
  if (maxIntervalMs < baseIntervalMs)
    invalid('must not be less than base_interval', 'retry_back_off.max_interval');
  const retries = policy.numRetries?.value ?? 1;
  if (retries > MAX_FETCH_RETRIES) invalid(`at most ${MAX_FETCH_RETRIES}`, 'num_retries');
  return { retries, baseIntervalMs, maxIntervalMs, random };
}

class JwtAuthnFilter implements HttpFilter {
  private readonly compiled: Compiled;
  private over = false;

  constructor(compiled: Compiled) {
    this.compiled = compiled;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { compiled } = this;
    // What a client writes into these headers must never pass for a claim, wherever the request goes.
    for (const { ownedHeaders } of compiled.providers) for (const name of ownedHeaders) headers.delete(name);
    if (compiled.bypassCorsPreflight && isPreflight(headers)) {
      compiled.stats.corsPreflightBypassed.add();
      return 'continue';
    }
    // compileRoute of this filter made it; the route table only keeps it.
    const route = callbacks.route()?.filterConfig(compiled.filterName) as RouteConfig | undefined;
    const verify = compiled.verifierFor(headers, route);
    if (verify === undefined) return 'continue';
    if (verify === 'unknown-requirement') {
      callbacks.sendLocalReply({
        status: 403,
        body: 'Failed JWT authentication: wrong requirement_name',
        details: 'jwt_authn_access_denied',
      });
      return 'stop';
    }
    void this.decide(verify, headers, callbacks);
    return 'stop';
  }

  onDestroy(): void {
    this.over = true;
  }

  private async decide(verify: Verifier, headers: HeaderMap, callbacks: StreamCallbacks): Promise<void> {
    try {
      const outcome = await verify(headers, this.compiled.now());
      if (this.over) return;
      if (outcome.kind === 'ok') this.accept(outcome, headers, callbacks);
      else this.deny(outcome, headers, callbacks);
    } catch (error) {
      // A fault of ours must not leave the request hanging, and never let it through.
      this.compiled.onFault(error);
      callbacks.resetStream();
    }
  }

  private accept(outcome: Outcome & { kind: 'ok' }, headers: HeaderMap, callbacks: StreamCallbacks): void {
    this.compiled.stats.allowed.add();
    let clearRoute = false;
    for (const { provider, jwt } of outcome.tokens) {
      mergeMetadata(callbacks.info.dynamicMetadata, NAME, provider.publish(jwt, headers));
      clearRoute ||= provider.clearRouteCache;
    }
    if (clearRoute) callbacks.clearRouteCache();
    callbacks.continueRequest();
  }

  private deny(outcome: Outcome & { kind: 'failed' }, headers: HeaderMap, callbacks: StreamCallbacks): void {
    this.compiled.stats.denied.add();
    const { failure, provider } = outcome;
    if (provider !== undefined && provider.failedStatusInMetadata !== '') {
      const status = { [provider.failedStatusInMetadata]: { code: 16, message: failure } };
      mergeMetadata(callbacks.info.dynamicMetadata, NAME, status);
    }
    const strip = this.compiled.stripFailureResponse;
    callbacks.sendLocalReply({
      status: failure === JwtFailure.audience ? 403 : 401,
      details: `jwt_authn_access_denied{${failure.replaceAll(' ', '_')}}`,
      ...(strip ? {} : { body: failure, headers: [['www-authenticate', challenge(headers, failure)]] }),
    });
  }
}

function isPreflight(headers: HeaderMap): boolean {
  return (
    headers.method === 'OPTIONS' &&
    (headers.get('origin') ?? '') !== '' &&
    (headers.get('access-control-request-method') ?? '') !== ''
  );
}

function challenge(headers: HeaderMap, failure: JwtFailure): string {
  const path = (headers.path ?? '/').split(/[?#]/, 1)[0] ?? '/';
  // A quote in the target must not end the quoted string.
  const realm = `${headers.scheme ?? 'http'}://${headers.authority ?? ''}${path}`.replace(/["\\]/g, '');
  return `Bearer realm="${realm}"${failure === JwtFailure.missing ? '' : ', error="invalid_token"'}`;
}
