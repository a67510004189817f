import type { LocalReply, ResponseFlag } from '../../engine/types.ts';
import type { UpstreamFailure } from '../../engine/types.ts';
import type { ResetReason } from '../codec.ts';
import type { AttemptFailure } from '../route/retry-policy.ts';

/** An attempt that has no response, in all the ways it must be told. */
export interface FailedAttempt {
  readonly reply: LocalReply;
  /** For the retry policy; undefined: another attempt makes no sense. */
  readonly failure: AttemptFailure | undefined;
}

export function replyOfUpstreamFailure(failure: UpstreamFailure, retried: boolean): FailedAttempt {
  switch (failure.kind) {
    case 'no-healthy-upstream':
      return {
        reply: { status: 503, body: 'no healthy upstream', details: 'no_healthy_upstream', flag: 'UH' },
        failure: undefined,
      };
    case 'dns-failure':
      return {
        reply: { status: 503, body: 'DNS resolution failure', details: 'dns_resolution_failure', flag: 'DF' },
        failure: undefined,
      };
    case 'overflow':
      return {
        reply: {
          ...resetReply('overflow', 'UO', retried),
          headers: [['x-envoy-overloaded', 'true']],
        },
        failure: undefined,
      };
    case 'connect-failure':
      return { reply: resetReply('remote connection failure', 'UF', retried), failure: { kind: 'connect' } };
    case 'connect-timeout':
      return { reply: resetReply('connection timeout', 'UF', retried), failure: { kind: 'connect' } };
  }
}

export function replyOfReset(reason: ResetReason, requestSent: boolean, retried: boolean): FailedAttempt {
  const failure: AttemptFailure = { kind: 'reset', reason, requestSent };
  switch (reason) {
    case 'protocol-error':
      return { reply: { ...resetReply('protocol error', 'UPE', retried), status: 502 }, failure };
    case 'connection-termination':
      return { reply: resetReply('connection termination', 'UC', retried), failure };
    case 'local-reset':
      return { reply: resetReply('local reset', 'LR', retried), failure };
    case 'refused-stream':
      return { reply: resetReply('remote refused stream reset', 'UR', retried), failure };
    case 'overflow':
      return { reply: resetReply('overflow', 'UO', retried), failure: undefined };
    case 'connect-error':
      return { reply: resetReply('remote reset', 'UC', retried), failure };
    case 'remote-reset':
      return { reply: resetReply('remote reset', 'UR', retried), failure };
  }
}

function resetReply(reason: string, flag: ResponseFlag, retried: boolean): LocalReply {
  const how = retried ? 'retried and the latest reset reason' : 'reset reason';
  return {
    status: 503,
    body: `upstream connect error or disconnect/reset before headers. ${how}: ${reason}`,
    details: `upstream_reset_before_response_started{${reason.replaceAll(' ', '_')}}`,
    flag,
  };
}

/** Flag and details of a response that broke off. */
export function brokenResponse(reason: ResetReason): {
  readonly flag: ResponseFlag;
  readonly details: string;
} {
  const { reply } = replyOfReset(reason, true, false);
  const text = reply.details.replace(/^.*\{/, '').replace(/\}$/, '');
  return { flag: reply.flag ?? 'UR', details: `upstream_reset_after_response_started{${text}}` };
}
