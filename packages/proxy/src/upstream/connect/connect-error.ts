import { getSystemErrorMap } from 'node:util';

export type ConnectFailure = 'connect-failure' | 'connect-timeout' | 'dns-failure';

/** Why a connection to a host could not be made. `reason` is what access logs print. */
export class ConnectError extends Error {
  readonly kind: ConnectFailure;
  readonly reason: string;

  constructor(kind: ConnectFailure, reason: string, options?: { cause?: unknown }) {
    super(reason === '' ? kind : reason, options);
    this.name = 'ConnectError';
    this.kind = kind;
    this.reason = reason;
  }
}

/** In Envoy's words: `delayed_connect_error: connection refused`. */
export function tcpConnectError(cause: unknown): ConnectError {
  const errno =
    typeof cause === 'object' && cause !== null && 'errno' in cause && typeof cause.errno === 'number'
      ? cause.errno
      : undefined;
  const text = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  const reason = text ?? (cause instanceof Error ? cause.message : String(cause));
  return new ConnectError('connect-failure', `delayed_connect_error: ${reason}`, { cause });
}

export function tlsConnectError(reason: string, cause?: unknown): ConnectError {
  return new ConnectError('connect-failure', `TLS_error: ${reason}`, { cause });
}
