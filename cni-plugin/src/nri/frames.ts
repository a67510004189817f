import { WeftError } from '@weft/telemetry';

export interface FrameFormat {
  readonly name: string;
  readonly headerBytes: number;
  /** Where the header has the payload's length, 32 bits in network order. */
  readonly lengthOffset: number;
  readonly maxPayloadBytes: number;
}

export interface Frame {
  readonly header: Buffer;
  readonly payload: Buffer;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  private readonly format: FrameFormat;
  private rest: Buffer = Buffer.alloc(0);

  constructor(format: FrameFormat) {
    this.format = format;
  }

  /** The frames that are complete with these bytes. Throws WEFT1712 as soon as one says that it is too long. */
  push(bytes: Buffer): readonly Frame[] {
    const { name, headerBytes, lengthOffset, maxPayloadBytes } = this.format;
    const frames: Frame[] = [];
    let data = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    while (data.length >= headerBytes) {
      const length = data.readUInt32BE(lengthOffset);
      if (length > maxPayloadBytes) throw new WeftError('WEFT1712', `${name} frame of ${length} bytes`);
      const end = headerBytes + length;
      if (data.length < end) break;
      frames.push({ header: data.subarray(0, headerBytes), payload: data.subarray(headerBytes, end) });
      data = data.subarray(end);
    }
    this.rest = data;
    return frames;
  }
}
