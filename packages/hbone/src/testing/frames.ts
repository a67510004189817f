import { CLIENT_PREFACE, errorCodeName, Flag, FrameType } from '../http2/constants.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import { HpackEncoder } from '../http2/hpack/encoder.ts';

/** Builders of frames, right and wrong ones: nothing is checked. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export const settings = (...entries: (readonly [number, number])[]): Buffer =>
  frame(
    FrameType.settings,
    0,
    0,
    Buffer.concat(
      entries.map(([id, value]) => {
        const entry = Buffer.alloc(6);
        entry.writeUInt16BE(id, 0);
        entry.writeUInt32BE(value, 2);
        return entry;
      }),
    ),
  );
export const settingsAck = (): Buffer => frame(FrameType.settings, Flag.ack, 0);
export const data = (streamId: number, payload: Buffer | string = '', flags = 0): Buffer =>
  frame(FrameType.data, flags, streamId, Buffer.from(payload));
export const reset = (streamId: number, code: number): Buffer =>
  frame(FrameType.rstStream, 0, streamId, uint32(code));
export const windowUpdate = (streamId: number, increment: number): Buffer =>
  frame(FrameType.windowUpdate, 0, streamId, uint32(increment));
export const ping = (flags = 0, opaque = 'opaque!!'): Buffer =>
  frame(FrameType.ping, flags, 0, Buffer.from(opaque));
export const goaway = (lastStreamId: number, code = 0): Buffer =>
  frame(FrameType.goaway, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code)]));

/** A header block that touches no dynamic table: each is encoded by a fresh encoder without one. */
export function block(fields: FlatFields): Buffer {
  const encoder = new HpackEncoder(0);
  return Buffer.from(encoder.encode(fields));
}
export const headers = (streamId: number, fields: FlatFields, flags: number = Flag.endHeaders): Buffer =>
  frame(FrameType.headers, flags, streamId, block(fields));
export const connect = (
  streamId: number,
  authority = '10.0.0.1:80',
  flags: number = Flag.endHeaders,
): Buffer => headers(streamId, [':method', 'CONNECT', ':authority', authority], flags);

/** What a client sends first. */
export const clientStart = (...entries: (readonly [number, number])[]): Buffer =>
  Buffer.concat([CLIENT_PREFACE, settings(...entries)]);

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

const typeNames = new Map<number, string>(Object.entries(FrameType).map(([name, type]) => [type, name]));

/** Frames in one line each, for comparison: `rstStream 1 PROTOCOL_ERROR`. */
export function describeFrames(bytes: Buffer): string[] {
  const lines: string[] = [];
  let at = bytes.subarray(0, 24).equals(CLIENT_PREFACE) ? 24 : 0;
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes.readUInt8(at + 3);
    const flags = bytes.readUInt8(at + 4);
    const streamId = bytes.readUInt32BE(at + 5);
    const payload = bytes.subarray(at + 9, at + 9 + length);
    lines.push(`${typeNames.get(type) ?? type} ${streamId}${describePayload(type, flags, payload)}`);
    at += 9 + length;
  }
  return lines;
}

function describePayload(type: number, flags: number, payload: Buffer): string {
  switch (type) {
    case FrameType.rstStream:
      return ` ${errorCodeName(payload.readUInt32BE(0))}`;
    case FrameType.goaway:
      return ` last=${payload.readUInt32BE(0)} ${errorCodeName(payload.readUInt32BE(4))}`;
    case FrameType.windowUpdate:
      return ` +${payload.readUInt32BE(0)}`;
    case FrameType.data:
      return ` ${payload.length}${flags & Flag.endStream ? ' END' : ''}`;
    case FrameType.headers:
      return `${flags & Flag.endStream ? ' END' : ''}`;
    default:
      return flags & Flag.ack ? ' ACK' : '';
  }
}
