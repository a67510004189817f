import { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { createTcpSocket, inNetworkNamespace, openNetworkNamespace } from '@weft/linux';
import { createWebSocketStream, type WebSocket } from 'ws';

const CONNECT_TIMEOUT_MS = 10_000;

/** A connection to a port of the pod's loopback. A socket belongs to the namespace in which it was made. */
export function connectInPod(netns: string | undefined, port: number): Promise<Socket> {
  if (!(port > 0 && port < 65_536)) throw new RangeError(`${port} is not a port`);
  const socket = new Socket({ fd: openSocket(netns), readable: true, writable: true, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error(`no answer on port ${port}`)));
    socket.once('error', reject);
    socket.connect({ host: '127.0.0.1', port }, () => {
      socket.setTimeout(0);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function openSocket(netns: string | undefined): number {
  if (netns === undefined) return createTcpSocket({ family: 4 }).fd;
  const namespace = openNetworkNamespace(netns);
  try {
    return inNetworkNamespace(namespace, () => createTcpSocket({ family: 4 }).fd);
  } finally {
    namespace.close();
  }
}

/** Ties a connection to a WebSocket, whose messages are its bytes. */
export function forwardPort(client: WebSocket, connection: Socket): void {
  const stream = createWebSocketStream(client);
  pipeline(stream, connection, () => undefined);
  pipeline(connection, stream, () => undefined);
}
