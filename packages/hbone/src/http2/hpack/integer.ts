import { ErrorCode } from '../constants.ts';
import { Http2ConnectionError } from '../protocol-error.ts';

/** No field of HBONE comes near this; four continuation octets hold it, so padding with zeros is refused too. */
const LARGEST_INTEGER = 0x0f_ff_ff_ff;
const MAX_CONTINUATION_OCTETS = 4;

/** A cursor over one header block. Owned by the decoder and reused. */
export class BlockCursor {
  bytes: Buffer = Buffer.alloc(0);
  offset = 0;

  reset(bytes: Buffer): void {
    this.bytes = bytes;
    this.offset = 0;
  }

  get done(): boolean {
    return this.offset >= this.bytes.length;
  }

  octet(): number {
    const value = this.bytes[this.offset];
    if (value === undefined)
      throw new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, 'truncated header block');
    this.offset++;
    return value;
  }

  /** RFC 7541 §5.1; `first` is the octet that holds the prefix. */
  integer(first: number, prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = first & limit;
    if (value < limit) return value;
    for (let shift = 0, octets = 0; ; shift += 7) {
      if (++octets > MAX_CONTINUATION_OCTETS) {
        throw new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, 'integer too long');
      }
      const octet = this.octet();
      value += (octet & 0x7f) << shift;
      if (value > LARGEST_INTEGER)
        throw new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, 'integer too large');
      if ((octet & 0x80) === 0) return value;
    }
  }
}

/** Writes RFC 7541 §5.1 at `offset` and returns the offset behind it. `flags` are the bits above the prefix. */
export function writeInteger(
  target: Buffer,
  offset: number,
  flags: number,
  prefixBits: number,
  value: number,
): number {
  const limit = (1 << prefixBits) - 1;
  if (value < limit) {
    target[offset] = flags | value;
    return offset + 1;
  }
  target[offset++] = flags | limit;
  let rest = value - limit;
  while (rest >= 0x80) {
    target[offset++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[offset++] = rest;
  return offset;
}
