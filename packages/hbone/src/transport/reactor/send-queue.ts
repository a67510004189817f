import { type Address, ForeignBuffer, type StreamIo, WOULD_BLOCK } from '@weft/linux';

/** Bytes that the kernel didn't take yet. */
export class SendQueue {
  private readonly io: StreamIo;
  private readonly fd: number;
  private chunks: ForeignBuffer[] = [];
  private offset = 0;
  size = 0;

  constructor(io: StreamIo, fd: number) {
    this.io = io;
    this.fd = fd;
  }

  /** Sends as much as the kernel takes, and keeps a copy of the rest. True: nothing is left. @throws SystemError */
  send(at: Address, bytes: Buffer): boolean {
    let sent = 0;
    if (this.size === 0) {
      sent = Math.max(0, this.io.send(this.fd, at, bytes.length));
      if (sent === bytes.length) return true;
    }
    const rest = new ForeignBuffer(bytes.length - sent);
    bytes.copy(rest.bytes, 0, sent);
    this.keep(rest);
    return false;
  }

  /** Behind what waits. The buffer is the queue's from now on. */
  keep(chunk: ForeignBuffer): void {
    this.chunks.push(chunk);
    this.size += chunk.bytes.length;
  }

  /** True: nothing is left. @throws SystemError */
  flush(): boolean {
    while (this.size > 0) {
      const [chunk] = this.chunks;
      if (chunk === undefined) break;
      const wanted = chunk.bytes.length - this.offset;
      const sent = this.io.send(this.fd, chunk.address + this.offset, wanted);
      if (sent === WOULD_BLOCK) return false;
      this.size -= sent;
      if (sent === wanted) {
        this.chunks.shift();
        this.offset = 0;
      } else this.offset += sent;
    }
    return true;
  }

  clear(): void {
    this.chunks = [];
    this.offset = 0;
    this.size = 0;
  }
}
