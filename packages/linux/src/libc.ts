import koffi from 'koffi';
import { SystemError } from './system-error.ts';

/**
 * The libc functions in use, bound on first call. Pointers are `void *` and structures are Buffers laid out
 * by hand: koffi's own structures cost microseconds a call and register names for the whole process.
 */
export interface Libc {
  readonly accept4: (fd: number, address: null, length: null, flags: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly close: (fd: number) => number;
  readonly connect: (fd: number, address: Buffer, length: number) => number;
  readonly getrlimit: (resource: number, limit: Buffer) => number;
  readonly getsockname: (fd: number, address: Buffer, length: Buffer) => number;
  readonly getsockopt: (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;
  readonly if_nametoindex: (name: string) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly recv: (fd: number, buffer: Buffer, length: number, flags: number) => number;
  readonly recvmsg: (fd: number, message: Buffer, flags: number) => number;
  readonly sendmsg: (fd: number, message: Buffer, flags: number) => number;
  readonly setns: (fd: number, kind: number) => number;
  readonly setrlimit: (resource: number, limit: Buffer) => number;
  readonly setsockopt: (fd: number, level: number, option: number, value: Buffer, length: number) => number;
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly unshare: (flags: number) => number;
}

let bound: Libc | undefined;

export function libc(): Libc {
  bound ??= bindLibc();
  return bound;
}

function bindLibc(): Libc {
  // The program itself: node is linked to whichever libc the machine has.
  const self = koffi.load(null);
  const bind = (definition: string): never => self.func(definition) as never; // typed by the interface above
  return {
    accept4: bind('int accept4(int, void *, void *, int)'),
    bind: bind('int bind(int, void *, uint32_t)'),
    close: bind('int close(int)'),
    connect: bind('int connect(int, void *, uint32_t)'),
    getrlimit: bind('int getrlimit(int, void *)'),
    getsockname: bind('int getsockname(int, void *, void *)'),
    getsockopt: bind('int getsockopt(int, int, int, void *, void *)'),
    if_nametoindex: bind('unsigned int if_nametoindex(const char *)'),
    listen: bind('int listen(int, int)'),
    recv: bind('long recv(int, void *, size_t, int)'),
    recvmsg: bind('long recvmsg(int, void *, int)'),
    sendmsg: bind('long sendmsg(int, void *, int)'),
    setns: bind('int setns(int, int)'),
    setrlimit: bind('int setrlimit(int, void *)'),
    setsockopt: bind('int setsockopt(int, int, int, void *, uint32_t)'),
    socket: bind('int socket(int, int, int)'),
    unshare: bind('int unshare(int)'),
  };
}

/**
 * Passes a result on, or throws the SystemError of a failed call. The libc call must be the argument's own
 * expression: anything that runs between it and the look at errno may change errno.
 */
export function check(syscall: string, result: number): number {
  if (result >= 0) return result;
  throw new SystemError(syscall, koffi.errno());
}

/** errno of the call just made. */
export function errno(): number {
  return koffi.errno();
}

/** Where a buffer's bytes are. The buffer must be of `allocUnsafeSlow` and outlive the use of the address. */
export function addressOf(buffer: Buffer): bigint {
  return koffi.address(buffer);
}

export interface PollHandle {
  close(): void;
}

/** Calls back whenever the descriptor is readable (or at its end) until closed. Close it before the descriptor. */
export function pollReadable(fd: number, onReadable: () => void): PollHandle {
  return koffi.node.poll(fd, { readable: true }, () => onReadable());
}
