/** When a test gives up waiting for the answer. */
export const TIMEOUT_MS = 5_000;

export type Fields = readonly (readonly [string, string])[];

export interface TestRequest {
  readonly protocol: 'http1' | 'http2';
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Fields;
  readonly body?: string;
  /** The body in chunks of these sizes, the rest in one; HTTP/1 then has no content-length. */
  readonly chunked?: boolean;
  readonly trailers?: Fields;
  /** HTTP/1 bytes in place of all that; `$ID` becomes the header lines that name case and peer. */
  readonly raw?: string;
}

export interface TestResponse {
  readonly interim: readonly number[];
  readonly status: number;
  readonly headers: Fields;
  readonly body: string;
  readonly trailers: Fields;
  /** The body ended before its framing said so, or the stream was reset. */
  readonly cut: boolean;
}

export interface Exchange {
  readonly responses: readonly TestResponse[];
  readonly end: 'complete' | 'closed' | 'timeout';
}
