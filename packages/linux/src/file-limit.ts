import { check, libc } from './libc.ts';

const RLIMIT_NOFILE = 7;

/** Raises the soft limit of open files to the hard one and returns it. */
export function raiseFileLimit(): number {
  const limit = Buffer.alloc(16);
  check('getrlimit', libc().getrlimit(RLIMIT_NOFILE, limit));
  const hard = limit.readBigUInt64LE(8);
  if (limit.readBigUInt64LE(0) < hard) {
    limit.writeBigUInt64LE(hard, 0);
    check('setrlimit', libc().setrlimit(RLIMIT_NOFILE, limit));
  }
  return Number(hard);
}
