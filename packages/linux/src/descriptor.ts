import type { Socket } from 'node:net';
import { check, libc } from './libc.ts';

/** Closes a descriptor that no Node object owns. */
export function closeDescriptor(fd: number): void {
  check('close', libc().close(fd));
}

/** The kernel's number for a connected socket, or undefined once it is closed. Node offers no public way. */
export function socketDescriptor(socket: Socket): number | undefined {
  // `_handle` is undocumented but has been there, with `fd`, in every version of Node since 0.10.
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
