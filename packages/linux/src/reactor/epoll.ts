import { constants } from 'node:os';
import { check, pollReadable, type PollHandle } from '../libc.ts';
import { SystemError } from '../system-error.ts';
import { bindSelf, ForeignBuffer, lastErrno } from './foreign.ts';

/** Bits of an event; `hangup` and `error` come unasked. */
export const EpollEvent = {
  readable: 0x1,
  writable: 0x4,
  error: 0x8,
  hangup: 0x10,
  /** The peer finished its direction. */
  readHangup: 0x2000,
} as const;

const EDGE_TRIGGERED = 0x8000_0000;
const INTEREST = (EpollEvent.readable | EpollEvent.writable | EpollEvent.readHangup | EDGE_TRIGGERED) >>> 0;
const ADD = 1;
const DELETE = 2;
const EPOLL_CLOEXEC = 0o2000000;
const EVENTS_PER_WAIT = 256;
/** `struct epoll_event` is packed on x86-64 only. In 32-bit words: its size, and where the descriptor is. */
const [EVENT_WORDS, DATA_WORD] = process.arch === 'x64' ? [3, 1] : [4, 2];

/** An edge-triggered set of descriptors. */
export class Epoll {
  private readonly calls = bindSelf({
    create: 'int epoll_create1(int)',
    control: 'int epoll_ctl(int, int, int, size_t)',
    wait: 'int epoll_wait(int, size_t, int, int)',
    close: 'int close(int)',
  });
  private readonly events = new ForeignBuffer(EVENTS_PER_WAIT * EVENT_WORDS * 4);
  private readonly words: Int32Array;
  private readonly change = new ForeignBuffer(EVENT_WORDS * 4);
  readonly fd: number;
  private poll: PollHandle | undefined;

  constructor() {
    const { buffer, byteOffset, length } = this.events.bytes;
    this.words = new Int32Array(buffer, byteOffset, length / 4);
    this.fd = check('epoll_create1', this.calls.create(EPOLL_CLOEXEC));
  }

  /** Tells each change of readability and writability from now on, beginning with how it is now. */
  add(fd: number): void {
    this.change.bytes.writeUInt32LE(INTEREST, 0);
    this.change.bytes.writeInt32LE(fd, DATA_WORD * 4);
    check('epoll_ctl', this.calls.control(this.fd, ADD, fd, this.change.address));
  }

  delete(fd: number): void {
    check('epoll_ctl', this.calls.control(this.fd, DELETE, fd, this.change.address));
  }

  /** Calls back for each event that is there, up to a fixed number; the rest come at the next call. */
  dispatch(onEvent: (fd: number, events: number) => void): void {
    const count = this.calls.wait(this.fd, this.events.address, EVENTS_PER_WAIT, 0);
    if (count < 0) {
      const errno = lastErrno();
      if (errno === constants.errno.EINTR) return;
      throw new SystemError('epoll_wait', errno);
    }
    const { words } = this;
    for (let at = 0; at < count * EVENT_WORDS; at += EVENT_WORDS) {
      onEvent(words[at + DATA_WORD] ?? -1, words[at] ?? 0);
    }
  }

  /** Calls back from the thread's event loop whenever there are events, until `close`. */
  watch(onReady: () => void): void {
    this.poll = pollReadable(this.fd, onReady);
  }

  /** Undoes `watch`. A thread that ends without takes the process with it: koffi's handle outlives its loop. */
  unwatch(): void {
    this.poll?.close();
    this.poll = undefined;
  }

  close(): void {
    this.unwatch();
    check('close', this.calls.close(this.fd));
  }
}
