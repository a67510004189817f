import { envoy } from '@weft/api/envoy';
import type { HeaderMap } from '../../engine/types.ts';
import type { ResetReason } from '../codec.ts';
import { durationMs } from '../../filters/message.ts';
import { at, compileHeaderMatchers, type HeaderPredicate, invalid } from '../../matching/index.ts';

type RetryPolicyConfig = envoy.config.route.v3.RetryPolicy.$Properties;

const httpConditions = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'refused-stream',
  'retriable-4xx',
  'retriable-status-codes',
  'retriable-headers',
  'envoy-ratelimited',
  'http3-post-connect-failure',
] as const;
const grpcConditions: Readonly<Record<string, number>> = {
  cancelled: 1,
  'deadline-exceeded': 4,
  'resource-exhausted': 8,
  internal: 13,
  unavailable: 14,
};
export type RetryCondition = (typeof httpConditions)[number];

/** Why an attempt has no response. */
export type AttemptFailure =
  | { readonly kind: 'connect' }
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly requestSent: boolean }
  | { readonly kind: 'per-try-timeout' };

export interface RetryPolicy {
  readonly on: ReadonlySet<RetryCondition>;
  readonly grpcOn: ReadonlySet<number>;
  readonly retries: number;
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly statusCodes: ReadonlySet<number>;
  readonly retriableHeaders: HeaderPredicate | undefined;
  readonly retriableRequestHeaders: HeaderPredicate | undefined;
  readonly avoidPreviousHosts: boolean;
  /** After so many attempts, those of the priorities that were tried are avoided; undefined: never. */
  readonly avoidPrioritiesAfter: number | undefined;
  readonly hostSelectionAttempts: number;
  readonly rateLimited: RateLimitedBackOff | undefined;
}

export interface RateLimitedBackOff {
  readonly headers: readonly { readonly name: string; readonly format: 'seconds' | 'unix' }[];
  readonly maxIntervalMs: number;
}

const DEFAULT_BASE_INTERVAL_MS = 25;

export function compileRetryPolicy(config: RetryPolicyConfig): RetryPolicy {
  const { on, grpcOn } = parseRetryOn(config.retryOn ?? '');
  const baseIntervalMs = at('retry_back_off.base_interval', () =>
    durationMs(config.retryBackOff?.baseInterval),
  );
  const maxIntervalMs = at('retry_back_off.max_interval', () => durationMs(config.retryBackOff?.maxInterval));
  const base = baseIntervalMs ?? DEFAULT_BASE_INTERVAL_MS;
  if (base <= 0) invalid('must be positive', 'retry_back_off.base_interval');
  if (maxIntervalMs !== undefined && maxIntervalMs < base) {
    invalid('must not be less than base_interval', 'retry_back_off.max_interval');
  }
  const { retriableHeaders, retriableRequestHeaders, rateLimitedRetryBackOff: limited } = config;
  return {
    on,
    grpcOn,
    retries: config.numRetries?.value ?? 1,
    perTryTimeoutMs: durationMs(config.perTryTimeout) ?? 0,
    perTryIdleTimeoutMs: durationMs(config.perTryIdleTimeout) ?? 0,
    baseIntervalMs: base,
    maxIntervalMs: maxIntervalMs ?? 10 * base,
    statusCodes: new Set(config.retriableStatusCodes ?? []),
    retriableHeaders: anyOf(retriableHeaders, 'retriable_headers'),
    retriableRequestHeaders: anyOf(retriableRequestHeaders, 'retriable_request_headers'),
    avoidPreviousHosts: (config.retryHostPredicate ?? []).some((p) => p.name?.includes('previous_hosts')),
    avoidPrioritiesAfter: config.retryPriority
      ? at('retry_priority', () => previousPriorities(config.retryPriority ?? {}))
      : undefined,
    hostSelectionAttempts: Number(config.hostSelectionRetryMaxAttempts ?? 0) || 1,
    rateLimited: limited
      ? {
          headers: (limited.resetHeaders ?? []).map((header) => ({
            name: header.name ?? '',
            format: header.format === 1 ? 'unix' : 'seconds',
          })),
          maxIntervalMs: durationMs(limited.maxInterval) ?? 300_000,
        }
      : undefined,
  };
}

