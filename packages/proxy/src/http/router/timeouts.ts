import type { HeaderMap } from '../../engine/types.ts';
import type { ForwardAction } from '../route/route.ts';

const units: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** `grpc-timeout` in milliseconds, rounded up; undefined when absent or malformed. */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value ?? '');
  if (match === null) return undefined;
  return Math.ceil(Number(match[1]) * (units[match[2] ?? ''] ?? 0));
}

export interface RequestTimeouts {
  /** For the whole response; 0: none. */
  readonly globalMs: number;
  /** Of one attempt; 0: none. */
  readonly perTryMs: number;
}

/** Decides the timeouts of a request, and tells the upstream what was decided. */
export function applyTimeouts(headers: HeaderMap, action: ForwardAction, grpc: boolean): RequestTimeouts {
  let globalMs = action.replacesTimeout ? 0 : action.timeoutMs;
  const cap = grpc && !action.replacesTimeout ? action.maxGrpcTimeoutMs : undefined;
  if (cap !== undefined) {
    const asked = parseGrpcTimeout(headers.get('grpc-timeout'));
    if (asked !== undefined) globalMs = cap > 0 && (asked === 0 || asked > cap) ? cap : asked;
    else globalMs = cap;
  }
  const header = headers.get('x-envoy-upstream-rq-timeout-ms');
  if (header !== undefined && /^\d{1,10}$/.test(header)) globalMs = Number(header);
  let perTryMs = action.retry?.perTryTimeoutMs ?? 0;
  const perTry = headers.get('x-envoy-upstream-rq-per-try-timeout-ms');
  if (perTry !== undefined && /^\d{1,10}$/.test(perTry)) perTryMs = Number(perTry);
  if (globalMs > 0 && perTryMs >= globalMs) perTryMs = 0;
  headers.delete('x-envoy-upstream-rq-timeout-ms');
  headers.delete('x-envoy-upstream-rq-per-try-timeout-ms');
  const expected = perTryMs > 0 ? perTryMs : globalMs;
  if (expected > 0) {
    headers.set('x-envoy-expected-rq-timeout-ms', String(expected));
    if (cap !== undefined) headers.set('grpc-timeout', grpcTimeoutText(expected));
  }
  return { globalMs, perTryMs };
}

/** At most 8 digits. */
export function grpcTimeoutText(ms: number): string {
  if (ms < 1e8) return `${ms}m`;
  return `${Math.min(Math.ceil(ms / 1000), 99_999_999)}S`;
}
