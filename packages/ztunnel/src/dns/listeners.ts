import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { closeDescriptor, createTcpListener, createUdpSocket, inNetworkNamespace } from '@weft/linux';
import { systemErrorCode } from '@weft/telemetry';
import type { DnsResponder } from './responder.ts';
import { StreamClient } from './stream-client.ts';
import type { SocketSettings } from '../data/messages.ts';
import { ipFamily, type SocketAddress } from '../state/ip-address.ts';

/** Of one pod and address family. */
export const MAX_TCP_CONNECTIONS = 64;
const LISTEN_BACKLOG = 128;

export interface DnsListenersOptions {
  /** Undefined for the process's own namespace. */
  readonly namespaceFd: number | undefined;
  readonly sockets: SocketSettings;
  readonly addresses: readonly SocketAddress[];
  readonly responder: DnsResponder;
  readonly onError: (error: Error) => void;
}

/** The sockets of one pod's DNS proxy, UDP and TCP, on the loopback addresses that its rules redirect to. */
export class DnsListeners {
  private readonly options: DnsListenersOptions;
  private readonly datagrams: UdpSocket[] = [];
  private readonly servers: Server[] = [];
  private readonly connections = new Set<Socket>();

  private constructor(options: DnsListenersOptions) {
    this.options = options;
  }

  /** Opens all or none. Throws a SystemError, or what Node says. */
  static async open(options: DnsListenersOptions): Promise<DnsListeners> {
    const listeners = new DnsListeners(options);
    try {
      const hasIpv6 =
        options.sockets.ipv6 && inNetworkNamespace({ fd: options.namespaceFd }, loopbackHasIpv6);
      for (const address of options.addresses) {
        if (ipFamily(address.ip) === 6 && !hasIpv6) continue;
        await listeners.listen(address);
        listeners.receive(address);
      }
      return listeners;
    } catch (error) {
      listeners.close();
      throw error;
    }
  }

  close(): void {
    for (const socket of this.datagrams.splice(0)) socket.close();
    for (const server of this.servers.splice(0)) server.close();
    for (const socket of this.connections) socket.destroy();
  }

  private receive({ ip, port }: SocketAddress): void {
    const { sockets, responder, onError } = this.options;
    const { mark, reusePort } = sockets;
    const family = ipFamily(ip);
    const fd = inNetworkNamespace({ fd: this.options.namespaceFd }, () =>
      createUdpSocket({
        family,
        ...(mark === undefined ? {} : { mark }),
        bind: { host: ip, port, reusePort },
      }),
    );
    const socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      lookup: (host, _, done) => done(null, host, family), // peers are addresses
    });
    let isOpen = true;
    socket.on('close', () => (isOpen = false));
    socket.on('error', onError);
    socket.on('message', (request, peer) => {
      void responder.respond(request, 'udp').then((response) => {
        // The client may be gone, or the kernel's queue full: it will ask again.
        if (response !== undefined && isOpen) socket.send(response, peer.port, peer.address, () => undefined);
      });
    });
    socket.bind({ fd });
    this.datagrams.push(socket);
  }

  private async listen({ ip, port }: SocketAddress): Promise<void> {
    const { sockets, responder, onError } = this.options;
    const { mark, reusePort } = sockets;
    const { fd } = inNetworkNamespace({ fd: this.options.namespaceFd }, () =>
      createTcpListener({ host: ip, port, reusePort, ...(mark === undefined ? {} : { mark }) }),
    );
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.connections.add(socket);
      socket.once('close', () => this.connections.delete(socket));
      new StreamClient(socket, responder);
    });
    server.maxConnections = MAX_TCP_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd, backlog: LISTEN_BACKLOG }, resolve);
    }).catch((error: unknown) => {
      closeDescriptor(fd);
      throw error;
    });
    server.on('error', onError);
    this.servers.push(server);
  }
}

/** In the thread's present namespace; without IPv6 in the kernel there is no such file. */
function loopbackHasIpv6(): boolean {
  try {
    return readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8').trim() !== '1';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
