import { getSystemErrorMap } from 'node:util';

/** A failed system call, shaped like Node's own: `code` is the errno's name. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number, detail?: string) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error'];
    super(`${syscall}${detail === undefined ? '' : ` ${detail}`}: ${code}, ${text}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}
