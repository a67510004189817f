import { describeError, WeftError } from '@weft/telemetry/errors';
import type { ErrorCode } from '@weft/telemetry';
import { Cut } from './connection.ts';
import type { Failure, ResponseFlag } from './messages.ts';

/** How a connection that broke is counted and told, by the place where it broke. */
export function failureOf(error: unknown, fallback: ErrorCode): Failure {
  if (error instanceof Cut) return error.failure;
  const code = WeftError.is(error) ? error.code : fallback;
  const message = describeError(error).replace(/^WEFT\d+ /, '');
  return { code, message, flag: flagOf(code) };
}

function flagOf(code: string): ResponseFlag {
  switch (code) {
    case 'WEFT1201':
    case 'WEFT1202':
    case 'WEFT1203':
      return 'TLS_FAILURE';
    case 'WEFT1204':
      return 'H2_HANDSHAKE_FAILURE';
    case 'WEFT1608':
      return 'CERT_REVOKED';
    case 'WEFT1318':
      return 'IDENTITY_ERROR';
    case 'WEFT1205':
      // Refused would be a missing proxy; silence on 15008 is usually a NetworkPolicy.
      return 'NETWORK_POLICY';
    default:
      return 'CONNECT';
  }
}