function previousPriorities({
  typedConfig,
}: envoy.config.route.v3.RetryPolicy.RetryPriority.$Properties): number {
  const { PreviousPrioritiesConfig } = envoy.extensions.retry.priority.previous_priorities.v3;
  const { updateFrequency } = PreviousPrioritiesConfig.decode(typedConfig?.value ?? new Uint8Array());
  return updateFrequency > 0 ? updateFrequency : invalid('must be positive', 'update_frequency');
}

/** Unknown conditions are ignored, as in Envoy. */
export function parseRetryOn(text: string): {
  readonly on: Set<RetryCondition>;
  readonly grpcOn: Set<number>;
} {
  const on = new Set<RetryCondition>();
  const grpcOn = new Set<number>();
  for (const part of text.split(',')) {
    const name = part.trim();
    const http = httpConditions.find((condition) => condition === name);
    if (http !== undefined) on.add(http);
    const grpc = grpcConditions[name];
    if (grpc !== undefined) grpcOn.add(grpc);
  }
  return { on, grpcOn };
}

/** Whether a response is worth another attempt. */
export function retriableResponse(policy: RetryPolicy, headers: HeaderMap): boolean {
  const status = headers.status ?? 0;
  const { on } = policy;
  if (headers.has('x-envoy-ratelimited')) return on.has('envoy-ratelimited');
  if (on.has('5xx') && status >= 500) return true;
  if (on.has('gateway-error') && status >= 502 && status <= 504) return true;
  if (on.has('retriable-4xx') && status === 409) return true;
  if (on.has('retriable-status-codes') && policy.statusCodes.has(status)) return true;
  if (on.has('retriable-headers') && policy.retriableHeaders?.(headers) === true) return true;
  if (policy.grpcOn.size === 0) return false;
  const grpcStatus = headers.get('grpc-status');
  return grpcStatus !== undefined && /^\d+$/.test(grpcStatus) && policy.grpcOn.has(Number(grpcStatus));
}

/** Whether an attempt without response is worth another one. */
export function retriableFailure(policy: RetryPolicy, failure: AttemptFailure): boolean {
  const { on } = policy;
  if (on.has('5xx') || on.has('gateway-error')) return true;
  switch (failure.kind) {
    case 'connect':
      return on.has('connect-failure') || on.has('reset') || on.has('reset-before-request');
    case 'per-try-timeout':
      return on.has('reset');
    case 'reset':
      if (on.has('reset') || (on.has('reset-before-request') && !failure.requestSent)) return true;
      return failure.reason === 'refused-stream' && on.has('refused-stream');
  }
}

/** Back-off before retry `n` (from 1): uniform in [0, min((2^n − 1) · base, max)]. */
export function backOffMs(policy: RetryPolicy, n: number, random: () => number): number {
  const ceiling = Math.min((2 ** Math.min(n, 30) - 1) * policy.baseIntervalMs, policy.maxIntervalMs);
  return Math.floor(random() * ceiling);
}

/** What a rate-limited response asks for, undefined when it says nothing usable. */
export function rateLimitedBackOffMs(
  policy: RetryPolicy,
  headers: HeaderMap,
  nowMs: number,
): number | undefined {
  const { rateLimited } = policy;
  if (rateLimited === undefined) return undefined;
  for (const { name, format } of rateLimited.headers) {
    const value = headers.get(name);
    if (value === undefined || !/^\d+$/.test(value)) continue;
    const ms = format === 'seconds' ? Number(value) * 1000 : Number(value) * 1000 - nowMs;
    if (ms > 0 && ms <= rateLimited.maxIntervalMs) return ms;
  }
  return undefined;
}

function anyOf(
  matchers: readonly envoy.config.route.v3.HeaderMatcher.$Properties[] | null | undefined,
  path: string,
): HeaderPredicate | undefined {
  if (!matchers || matchers.length === 0) return undefined;
  const predicates = matchers.map((matcher, i) =>
    at(`${path}[${i}]`, () => compileHeaderMatchers([matcher])),
  );
  return (headers) => predicates.some((matches) => matches(headers));
}
