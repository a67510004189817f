import { defaultFloodLimits, type FloodLimits } from './flood-guard.ts';

/** What this side announces and enforces. */
export interface Http2Limits {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxFrameBytes: number;
  /** Announced; a compressed header block may not be larger either. */
  readonly maxHeaderListBytes: number;
  readonly maxHeaderFields: number;
  /** CONTINUATION frames in one header block (CVE-2024-27316 and its kin). */
  readonly maxContinuations: number;
  /** Server: streams that the peer may have open. */
  readonly maxConcurrentStreams: number;
  /** Output that a peer may leave unread while it makes us answer. */
  readonly maxUnreadBytes: number;
  readonly floods: FloodLimits;
}

/** How messages are read. An endpoint that takes tunnels only leaves them at `tunnelRules`. */
export interface MessageRules {
  /** Server: CONNECT with `:protocol` is taken (RFC 8441), and announced. */
  readonly extendedConnect: boolean;
  /** RFC 9113 §8.1.1 asks for a stream error and allows the harder answer. */
  readonly malformed: 'reset-stream' | 'close-connection';
  /** Server: a head over a limit gets 431, or a reset with INTERNAL_ERROR. */
  readonly oversizedHead: 'answer-431' | 'reset-stream';
}

export const tunnelRules: MessageRules = {
  extendedConnect: false,
  malformed: 'reset-stream',
  oversizedHead: 'answer-431',
};

export const defaultHttp2Limits: Http2Limits = {
  streamWindowBytes: 4 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxFrameBytes: 1024 * 1024,
  maxHeaderListBytes: 64 * 1024,
  maxHeaderFields: 128,
  maxContinuations: 16,
  maxConcurrentStreams: 200,
  maxUnreadBytes: 1024 * 1024,
  floods: defaultFloodLimits,
};
