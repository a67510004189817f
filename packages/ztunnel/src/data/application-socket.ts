import type { Socket } from 'node:net';
import { ReactorSocket } from '@weft/hbone';
import { resetSocket, socketDescriptor } from '@weft/linux';

/** A connection of or to an application, on either engine. */
export type ApplicationSocket = Socket | ReactorSocket;

/** Undefined once it is closed. */
export function descriptorOf(socket: ApplicationSocket): number | undefined {
  if (!(socket instanceof ReactorSocket)) return socketDescriptor(socket);
  return socket.destroyed ? undefined : socket.fd;
}

/** Calls back when the socket closes before it is relayed; the result takes that back. */
export function onceGone(socket: ApplicationSocket, onGone: () => void): () => void {
  if (socket instanceof ReactorSocket) {
    socket.onGone = onGone;
    return () => (socket.onGone = undefined);
  }
  socket.once('close', onGone);
  return () => socket.off('close', onGone);
}

/** Ends it so that nobody takes it for an empty answer. */
export function reset(socket: ApplicationSocket): void {
  if (socket instanceof ReactorSocket) socket.abort();
  else resetSocket(socket);
}
