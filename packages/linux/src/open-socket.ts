import { check, libc } from './libc.ts';

/** Numbers of the kernel's socket interface on x86-64 and arm64, where they are equal. */
const types = { stream: 1, datagram: 2, raw: 3, seqpacket: 5 } as const;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** A non-blocking, close-on-exec socket in the thread's present network namespace. Throws a SystemError. */
export function openSocket(family: number, type: keyof typeof types, protocol = 0): number {
  return check('socket', libc().socket(family, types[type] | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

/** `accept4`: a socket as `openSocket` makes them, or a negative number and `errno`. */
export function acceptSocket(listenerFd: number): number {
  return libc().accept4(listenerFd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
