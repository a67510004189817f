import { Socket } from 'node:net';
import {
  defaultHbonePoolLimits,
  defaultHttp2Limits,
  HbonePool,
  HboneServer,
  socketEnd,
  tunnelEnd,
  type Reactor,
  type RelayEnd,
  type TunnelResources,
} from '@weft/hbone';
import { inNetworkNamespace, originalDestination, sourceAddressTowards } from '@weft/linux';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { ipFamily, parseIp, socketAddress, type IpAddress, type SocketAddress } from '../state/ip-address.ts';
import { type ApplicationSocket, descriptorOf, onceGone, reset } from './application-socket.ts';
import type { Connection, Connections } from './connection.ts';
import { dial, dialOnReactor, type DialRequest } from './dial.ts';
import { failureOf } from './failure.ts';
import { type IncomingTunnel, tunnelOf } from './incoming-tunnel.ts';
import { openListener, type Listener } from './listener.ts';
import type { Failure, ListenerKind, Order, PodListeners, TunnelSettings } from './messages.ts';
import { move } from './move.ts';
import type { Revocation } from './revocation.ts';
import type { LocalPodEnd, SameNodeTunnels } from './same-node.ts';
import { acceptSocks } from './socks5.ts';

/** SOCKS clients of one pod in one thread that have not said yet where they want to go. */
const MAX_SOCKS_HANDSHAKES = 256;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1']);

export interface PodProxyOptions {
  readonly pod: PodListeners;
  readonly tunnels: TunnelSettings;
  /** The fast engine's; without it, sockets are node's. */
  readonly reactor: Reactor | undefined;
  readonly connections: Connections;
  /** Shared by all tunnels of the thread. */
  readonly resources: TunnelResources;
  /** The certificate that the pod's own workload serves with. */
  readonly serverCertificate: () => Promise<WorkloadCertificate>;
  readonly certificateFor: (identity: SpiffeId) => Promise<WorkloadCertificate>;
  readonly revocation: Revocation;
  readonly sameNode: SameNodeTunnels;
  /** The address of a name as the pod would hear it; undefined if it has none. */
  readonly resolve: (podUid: string, hostname: string, family: 4 | 6) => Promise<IpAddress | undefined>;
  readonly onTrouble: (peer: SocketAddress | undefined, failure: Failure) => void;
}

/** One data thread's share of a pod: its listeners, its tunnels and its connections. */
export class PodProxy implements LocalPodEnd {
  private readonly options: PodProxyOptions;
  private readonly listeners: Listener[] = [];
  private readonly hbone: HboneServer;
  private readonly pool: HbonePool;
  private readonly connections = new Set<Connection>();
  private socksHandshakes = 0;
  private isDestroyed = false;
  /** Whether clients' addresses can be shown to the application. */
  private transparent = false;

  private constructor(options: PodProxyOptions) {
    this.options = options;
    const { pod, tunnels, resources, serverCertificate, certificateFor, onTrouble, revocation } = options;
    const { streamWindowBytes, connectionWindowBytes, maxFrameBytes } = tunnels;
    const http2 = { streamWindowBytes, connectionWindowBytes, maxFrameBytes };
    this.hbone = new HboneServer({
      certificateFor: serverCertificate,
      onConnect: (request) => {
        const tunnel = tunnelOf(request);
        if (tunnel === undefined) request.reject(400);
        else void this.serveTunnel(tunnel);
      },
      verifyPeer: (peer, own) => revocation.check(peer, own),
      onError: (error, from) => {
        if (revocation.hasCut(error)) return;
        const peer = socketAddress(from.remoteAddress, from.remotePort);
        // The node agent begins handshakes inside the pod, to see whose certificate is served, and never ends them.
        if (peer === undefined || !LOOPBACK.has(peer.ip)) onTrouble(peer, failureOf(error, 'WEFT1323'));
      },
      limits: { http2: { ...defaultHttp2Limits, ...http2 } },
      tls: tunnels.tls,
      resources,
    });
    this.pool = new HbonePool({
      dial: ({ address }, signal) => {
        const target = { ip: address.ip as IpAddress, port: address.port }; // from an order, whose addresses are parsed
        return this.dial({ namespaceFd: pod.namespaceFd, target, settings: pod.sockets, signal });
      },
      certificateFor,
      verifyPeer: (peer, own) => revocation.check(peer, own),
      limits: {
        maxStreamsPerConnection: tunnels.maxStreamsPerConnection,
        unusedReleaseMs: tunnels.unusedReleaseMs,
        http2: { ...defaultHbonePoolLimits.http2, ...http2 },
      },
      tls: tunnels.tls,
      resources,
    });
  }

