/** RFC 1035 §4.2.2: over TCP each message comes after its length in two bytes. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return Buffer.concat([length, message]);
}

/** Cuts a stream into messages. Holds at most one that isn't complete, so 64 KiB and one chunk. */
export class StreamFrames {
  private chunks: Buffer[] = [];
  private size = 0;
  /** Bytes that the next message needs, its length included; at first only the length. */
  private needed = 2;

  *push(chunk: Buffer): Generator<Buffer> {
    this.chunks.push(chunk);
    this.size += chunk.length;
    while (this.size >= this.needed) {
      const bytes = this.chunks.length === 1 ? (this.chunks[0] ?? chunk) : Buffer.concat(this.chunks);
      this.chunks = [bytes];
      const end = 2 + bytes.readUInt16BE(0);
      this.needed = end;
      if (bytes.length < end) return;
      this.chunks = [bytes.subarray(end)];
      this.size = bytes.length - end;
      this.needed = 2;
      yield bytes.subarray(2, end);
    }
  }
}
