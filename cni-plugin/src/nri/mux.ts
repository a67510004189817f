import type { FrameFormat } from './frames.ts';
import { TTRPC_FORMAT } from './ttrpc.ts';

/** The connections that share a socket of NRI, by who answers calls on them. */
export const MuxConnection = { plugin: 1, runtime: 2 } as const;

/** Connection and length, 32 bits each, and a piece of that connection's byte stream. */
export const MUX_FORMAT: FrameFormat = {
  name: 'NRI mux',
  headerBytes: 8,
  lengthOffset: 4,
  maxPayloadBytes: TTRPC_FORMAT.headerBytes + TTRPC_FORMAT.maxPayloadBytes,
};

/** The runtime reads each frame into a buffer of this size, and closes the connection when it doesn't fit. */
const MAX_WRITE_BYTES = 4_096;

export function muxFrames(connection: number, bytes: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += MAX_WRITE_BYTES) {
    const piece = bytes.subarray(start, start + MAX_WRITE_BYTES);
    const header = Buffer.alloc(MUX_FORMAT.headerBytes);
    header.writeUInt32BE(connection, 0);
    header.writeUInt32BE(piece.length, MUX_FORMAT.lengthOffset);
    frames.push(header, piece);
  }
  return Buffer.concat(frames);
}
