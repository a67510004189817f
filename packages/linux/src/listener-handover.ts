import { constants } from 'node:os';
import { addressOf, check, errno, libc } from './libc.ts';
import { acceptSocket } from './open-socket.ts';
import { SystemError } from './system-error.ts';

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const { EAGAIN, ECONNABORTED, EINTR } = constants.errno;

/** Classic BPF over the TCP header: drops what has SYN and not ACK. `struct sock_filter` is code, jt, jf, k. */
const DROP_NEW_CONNECTIONS: readonly (readonly [code: number, jt: number, jf: number, k: number])[] = [
  [0x30, 0, 0, 13], // A = the byte of flags
  [0x54, 0, 0, 0x12], // A &= SYN | ACK
  [0x15, 0, 1, 0x02], // SYN alone?
  [0x06, 0, 0, 0], // drop
  [0x06, 0, 0, 0xffff_ffff], // pass
];

/** Kept, for a call gets its address only. */
let filter: Buffer | undefined;

/**
 * Makes a listening socket deaf to new connections without resetting any: the kernel drops their SYNs, and clients
 * send those again after a second, when another socket of the SO_REUSEPORT group gets them, if this one is closed.
 * Connections that it began to establish, and those in its queue, are not touched.
 */
export function ignoreNewConnections(listenerFd: number): void {
  filter ??= encodeFilter();
  const program = Buffer.alloc(16); // struct sock_fprog, which the kernel copies
  program.writeUInt16LE(DROP_NEW_CONNECTIONS.length, 0);
  program.writeBigUInt64LE(addressOf(filter), 8);
  const result = libc().setsockopt(listenerFd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length);
  check('setsockopt SO_ATTACH_FILTER', result);
}

/** Takes one established connection out of a non-blocking listener's queue; undefined when that is empty. */
export function acceptQueued(listenerFd: number): number | undefined {
  for (;;) {
    const fd = acceptSocket(listenerFd);
    if (fd >= 0) return fd;
    const failure = errno();
    if (failure === EAGAIN) return undefined;
    if (failure !== ECONNABORTED && failure !== EINTR) throw new SystemError('accept4', failure);
  }
}

function encodeFilter(): Buffer {
  const encoded = Buffer.allocUnsafeSlow(DROP_NEW_CONNECTIONS.length * 8);
  for (const [i, [code, jt, jf, k]] of DROP_NEW_CONNECTIONS.entries()) {
    encoded.writeUInt16LE(code, i * 8);
    encoded.writeUInt8(jt, i * 8 + 2);
    encoded.writeUInt8(jf, i * 8 + 3);
    encoded.writeUInt32LE(k, i * 8 + 4);
  }
  return encoded;
}
