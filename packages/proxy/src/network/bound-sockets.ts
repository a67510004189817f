import { createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress, Listener } from './listener.ts';
import { createConnectionInfo } from './connection-info.ts';
import { localAddressOf, remoteAddressOf } from './socket-address.ts';
import { SocketStream } from './socket-stream.ts';

interface BoundSocket {
  readonly server: Server;
  readonly port: number;
  owner: Listener;
}

/** The sockets that listen. They outlive the versions of a listener: a new one takes over without a gap. */
export class BoundSockets {
  private readonly sockets = new Map<string, BoundSocket>();
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  /** Gives the addresses of `listener` to it, binding those that are not bound yet. Rejects with the system's error. */
  async take(listener: Listener): Promise<void> {
    if (listener.binding.kind !== 'tcp') return;
    for (const address of listener.binding.addresses) {
      const key = socketKey(listener.name, address);
      const bound = this.sockets.get(key);
      if (bound !== undefined) bound.owner = listener;
      else this.sockets.set(key, await this.bind(listener, address));
    }
  }

  /** Closes those addresses of `listener` that still are its own. */
  release(listener: Listener): void {
    for (const [key, { server, owner }] of this.sockets) {
      if (owner !== listener) continue;
      server.close();
      this.sockets.delete(key);
    }
  }

  /** Ports as they were bound: what port 0 became. */
  portsOf(listener: Listener): readonly number[] {
    return [...this.sockets.values()].filter(({ owner }) => owner === listener).map(({ port }) => port);
  }

  close(): void {
    for (const { server } of this.sockets.values()) server.close();
    this.sockets.clear();
  }

  private async bind(listener: Listener, to: ListenAddress): Promise<BoundSocket> {
    // The server's handler and the record refer to each other.
    const holder: { socket?: BoundSocket } = {};
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.accept(holder.socket?.owner ?? listener, socket),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const { ip: host, port, ipv4Compat } = to;
      server.listen({ host, port, ipv6Only: !ipv4Compat, backlog: listener.backlog }, () => {
        server.off('error', reject);
        // EMFILE and the like: the kernel's queue holds the connections until descriptors are free.
        server.on('error', () => undefined);
        resolve();
      });
    });
    const address = server.address();
    const boundPort = typeof address === 'object' && address !== null ? address.port : to.port;
    holder.socket = { server, port: boundPort, owner: listener };
    return holder.socket;
  }

  private accept(listener: Listener, socket: Socket): void {
    const info = createConnectionInfo({
      remoteAddress: remoteAddressOf(socket),
      localAddress: localAddressOf(socket),
      startTimeMs: this.now(),
    });
    listener.accept(new SocketStream(socket, info));
  }
}

/** Port 0 is another port for each listener. */
function socketKey(listener: string, { ip, port }: ListenAddress): string {
  return port === 0 ? `${listener} ${ip}` : `${ip} ${port}`;
}
