import type { HeaderMap } from '../../engine/types.ts';
import { parseRetryOn, type RetryPolicy } from '../route/retry-policy.ts';

/** What trusted callers ask for by header goes before the route's policy. */
export function retryPolicyOf(headers: HeaderMap, policy: RetryPolicy | undefined): RetryPolicy | undefined {
  const on = headers.get('x-envoy-retry-on');
  const grpcOn = headers.get('x-envoy-retry-grpc-on');
  const max = headers.get('x-envoy-max-retries');
  for (const name of ['x-envoy-retry-on', 'x-envoy-retry-grpc-on', 'x-envoy-max-retries'])
    headers.delete(name);
  const wanted = policy?.retriableRequestHeaders?.(headers) === false ? undefined : policy;
  if (on === undefined && grpcOn === undefined) return wanted;
  const asked = parseRetryOn(`${on ?? ''},${grpcOn ?? ''}`);
  const base = wanted ?? defaultRetryPolicy;
  return {
    ...base,
    on: new Set([...base.on, ...asked.on]),
    grpcOn: new Set([...base.grpcOn, ...asked.grpcOn]),
    retries: max !== undefined && /^\d{1,3}$/.test(max) ? Number(max) : base.retries,
  };
}

const defaultRetryPolicy: RetryPolicy = {
  on: new Set(),
  grpcOn: new Set(),
  retries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  statusCodes: new Set(),
  retriableHeaders: undefined,
  retriableRequestHeaders: undefined,
  avoidPreviousHosts: false,
  avoidPrioritiesAfter: undefined,
  hostSelectionAttempts: 1,
  rateLimited: undefined,
};
