import { errorCodeName } from './constants.ts';

/**
 * A violation by the peer that ends the connection (RFC 9113 §5.4.1). Thrown inside the codec only:
 * `Http2Connection.receive` turns it into GOAWAY and the `onFailure` event.
 */
export class Http2ConnectionError extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(`${errorCodeName(code)}: ${reason}`);
    this.name = 'Http2ConnectionError';
    this.code = code;
  }
}
