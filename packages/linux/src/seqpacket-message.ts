import { addressOf, libc } from './libc.ts';

/**
 * `sendmsg` and `recvmsg` with SCM_RIGHTS on 64-bit Linux. One instance serves one connection: its buffers are
 * laid out once, with each other's addresses in them, and reused for every packet.
 *
 *   msghdr (56)  name:8 namelen:4 pad:4 iov:8 iovlen:8 control:8 controllen:8 flags:4 pad:4
 *   iovec  (16)  base:8 len:8
 *   cmsghdr(16)  len:8 level:4 type:4, then the descriptors as int32
 */
export class SeqpacketMessage {
  private readonly header = Buffer.allocUnsafeSlow(56).fill(0);
  private readonly vector = Buffer.allocUnsafeSlow(16);
  private readonly control = Buffer.allocUnsafeSlow(CONTROL_BYTES);
  private readonly data: Buffer;

  constructor(maxBytes: number) {
    this.data = Buffer.allocUnsafeSlow(maxBytes);
    this.header.writeBigUInt64LE(addressOf(this.vector), 16);
    this.header.writeBigUInt64LE(1n, 24);
    this.header.writeBigUInt64LE(addressOf(this.control), 32);
    this.vector.writeBigUInt64LE(addressOf(this.data), 0);
  }

  /** The result of sendmsg; negative leaves errno. The packet must fit `maxBytes`. */
  send(socket: number, bytes: Uint8Array, fds: readonly number[]): number {
    this.data.set(bytes);
    this.vector.writeBigUInt64LE(BigInt(bytes.length), 8);
    if (fds.length > 0) {
      this.control.writeBigUInt64LE(BigInt(CMSG_HEADER_BYTES + 4 * fds.length), 0);
      this.control.writeInt32LE(SOL_SOCKET, 8);
      this.control.writeInt32LE(SCM_RIGHTS, 12);
      fds.forEach((fd, i) => this.control.writeInt32LE(fd, CMSG_HEADER_BYTES + 4 * i));
    }
    const controlBytes = fds.length === 0 ? 0 : CMSG_HEADER_BYTES + 8 * Math.ceil(fds.length / 2);
    this.header.writeBigUInt64LE(BigInt(controlBytes), 40);
    return libc().sendmsg(socket, this.header, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** The result of recvmsg; negative leaves errno. On success `received` has the packet. */
  receive(socket: number): number {
    this.vector.writeBigUInt64LE(BigInt(this.data.length), 8);
    this.header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    return libc().recvmsg(socket, this.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  }

  /** A copy of what the last `receive` of `length` bytes brought. */
  received(length: number): { bytes: Buffer; fds: number[]; truncated: boolean } {
    const flags = this.header.readInt32LE(48);
    return {
      bytes: Buffer.from(this.data.subarray(0, length)),
      fds: this.receivedDescriptors(),
      truncated: (flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0,
    };
  }

  private receivedDescriptors(): number[] {
    const fds: number[] = [];
    const end = Number(this.header.readBigUInt64LE(40));
    for (let at = 0; at + CMSG_HEADER_BYTES <= end; ) {
      const length = Number(this.control.readBigUInt64LE(at));
      if (length < CMSG_HEADER_BYTES) break;
      const isRights =
        this.control.readInt32LE(at + 8) === SOL_SOCKET && this.control.readInt32LE(at + 12) === SCM_RIGHTS;
      for (let i = at + CMSG_HEADER_BYTES; isRights && i + 4 <= at + length; i += 4) {
        fds.push(this.control.readInt32LE(i));
      }
      at += 8 * Math.ceil(length / 8);
    }
    return fds;
  }
}

export const MAX_DESCRIPTORS = 16;

const CMSG_HEADER_BYTES = 16;
const CONTROL_BYTES = CMSG_HEADER_BYTES + 4 * MAX_DESCRIPTORS;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
