import { constants } from 'node:os';
import { check } from '../libc.ts';
import { SystemError } from '../system-error.ts';
import { bindSelf, ForeignBuffer, lastErrno } from './foreign.ts';
import { WOULD_BLOCK } from './stream-io.ts';

const { EAGAIN, EINTR } = constants.errno;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const F_SETPIPE_SZ = 1031;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
/** What a user without privileges may have for some dozens of pipes; more is granted in smaller ones. */
export const PIPE_BYTES = 256 * 1024;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** Moves bytes between a socket and a pipe without copying them to the process. */
export class Splice {
  private readonly calls = bindSelf({
    splice: 'long splice(int, size_t, int, size_t, size_t, uint)',
    pipe2: 'int pipe2(size_t, int)',
    fcntl: 'int fcntl(int, int, int)',
  });
  private readonly ends = new ForeignBuffer(8);

  openPipe(): Pipe {
    check('pipe2', this.calls.pipe2(this.ends.address, O_NONBLOCK | O_CLOEXEC));
    const [readEnd, writeEnd] = [this.ends.bytes.readInt32LE(0), this.ends.bytes.readInt32LE(4)];
    this.calls.fcntl(writeEnd, F_SETPIPE_SZ, PIPE_BYTES); // best effort
    return { readEnd, writeEnd };
  }

  /**
   * Bytes moved, 0 at the end of `from`, or `WOULD_BLOCK`: `from` has none, or `to` no room.
   * @param as what it is to the socket, and is called in errors
   * @throws SystemError
   */
  move(from: number, to: number, length: number, as: 'read' | 'write'): number {
    for (;;) {
      const moved = this.calls.splice(from, 0, to, 0, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (moved >= 0) return moved;
      const errno = lastErrno();
      if (errno === EAGAIN) return WOULD_BLOCK;
      if (errno !== EINTR) throw new SystemError(as, errno);
    }
  }
}
