import { constants } from 'node:os';
import { check } from '../libc.ts';
import { decodeSocketAddress, encodeSocketAddress } from '../socket-address.ts';
import { SystemError } from '../system-error.ts';
import { type Address, bindSelf, ForeignBuffer, lastErrno } from './foreign.ts';

const { EAGAIN, EINTR, EINPROGRESS } = constants.errno;
const MSG_NOSIGNAL = 0x4000;
const MSG_PEEK = 2;
const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const ADDRESS_BYTES = 28;

/** What `receive` and `send` return in place of a length. */
export const WOULD_BLOCK = -1;

/** System calls on non-blocking sockets that no Node object owns. Nothing here allocates per call on the hot path. */
export class StreamIo {
  private readonly calls = bindSelf({
    recv: 'long recv(int, size_t, size_t, int)',
    send: 'long send(int, size_t, size_t, int)',
    connect: 'int connect(int, size_t, uint32_t)',
    shutdown: 'int shutdown(int, int)',
    close: 'int close(int)',
    getsockopt: 'int getsockopt(int, int, int, size_t, size_t)',
    setsockopt: 'int setsockopt(int, int, int, size_t, uint32_t)',
    getsockname: 'int getsockname(int, size_t, size_t)',
    getpeername: 'int getpeername(int, size_t, size_t)',
  });
  private readonly address = new ForeignBuffer(ADDRESS_BYTES);
  private readonly length = new ForeignBuffer(4);

  /** Bytes received, 0 at the end of the stream, or `WOULD_BLOCK`. @throws SystemError */
  receive(fd: number, at: Address, length: number): number {
    for (;;) {
      const received = this.calls.recv(fd, at, length, 0);
      if (received >= 0) return received;
      const errno = lastErrno();
      if (errno === EAGAIN) return WOULD_BLOCK;
      if (errno !== EINTR) throw new SystemError('read', errno);
    }
  }

  /** Whether bytes wait (1), the stream has ended (0), or neither (`WOULD_BLOCK`). @throws SystemError */
  peek(fd: number): number {
    const seen = this.calls.recv(fd, this.address.address, 1, MSG_PEEK);
    if (seen >= 0) return seen;
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EINTR) return WOULD_BLOCK;
    throw new SystemError('read', errno);
  }

  /** Bytes sent, or `WOULD_BLOCK`. @throws SystemError */
  send(fd: number, at: Address, length: number): number {
    for (;;) {
      const sent = this.calls.send(fd, at, length, MSG_NOSIGNAL);
      if (sent >= 0) return sent;
      const errno = lastErrno();
      if (errno === EAGAIN) return WOULD_BLOCK;
      if (errno !== EINTR) throw new SystemError('write', errno);
    }
  }

  /** Begins to connect; writable tells that it is decided, `takeError` how. @throws SystemError */
  connect(fd: number, ip: string, port: number): void {
    const encoded = encodeSocketAddress(ip, port);
    encoded.copy(this.address.bytes);
    if (this.calls.connect(fd, this.address.address, encoded.length) === 0) return;
    const errno = lastErrno();
    if (errno !== EINPROGRESS && errno !== EINTR) throw new SystemError('connect', errno);
  }

  /** The error that waits at the socket; it is gone then. */
  takeError(fd: number, syscall: string): SystemError | undefined {
    this.length.bytes.writeUInt32LE(4, 0);
    const at = this.address.address;
    check('getsockopt', this.calls.getsockopt(fd, SOL_SOCKET, SO_ERROR, at, this.length.address));
    const errno = this.address.bytes.readInt32LE(0);
    return errno === 0 ? undefined : new SystemError(syscall, errno);
  }

  /** The end of this direction. A socket that is gone already has nothing to end. */
  shutdownWrite(fd: number): void {
    this.calls.shutdown(fd, SHUT_WR);
  }

  /** Closing the descriptor sends RST from now on. */
  resetOnClose(fd: number): void {
    this.address.bytes.writeInt32LE(1, 0);
    this.address.bytes.writeInt32LE(0, 4);
    this.calls.setsockopt(fd, SOL_SOCKET, SO_LINGER, this.address.address, 8);
  }

  close(fd: number): void {
    check('close', this.calls.close(fd));
  }

  localAddress(fd: number): { address: string; port: number } | undefined {
    return this.nameOf(fd, 'getsockname');
  }

  /** Undefined if the peer is gone. */
  remoteAddress(fd: number): { address: string; port: number } | undefined {
    return this.nameOf(fd, 'getpeername');
  }

  private nameOf(
    fd: number,
    call: 'getsockname' | 'getpeername',
  ): { address: string; port: number } | undefined {
    this.length.bytes.writeUInt32LE(ADDRESS_BYTES, 0);
    if (this.calls[call](fd, this.address.address, this.length.address) !== 0) return undefined;
    return decodeSocketAddress(this.address.bytes);
  }
}
