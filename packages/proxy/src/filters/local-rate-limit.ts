import type { Clock } from '@weft/telemetry';
import { envoy } from '@weft/api/envoy';
import {
  HeaderMap,
  type ConnectionInfo,
  type FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type StatsScope,
  type StreamCallbacks,
} from '../engine/types.ts';
import { at, invalid } from '../matching/index.ts';
import { compileHeaderOption, type HeaderMutator } from './header-mutation.ts';
import { compileMessage, durationMs, fraction } from './message.ts';

type Config = envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit.$Properties;

const NAME = 'envoy.filters.http.local_ratelimit';
const TYPE_URL = 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const { DRAFT_VERSION_03 } = envoy.extensions.common.ratelimit.v3.XRateLimitHeadersRFCVersion;
const TOO_MANY_REQUESTS = 429;
const MIN_ERROR_STATUS = 400;
/** As in Envoy: faster is not worth it. */
const MIN_FILL_INTERVAL_MS = 50;
/** gRPC's RESOURCE_EXHAUSTED and UNAVAILABLE. */
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;

interface BucketConfig {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

/** Tokens that flow in evenly, up to a maximum. */
export class TokenBucket {
  private readonly config: BucketConfig;
  private readonly clock: Clock;
  private tokens: number;
  private filledAtMs: number;

  constructor(config: BucketConfig, clock: Clock) {
    this.config = config;
    this.clock = clock;
    this.tokens = config.maxTokens;
    this.filledAtMs = clock.now();
  }

  get limit(): number {
    return this.config.maxTokens;
  }

  /** Whole tokens. */
  get remaining(): number {
    return Math.floor(this.tokens);
  }

  /** Until there is a token, in seconds. */
  get resetSeconds(): number {
    const { tokensPerFill, fillIntervalMs } = this.config;
    return this.tokens >= 1 ? 0 : Math.ceil(((1 - this.tokens) * fillIntervalMs) / tokensPerFill / 1000);
  }

