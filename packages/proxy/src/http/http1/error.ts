/** A violation of HTTP/1 by the peer. Thrown inside the codec only. */
export class Http1Error extends Error {
  readonly status: 400 | 408 | 426 | 431 | 501;
  /** Response code details. */
  readonly details: string;

  constructor(details: string, status: Http1Error['status'] = 400) {
    super(details);
    this.name = 'Http1Error';
    this.details = details;
    this.status = status;
  }
}

export function codecError(): Http1Error {
  return new Http1Error('http1.codec_error');
}
