import { check, libc } from './libc.ts';

/** Numbers of the kernel's socket interface on x86-64 and arm64, where they are equal. */
export const SOL_SOCKET = 1;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_MARK = 36;

export const SOL_IPV6 = 41;
export const IPV6_V6ONLY = 26;

export function setOption(fd: number, level: number, option: number, value: number): true {
  check(`setsockopt ${level}/${option}`, setNumber(fd, level, option, value));
  return true;
}

export function trySetOption(fd: number, level: number, option: number, value: number): boolean {
  return setNumber(fd, level, option, value) === 0;
}

/** An int for one call at a time: a buffer for each would be most of what an option costs. */
const scratch = Buffer.allocUnsafeSlow(4);

function setNumber(fd: number, level: number, option: number, value: number): number {
  scratch.writeInt32LE(value, 0);
  return libc().setsockopt(fd, level, option, scratch, scratch.length);
}

/** `close` sends RST and throws away what was not sent yet: SO_LINGER with a time of 0. */
export function closeByReset(fd: number): void {
  const linger = Buffer.alloc(8);
  linger.writeInt32LE(1, 0); // struct linger { l_onoff, l_linger }
  libc().setsockopt(fd, SOL_SOCKET, SO_LINGER, linger, linger.length);
}
