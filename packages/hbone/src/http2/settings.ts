import {
  DEFAULT_HEADER_TABLE_BYTES,
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  LARGEST_MAX_FRAME_BYTES,
  LARGEST_WINDOW_BYTES,
  SettingId,
} from './constants.ts';
import type { Http2Role } from './connection-events.ts';
import type { Http2Limits, MessageRules } from './limits.ts';
import { Http2ConnectionError } from './protocol-error.ts';

/** Entries that one SETTINGS frame may have; the RFC knows fewer than ten. */
export const MAX_SETTINGS_ENTRIES = 64;
const ENTRY_BYTES = 6;

export interface PeerSettings {
  headerTableBytes: number;
  maxConcurrentStreams: number;
  initialWindowBytes: number;
  maxFrameBytes: number;
  maxHeaderListBytes: number;
  extendedConnect: boolean;
}

/** What RFC 9113 §6.5.2 says before the peer spoke. */
export function initialPeerSettings(): PeerSettings {
  return {
    headerTableBytes: DEFAULT_HEADER_TABLE_BYTES,
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
    initialWindowBytes: DEFAULT_WINDOW_BYTES,
    maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
    maxHeaderListBytes: Number.POSITIVE_INFINITY,
    extendedConnect: false,
  };
}

/** Applies a SETTINGS payload. @throws Http2ConnectionError with the code of RFC 9113 §6.5.2. */
export function applySettings(payload: Buffer, into: PeerSettings, from: Http2Role): void {
  if (payload.length % ENTRY_BYTES !== 0) {
    throw new Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS of a partial entry');
  }
  if (payload.length > MAX_SETTINGS_ENTRIES * ENTRY_BYTES) {
    throw new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many settings in a frame');
  }
  for (let at = 0; at < payload.length; at += ENTRY_BYTES) {
    const id = payload.readUInt16BE(at);
    const value = payload.readUInt32BE(at + 2);
    switch (id) {
      case SettingId.headerTableSize:
        into.headerTableBytes = value;
        break;
      case SettingId.enablePush:
        // A server must not enable push, of which it would be the only user (RFC 9113 §6.5.2).
        if (value > 1 || (value === 1 && from === 'server')) {
          throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH ${value}`);
        }
        break;
      case SettingId.maxConcurrentStreams:
        into.maxConcurrentStreams = value;
        break;
      case SettingId.initialWindowSize:
        if (value > LARGEST_WINDOW_BYTES) {
          throw new Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE ${value}`);
        }
        into.initialWindowBytes = value;
        break;
      case SettingId.maxFrameSize:
        if (value < DEFAULT_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES) {
          throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, `MAX_FRAME_SIZE ${value}`);
        }
        into.maxFrameBytes = value;
        break;
      case SettingId.maxHeaderListSize:
        into.maxHeaderListBytes = value;
        break;
      case SettingId.enableConnectProtocol:
        // RFC 8441 §3: once enabled it stays.
        if (value > 1 || (value === 0 && into.extendedConnect)) {
          throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, `ENABLE_CONNECT_PROTOCOL ${value}`);
        }
        into.extendedConnect = value === 1;
        break;
      default: // RFC 9113 §6.5.2: unknown settings are ignored.
    }
  }
}

export type SettingEntry = readonly [id: number, value: number];

/** What we announce, in this order. */
export function ownSettings(
  role: Http2Role,
  limits: Http2Limits,
  rules: MessageRules,
): readonly SettingEntry[] {
  const entries: SettingEntry[] = [
    [SettingId.initialWindowSize, limits.streamWindowBytes],
    [SettingId.maxFrameSize, limits.maxFrameBytes],
    [SettingId.maxHeaderListSize, limits.maxHeaderListBytes],
  ];
  if (role === 'client') return [...entries, [SettingId.enablePush, 0]];
  entries.push([SettingId.maxConcurrentStreams, limits.maxConcurrentStreams]);
  if (rules.extendedConnect) entries.push([SettingId.enableConnectProtocol, 1]);
  return entries;
}

export function writeSettings(target: Buffer, offset: number, entries: readonly SettingEntry[]): void {
  for (const [id, value] of entries) {
    offset = target.writeUInt16BE(id, offset);
    offset = target.writeUInt32BE(value, offset);
  }
}

export function settingsPayloadBytes(entries: readonly SettingEntry[]): number {
  return entries.length * ENTRY_BYTES;
}
