import { createServer, Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { Port } from '@weft/api';
import { type Reactor, ReactorListener, type ReactorSocket } from '@weft/hbone';
import {
  acceptQueued,
  closeDescriptor,
  createTcpListener,
  ignoreNewConnections,
  inNetworkNamespace,
} from '@weft/linux';
import { systemErrorCode } from '@weft/telemetry/errors';
import type { ListenerKind, PodListeners } from './messages.ts';

const LISTEN_BACKLOG = 128;
/** How long TCP handshakes may take to end that had begun when the listener turned deaf. Below a SYN's first repetition. */
const HANDOVER_MS = 200;

const listenerPort: Readonly<Record<ListenerKind, number>> = {
  outbound: Port.outboundCapture,
  'inbound-plaintext': Port.inboundCapture,
  hbone: Port.hbone,
  socks5: Port.socks5,
};

export interface Listener {
  /** Whether the kernel granted IP_TRANSPARENT. */
  readonly isTransparent: boolean;
  /**
   * Closes it so that no client notices, if another socket of the SO_REUSEPORT group listens: a connection that this
   * one has in its handshake or its queue would be reset.
   */
  handOver(): Promise<void>;
  /** At once. */
  close(): void;
}

/**
 * Listens in the pod's namespace, on the reactor if there is one. Node's sockets come paused, but those for HBONE, which
 * TLS reads at once.
 */
export async function openListener(
  kind: ListenerKind,
  { namespaceFd, sockets }: Pick<PodListeners, 'namespaceFd' | 'sockets'>,
  reactor: Reactor | undefined,
  on: {
    readonly socket: (socket: Socket | ReactorSocket) => void;
    readonly error: (error: Error) => void;
  },
): Promise<Listener> {
  const { mark, reusePort, transparent, ipv6, keepAlive, userTimeoutMs } = sockets;
  // What connections inherit; tunnels have PINGs of their own.
  const tcp =
    kind === 'hbone'
      ? {}
      : {
          ...(keepAlive === undefined ? {} : { keepAlive }),
          ...(userTimeoutMs === undefined ? {} : { userTimeoutMs }),
        };
  const open = (host: string): { fd: number; transparent: boolean } =>
    createTcpListener({
      host,
      port: listenerPort[kind],
      backlog: LISTEN_BACKLOG,
      reusePort,
      transparent,
      tcp: { noDelay: true, ...tcp },
      ...(mark === undefined ? {} : { mark }),
    });
  const make = (): { fd: number; transparent: boolean } => {
    // Nobody but the pod itself may speak SOCKS.
    if (kind === 'socks5') return open('127.0.0.1');
    try {
      return open(ipv6 ? '::' : '0.0.0.0');
    } catch (error) {
      // A kernel without IPv6 has no dual-stack sockets.
      if (ipv6 && systemErrorCode(error) === 'EAFNOSUPPORT') return open('0.0.0.0');
      throw error;
    }
  };
  const { fd, transparent: isTransparent } = inNetworkNamespace({ fd: namespaceFd }, make);
  // SOCKS is spoken on node's sockets.
  if (reactor !== undefined && kind !== 'socks5')
    return onReactor(new ReactorListener(reactor, fd, on), fd, isTransparent);
  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: kind !== 'hbone', noDelay: true },
    on.socket,
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd, backlog: LISTEN_BACKLOG }, resolve);
  }).catch((error: unknown) => {
    closeDescriptor(fd);
    throw error;
  });
  server.on('error', on.error);
  return {
    isTransparent,
    handOver: async () => {
      ignoreNewConnections(fd);
      await setTimeout(HANDOVER_MS);
      if (!server.listening) return; // closed meanwhile, so the descriptor may be another's
      for (let queued = acceptQueued(fd); queued !== undefined; queued = acceptQueued(fd))
        on.socket(new Socket({ fd: queued, allowHalfOpen: true }).setNoDelay());
      server.close();
    },
    close: () => void server.close(),
  };
}

function onReactor(listener: ReactorListener, fd: number, isTransparent: boolean): Listener {
  return {
    isTransparent,
    handOver: async () => {
      ignoreNewConnections(fd);
      await setTimeout(HANDOVER_MS);
      listener.takeQueued();
      listener.close();
    },
    close: () => listener.close(),
  };
}
