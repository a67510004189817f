import { errorCodeName } from './constants.ts';

/** What kind of violation it was, for those who log it. */
export type ViolationKind =
  | 'protocol'
  | 'malformed-message'
  | 'unread-answers'
  | 'resets-flood'
  | 'pings-flood'
  | 'settings-flood'
  | 'emptyData-flood'
  | 'ignored-flood'
  | 'window-updates-flood';

/**
 * A violation by the peer that ends the connection (RFC 9113 §5.4.1). Thrown inside the codec only:
 * `Http2Connection.receive` turns it into GOAWAY and the `onFailure` event.
 */
export class Http2ConnectionError extends Error {
  readonly code: number;
  readonly kind: ViolationKind;

  constructor(code: number, reason: string, kind: ViolationKind = 'protocol') {
    super(`${errorCodeName(code)}: ${reason}`);
    this.name = 'Http2ConnectionError';
    this.code = code;
    this.kind = kind;
  }
}