  take(): boolean {
    const { maxTokens, tokensPerFill, fillIntervalMs } = this.config;
    const now = this.clock.now();
    const flowed = ((now - this.filledAtMs) * tokensPerFill) / fillIntervalMs;
    this.tokens = Math.min(maxTokens, this.tokens + flowed);
    this.filledAtMs = now;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

/** One configuration, of the filter or of a route, with its buckets. */
interface Limit {
  readonly stats: StatsScope;
  readonly status: number;
  readonly grpcStatus: number;
  readonly enabled: number;
  readonly enforced: number;
  /** Undefined: nothing is limited. */
  readonly bucketOf: ((connection: ConnectionInfo) => TokenBucket) | undefined;
  readonly whenNotEnforced: readonly HeaderMutator[];
  readonly onLimited: readonly HeaderMutator[];
  /** Responses say what is left. */
  readonly tells: boolean;
}

/** `envoy.filters.http.local_ratelimit`, without descriptors: so many requests in a time, by this proxy alone. */
export const localRateLimit: HttpFilterFactory = {
  name: NAME,
  typeUrls: [TYPE_URL],
  routeTypeUrls: [TYPE_URL],
  compile(config, context) {
    const { engine, filterName = NAME } = context;
    const own = compileLimit(config, context);
    return { create: () => new LocalRateLimitFilter(own, filterName, () => engine.random()) };
  },
  compileRoute: (config, context) => compileLimit(config, context),
};

function compileLimit(bytes: Uint8Array, context: Parameters<HttpFilterFactory['compile']>[1]): Limit {
  const { LocalRateLimit } = envoy.extensions.filters.http.local_ratelimit.v3;
  const { stats, clock } = context.engine;
  return compileMessage(LocalRateLimit, bytes, context, (config) => {
    if (!config.statPrefix) invalid('must not be empty', 'stat_prefix');
    const status = config.status?.code ?? 0;
    return {
      stats: stats.scope(`${config.statPrefix}.http_local_rate_limit`),
      status: status < MIN_ERROR_STATUS ? TOO_MANY_REQUESTS : status,
      grpcStatus: config.rateLimitedAsResourceExhausted ? RESOURCE_EXHAUSTED : UNAVAILABLE,
      enabled: fraction(config.filterEnabled?.defaultValue),
      enforced: fraction(config.filterEnforced?.defaultValue),
      bucketOf: buckets(config, clock),
      whenNotEnforced: headerOptions(
        config.requestHeadersToAddWhenNotEnforced,
        'request_headers_to_add_when_not_enforced',
      ),
      onLimited: headerOptions(config.responseHeadersToAdd, 'response_headers_to_add'),
      tells: config.enableXRatelimitHeaders === DRAFT_VERSION_03,
    };
  });
}

function headerOptions(
  options: readonly envoy.config.core.v3.HeaderValueOption.$Properties[],
  path: string,
): readonly HeaderMutator[] {
  return options.map((option, i) => at(`${path}[${i}]`, () => compileHeaderOption(option)));
}

function buckets(config: Config, clock: Clock): Limit['bucketOf'] {
  const { tokenBucket } = config;
  if (!tokenBucket) return undefined;
  const bucket = at('token_bucket', () => bucketConfig(tokenBucket));
  if (config.localRateLimitPerDownstreamConnection !== true) {
    const shared = new TokenBucket(bucket, clock);
    return () => shared;
  }
  const byConnection = new WeakMap<ConnectionInfo, TokenBucket>();
  return (connection) => {
    let own = byConnection.get(connection);
    if (own === undefined) {
      own = new TokenBucket(bucket, clock);
      byConnection.set(connection, own);
    }
    return own;
  };
}

function bucketConfig(bucket: envoy.type.v3.TokenBucket.$Properties): BucketConfig {
  const maxTokens = bucket.maxTokens ?? 0;
  const tokensPerFill = bucket.tokensPerFill?.value ?? 1;
  const fillIntervalMs = durationMs(bucket.fillInterval) ?? 0;
  if (maxTokens < 1) invalid('must be at least 1', 'max_tokens');
  if (tokensPerFill < 1) invalid('must be at least 1', 'tokens_per_fill');
  if (fillIntervalMs < MIN_FILL_INTERVAL_MS)
    invalid(`must be at least ${MIN_FILL_INTERVAL_MS} ms`, 'fill_interval');
  return { maxTokens, tokensPerFill, fillIntervalMs };
}

class LocalRateLimitFilter implements HttpFilter {
  private readonly own: Limit;
  private readonly name: string;
  private readonly random: () => number;
  /** What the response is to tell of. */
  private told: TokenBucket | undefined;

  constructor(own: Limit, name: string, random: () => number) {
    this.own = own;
    this.name = name;
    this.random = random;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { info } = callbacks;
    // compileRoute of this filter made it; the route table only keeps it.
    const limit = (callbacks.route()?.filterConfig(this.name) as Limit | undefined) ?? this.own;
    const { stats, bucketOf } = limit;
    if (bucketOf === undefined || !this.hits(limit.enabled)) return 'continue';
    stats.counter('enabled').add();
    const bucket = bucketOf(info.connection);
    if (limit.tells) this.told = bucket;
    if (bucket.take()) {
      stats.counter('ok').add();
      return 'continue';
    }
    stats.counter('rate_limited').add();
    if (!this.hits(limit.enforced)) {
      for (const change of limit.whenNotEnforced) change(headers, info);
      return 'continue';
    }
    stats.counter('enforced').add();
    const added = new HeaderMap();
    for (const change of limit.onLimited) change(added, info);
    callbacks.sendLocalReply({
      status: limit.status,
      grpcStatus: limit.grpcStatus,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flag: 'RL',
      headers: [...added],
    });
    return 'stop';
  }

  onResponseHeaders(headers: HeaderMap): FilterStatus {
    const { told } = this;
    if (told !== undefined) {
      headers.set('x-ratelimit-limit', String(told.limit));
      headers.set('x-ratelimit-remaining', String(told.remaining));
      headers.set('x-ratelimit-reset', String(told.resetSeconds));
    }
    return 'continue';
  }

  private hits(share: number): boolean {
    return share >= 1 || this.random() < share;
  }
}
