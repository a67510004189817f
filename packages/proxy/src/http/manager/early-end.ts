import type { LocalReply, ResponseFlag } from '../../engine/types.ts';
import type { BadRequest, ResetReason } from '../codec.ts';

const bodies: Readonly<Record<BadRequest['status'], string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  408: 'request header timeout',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};

/** The answer to a request that the codec couldn't make sense of. */
export function replyOfBadRequest({ status, details }: BadRequest): LocalReply {
  if (details === 'missing_host_header') return { status, details };
  if (status === 408) return { status, body: bodies[408], details };
  return { status, body: bodies[status], details, flag: 'DPE' };
}

/** What the log says of an exchange that the client ended. */
export function downstreamReset(
  reason: ResetReason,
  details: string | undefined,
): { readonly flag: ResponseFlag; readonly details: string } {
  switch (reason) {
    case 'protocol-error':
      return { flag: 'DPE', details: details ?? 'http.protocol_error' };
    case 'connection-termination':
      return { flag: 'DC', details: 'downstream_remote_disconnect' };
    default:
      return { flag: 'DR', details: 'http2.remote_reset' };
  }
}

/** The answer when a filter wants the whole body, and it doesn't fit. */
export const payloadTooLarge: LocalReply = {
  status: 413,
  body: 'Payload Too Large',
  details: 'request_payload_too_large',
};
