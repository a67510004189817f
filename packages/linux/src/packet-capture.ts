import { constants } from 'node:os';
import { closeDescriptor } from './descriptor.ts';
import { check, errno, libc, pollReadable, type PollHandle } from './libc.ts';
import { openSocket } from './open-socket.ts';
import { SystemError } from './system-error.ts';

const { EAGAIN, EINTR } = constants.errno;
const AF_PACKET = 17;
const ETH_P_ALL_BIG_ENDIAN = 0x0300;
/** Longer frames, as segmentation offload makes them, are cut off here. */
const MAX_FRAME_BYTES = 65_536;
/** Frames handled in a turn before others get theirs; the kernel drops what its socket buffer can't hold. */
const FRAMES_PER_TURN = 64;

/** Every frame that a network interface sends or receives; needs CAP_NET_RAW. For tests and evidence, not for speed. */
export class PacketCapture {
  private readonly fd: number;
  private readonly poll: PollHandle;
  private readonly buffer = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES);
  private isClosed = false;

  private constructor(fd: number, onFrame: (frame: Buffer) => void) {
    this.fd = fd;
    this.poll = pollReadable(fd, () => this.read(onFrame));
  }

  /**
   * An interface of the calling thread's network namespace; `onFrame` gets an Ethernet frame that is its own to keep.
   * Throws a SystemError: EPERM, ENODEV…
   */
  static open(interfaceName: string, onFrame: (frame: Buffer) => void): PacketCapture {
    // Not from /sys, which shows the network namespace that it was mounted in.
    const index = libc().if_nametoindex(interfaceName);
    if (index === 0) throw new SystemError('if_nametoindex', errno(), interfaceName);
    const fd = openSocket(AF_PACKET, 'raw', ETH_P_ALL_BIG_ENDIAN);
    try {
      // struct sockaddr_ll: family, protocol, interface index, and fields that only answers carry.
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16LE(ETH_P_ALL_BIG_ENDIAN, 2);
      address.writeInt32LE(index, 4);
      check(`bind ${interfaceName}`, libc().bind(fd, address, address.length));
      return new PacketCapture(fd, onFrame);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.poll.close();
    closeDescriptor(this.fd);
  }

  private read(onFrame: (frame: Buffer) => void): void {
    for (let i = 0; i < FRAMES_PER_TURN && !this.isClosed; i++) {
      const length = libc().recv(this.fd, this.buffer, this.buffer.length, 0);
      if (length < 0) {
        const code = errno();
        if (code === EINTR) continue;
        if (code === EAGAIN) return;
        this.close();
        throw new SystemError('recv', code);
      }
      onFrame(Buffer.from(this.buffer.subarray(0, length)));
    }
  }
}

/** A TCP segment in an Ethernet frame. */
export interface TcpSegment {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** The TCP segment of a frame with IPv4 or IPv6 (without extension headers); undefined for everything else. */
export function parseTcpSegment(frame: Buffer): TcpSegment | undefined {
  if (frame.length < 34) return undefined;
  switch (frame.readUInt16BE(12)) {
    case 0x0800: {
      const headerBytes = ((frame[14] ?? 0) & 0xf) * 4;
      if (frame[23] !== 6) return undefined;
      const end = 14 + frame.readUInt16BE(16);
      return segment(frame.subarray(14 + headerBytes, end), dotted(frame, 26), dotted(frame, 30));
    }
    case 0x86dd: {
      if (frame.length < 54 || frame[20] !== 6) return undefined;
      return segment(frame.subarray(54, 54 + frame.readUInt16BE(18)), colons(frame, 22), colons(frame, 38));
    }
    default:
      return undefined;
  }
}

function segment(tcp: Buffer, source: string, destination: string): TcpSegment | undefined {
  if (tcp.length < 20) return undefined;
  return {
    source,
    sourcePort: tcp.readUInt16BE(0),
    destination,
    destinationPort: tcp.readUInt16BE(2),
    payload: tcp.subarray(((tcp[12] ?? 0) >> 4) * 4),
  };
}

function dotted(frame: Buffer, at: number): string {
  return [...frame.subarray(at, at + 4)].join('.');
}

function colons(frame: Buffer, at: number): string {
  return Array.from({ length: 8 }, (_, i) => frame.readUInt16BE(at + 2 * i).toString(16)).join(':');
}
