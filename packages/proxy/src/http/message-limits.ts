import type { HttpCodecOptions } from './codec.ts';

const KIB = 1024;

/** What both codecs hold at most of a message. */
export interface MessageLimits {
  readonly maxHeadBytes: number;
  readonly maxFields: number;
  /** Bytes waiting at which a sender is told to wait. */
  readonly bufferBytes: number;
}

/** As Envoy's, where its options say nothing else. */
export function messageLimits(options: HttpCodecOptions): MessageLimits {
  return {
    maxHeadBytes: (options.maxHeadersKb ?? 60) * KIB,
    maxFields: options.maxHeaders ?? 100,
    bufferBytes: options.bufferLimitBytes ?? KIB * KIB,
  };
}
