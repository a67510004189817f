import { defaultHttp2Limits, type Http2Limits, type ViolationKind } from '@weft/hbone/http2';
import type { HttpCodecOptions } from '../codec.ts';
import { messageLimits } from '../message-limits.ts';

const KIB = 1024;

/** Response code details by kind of violation, as Envoy names them. */
export const violationDetails: Readonly<Record<ViolationKind, string>> = {
  protocol: 'http2.protocol_error',
  'malformed-message': 'http2.violation.of.messaging.rule',
  'unread-answers': 'http2.outbound_control_frames_flood',
  'resets-flood': 'http2.premature_resets',
  'pings-flood': 'http2.outbound_control_frames_flood',
  'settings-flood': 'http2.outbound_control_frames_flood',
  'emptyData-flood': 'http2.inbound_empty_frames_flood',
  'ignored-flood': 'http2.inbound_priority_frames_flood',
  'window-updates-flood': 'http2.inbound_window_update_frames_flood',
};

/** As Envoy's, where its options say nothing else. */
export function http2Limits(options: HttpCodecOptions): Http2Limits {
  const { maxHeadBytes, maxFields } = messageLimits(options);
  return {
    ...defaultHttp2Limits,
    streamWindowBytes: options.initialStreamWindowBytes ?? 16 * KIB * KIB,
    connectionWindowBytes: options.initialConnectionWindowBytes ?? 24 * KIB * KIB,
    // The least that RFC 9113 §6.5.2 allows, and what every peer expects who wasn't told.
    maxFrameBytes: 16 * KIB,
    maxHeaderListBytes: maxHeadBytes,
    maxHeaderFields: maxFields,
    maxConcurrentStreams: options.maxConcurrentStreams ?? 1_024,
    // Heads of as many answers as there may be streams wait here when the peer stops reading.
    maxUnreadBytes: 4 * KIB * KIB,
    // Envoy closes after about 250 premature resets.
    floods: { ...defaultHttp2Limits.floods, resets: { burst: 250, perSecond: 50 } },
  };
}
