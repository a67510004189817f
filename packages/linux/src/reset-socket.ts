import type { Socket } from 'node:net';
import { socketDescriptor } from './descriptor.ts';
import { closeByReset } from './socket-options.ts';

/**
 * Closes a TCP connection at once by RST, whatever waits to be sent. Not `Socket.resetAndDestroy()`: that waits for what
 * was written, and once the socket's own end is under way libuv refuses to reset it (EINVAL), whereupon Node forgets the
 * descriptor without closing it and `close` never comes (Node 20 to 24).
 *
 * @param carrier the TCP socket, where `socket` is TLS on top of it
 */
export function resetSocket(socket: Socket, carrier: Socket = socket): void {
  if (socket.destroyed) return;
  const fd = socketDescriptor(carrier) ?? socketDescriptor(socket);
  if (fd !== undefined) closeByReset(fd);
  socket.destroy();
}