  /** Opens all listeners or none. */
  static async open(options: PodProxyOptions): Promise<PodProxy> {
    const proxy = new PodProxy(options);
    try {
      for (const port of options.pod.ports) await proxy.listen(port);
      return proxy;
    } catch (error) {
      proxy.destroy();
      throw error;
    }
  }

  get isTransparent(): boolean {
    return this.transparent;
  }

  get isOpen(): boolean {
    return !this.isDestroyed;
  }

  serverCertificate(): Promise<WorkloadCertificate> {
    return this.options.serverCertificate();
  }

  sourceTowards(ip: IpAddress): IpAddress | undefined {
    const { namespaceFd, sockets } = this.options.pod;
    const source = inNetworkNamespace({ fd: namespaceFd }, () => sourceAddressTowards(ip, sockets));
    return source === undefined ? undefined : parseIp(source);
  }

  /** Stops accepting and tells tunnels to go elsewhere; resolves when the tunnels into this pod have ended. */
  async drain(): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.handOver()));
    await this.hbone.drain();
  }

  /** Cuts what a changed revocation list doesn't allow any more. */
  cutRevoked(): void {
    this.options.revocation.cutRevoked(this.hbone.sessions);
    this.options.revocation.cutRevoked(this.pool.sessions);
  }

  /** Cuts everything. */
  destroy(): void {
    this.isDestroyed = true;
    for (const listener of this.listeners) listener.close();
    for (const connection of this.connections) connection.cut(podLeft);
    this.hbone.destroy();
    this.pool.close();
  }

  private async listen(kind: ListenerKind): Promise<void> {
    const { pod, reactor } = this.options;
    const listener = await openListener(kind, pod, reactor, {
      socket: (socket) => {
        // Whoever uses the socket learns of it by its close.
        if (socket instanceof Socket) socket.on('error', () => undefined);
        if (kind === 'hbone') this.hbone.accept(socket);
        else if (kind !== 'socks5') void this.serveCaptured(socket, kind);
        else if (socket instanceof Socket) void this.serveSocks(socket);
      },
      error: (error) => this.options.onTrouble(undefined, failureOf(error, 'WEFT1325')),
    });
    this.transparent = listener.isTransparent;
    this.listeners.push(listener);
  }

  /** A connection that the pod's rules redirected here. */
  private async serveCaptured(
    socket: ApplicationSocket,
    kind: 'outbound' | 'inbound-plaintext',
  ): Promise<void> {
    const fd = descriptorOf(socket);
    const original = fd === undefined ? undefined : originalDestination(fd);
    const destination =
      (original && socketAddress(original.address, original.port)) ??
      socketAddress(socket.localAddress, socket.localPort);
    // The client may be gone again before its connection was accepted here.
    if (destination === undefined) return void socket.destroy();
    await this.serveSocket(socket, kind, destination);
  }

  /** A connection of an application that asks for its destination by SOCKS. */
  private async serveSocks(socket: Socket): Promise<void> {
    const { podUid } = this.options.pod;
    if (this.socksHandshakes >= MAX_SOCKS_HANDSHAKES) return void socket.destroy();
    this.socksHandshakes++;
    const peer = socketAddress(socket.remoteAddress, socket.remotePort);
    const family = peer === undefined ? 4 : ipFamily(peer.ip);
    const destination = await acceptSocks(socket, (hostname) =>
      this.options.resolve(podUid, hostname, family),
    ).finally(() => this.socksHandshakes--);
    if (destination !== undefined) await this.serveSocket(socket, 'outbound', destination);
  }

  private async serveSocket(
    socket: ApplicationSocket,
    kind: 'outbound' | 'inbound-plaintext',
    destination: SocketAddress,
  ): Promise<void> {
    const peer = socketAddress(socket.remoteAddress, socket.remotePort);
    if (peer === undefined) return void socket.destroy();
    const { pod, connections, onTrouble, sameNode } = this.options;
    const connection = connections.ask({ kind, podUid: pod.podUid, peer, destination });
    if (connection === undefined) {
      socket.destroy();
      onTrouble(peer, tooMany);
      return;
    }
    const keepQuiet = onceGone(socket, () => connection.cut(clientGone));
    await this.run(connection, {
      connect: async (order) => {
        // Within the process, if that can be.
        const within =
          order.kind === 'tunnel'
            ? await sameNode.open(order, connection, { pod: this, port: peer.port })
            : undefined;
        const upstream = within ?? (await this.openUpstream(connection, order));
        keepQuiet();
        const downstream = socketEnd(socket);
        return () =>
          typeof upstream === 'function'
            ? upstream(downstream)
            : move(downstream, upstream, connection, connection.signal);
      },
      // The client's connection is established already: a reset can't be taken for an empty answer.
      refuse: () => reset(socket),
    });
  }

  /** A CONNECT from another pod. */
  async serveTunnel(tunnel: IncomingTunnel): Promise<void> {
    const { peer, localIp, peerIdentity, authority, headers, relayOf } = tunnel;
    const connection = this.options.connections.ask({
      kind: 'inbound-tunnel',
      podUid: this.options.pod.podUid,
      peer,
      localIp,
      peerIdentity,
      authority,
      headers,
      ...(relayOf === undefined ? {} : { relayOf }),
    });
    if (connection === undefined) {
      tunnel.reject(503);
      this.options.onTrouble(peer, tooMany);
      return;
    }
    tunnel.signal.addEventListener('abort', () => connection.cut(clientGone), { once: true });
    await this.run(connection, {
      connect: async (order) => {
        // Otherwise it is the address that a tunnel came to: nothing may leave the pod again in plaintext.
        if (relayOf !== undefined && this.sourceTowards(localIp) !== localIp)
          throw new Error(`${localIp} is not an address of the pod`);
        const upstream = await this.openUpstream(connection, order);
        const { responseHeaders = [], preamble } = order.kind === 'connect' ? order : {};
        const moveBytes = tunnel.accept(responseHeaders, upstream, connection);
        if (preamble !== undefined) upstream.write(Buffer.from(preamble));
        return moveBytes;
      },
      refuse: (status) => tunnel.reject(status),
    });
  }

  private async run(
    connection: Connection,
    steps: {
      /** What it gives moves the bytes. */
      connect(order: Exclude<Order, { kind: 'refuse' }>): Promise<() => Promise<void>>;
      refuse(status: number): void;
    },
  ): Promise<void> {
    this.connections.add(connection);
    let isRelaying = false;
    let failure: Failure | undefined;
    let fallback: Parameters<typeof failureOf>[1] = 'WEFT1315';
    try {
      const order = await connection.order();
      if (order.kind === 'refuse') return steps.refuse(order.status);
      if (order.kind === 'tunnel') fallback = 'WEFT1316';
      const moveBytes = await steps.connect(order);
      isRelaying = true;
      await moveBytes();
    } catch (error) {
      failure = failureOf(error, isRelaying ? 'WEFT1325' : fallback);
      if (!isRelaying) steps.refuse(failure.flag === 'DENY' ? 401 : 503);
    } finally {
      this.connections.delete(connection);
      this.options.connections.closed(connection, failure);
    }
  }

  private dial(request: DialRequest): Promise<ApplicationSocket> {
    const { reactor } = this.options;
    return reactor === undefined ? dial(request) : dialOnReactor(reactor, request);
  }

  private async openUpstream(
    connection: Connection,
    order: Exclude<Order, { kind: 'refuse' }>,
  ): Promise<RelayEnd> {
    const { pod } = this.options;
    const { signal } = connection;
    if (order.kind === 'connect') {
      const bindSource = this.transparent ? order.bindSource : undefined;
      return socketEnd(
        await this.dial({
          namespaceFd: pod.namespaceFd,
          target: order.upstream,
          bindSource,
          settings: pod.sockets,
          signal,
        }),
      );
    }
    const source = order.identity as SpiffeId; // made by the control thread from a workload
    const outer = await this.pool.connect({
      source,
      acceptable: order.acceptableIdentities,
      address: order.upstream,
      sourceIp: order.sourceIp,
      authority: order.authority,
      headers: Object.fromEntries(order.headers),
      signal,
    });
    if (order.inner === undefined) return tunnelEnd(outer.stream);
    const { stream, peerIdentity, responseHeaders } = await this.pool.connectInside(outer, {
      source,
      acceptable: order.inner.acceptableIdentities,
      authority: order.authority,
      headers: Object.fromEntries(order.inner.headers),
      signal,
    });
    this.options.connections.innerPeer(connection, peerIdentity, responseHeaders.get('baggage'));
    return tunnelEnd(stream);
  }
}

const clientGone: Failure = {
  code: 'WEFT1325',
  message: 'the client went away before its connection was established',
  flag: 'CONNECT',
};
const tooMany: Failure = { code: 'WEFT1326', message: 'too many connections', flag: 'CONNECT' };
const podLeft: Failure = { code: 'WEFT1327', message: 'the pod left the mesh', flag: 'CONNECT' };
