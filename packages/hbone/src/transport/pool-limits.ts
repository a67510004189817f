import { defaultHttp2Limits, type Http2Limits } from '../http2/limits.ts';

export interface HbonePoolLimits {
  readonly maxStreamsPerConnection: number;
  readonly maxConnectionsPerKey: number;
  /** Requests of one key that wait for a connection. */
  readonly maxWaitersPerKey: number;
  /** A connection that nobody asked for in so long leaves the pool, and closes with its last stream. */
  readonly unusedReleaseMs: number;
  /** TCP and TLS together. */
  readonly dialTimeoutMs: number;
  readonly http2: Http2Limits;
}

export const defaultHbonePoolLimits: HbonePoolLimits = {
  maxStreamsPerConnection: 100,
  maxConnectionsPerKey: 128,
  maxWaitersPerKey: 4_096,
  unusedReleaseMs: 5 * 60_000,
  dialTimeoutMs: 10_000,
  http2: { ...defaultHttp2Limits, maxHeaderListBytes: 16 * 1024 },
};
