import { Flag, FrameType } from './constants.ts';
import type { Output } from './output.ts';
import { type SettingEntry, settingsPayloadBytes, writeSettings } from './settings.ts';

const MAX_GOAWAY_DEBUG_BYTES = 256;

/** Writes frames other than DATA into the output. Knows their layout, and no state. */
export class FrameWriter {
  private readonly output: Output;

  constructor(output: Output) {
    this.output = output;
  }

  settings(entries: readonly SettingEntry[]): void {
    const buffer = this.output.frame(settingsPayloadBytes(entries), FrameType.settings, 0, 0);
    writeSettings(buffer, this.output.payloadOffset, entries);
  }

  settingsAck(): void {
    this.output.frame(0, FrameType.settings, Flag.ack, 0);
  }

  /** HEADERS and as many CONTINUATIONs as `maxFrameBytes` makes necessary. */
  headers(streamId: number, block: Buffer, endStream: boolean, maxFrameBytes: number): void {
    let type: number = FrameType.headers;
    let at = 0;
    do {
      const end = Math.min(block.length, at + maxFrameBytes);
      const last = end === block.length ? Flag.endHeaders : 0;
      const flags = type === FrameType.headers && endStream ? last | Flag.endStream : last;
      const buffer = this.output.frame(end - at, type, flags, streamId);
      block.copy(buffer, this.output.payloadOffset, at, end);
      type = FrameType.continuation;
      at = end;
    } while (at < block.length);
  }

  reset(streamId: number, code: number): void {
    const buffer = this.output.frame(4, FrameType.rstStream, 0, streamId);
    buffer.writeUInt32BE(code, this.output.payloadOffset);
  }

  windowUpdate(streamId: number, bytes: number): void {
    const buffer = this.output.frame(4, FrameType.windowUpdate, 0, streamId);
    buffer.writeUInt32BE(bytes, this.output.payloadOffset);
  }

  /** `opaque` has 8 bytes. */
  ping(opaque: Buffer, ack: boolean): void {
    const buffer = this.output.frame(8, FrameType.ping, ack ? Flag.ack : 0, 0);
    opaque.copy(buffer, this.output.payloadOffset);
  }

  goaway(lastStreamId: number, code: number, reason: string): void {
    const debug = Buffer.from(reason, 'latin1').subarray(0, MAX_GOAWAY_DEBUG_BYTES);
    const buffer = this.output.frame(8 + debug.length, FrameType.goaway, 0, 0);
    const at = buffer.writeUInt32BE(code, buffer.writeUInt32BE(lastStreamId, this.output.payloadOffset));
    debug.copy(buffer, at);
  }
}
