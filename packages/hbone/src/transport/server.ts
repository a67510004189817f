import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import type { WorkloadCertificate } from '@weft/spiffe/verification';
import { WeftError } from '@weft/telemetry/errors';
import { parseAuthority } from '../headers/authority.ts';
import { defaultHttp2Limits, type Http2Limits } from '../http2/limits.ts';
import type { RequestHead } from '../http2/message-head.ts';
import { type ConnectRequest, SessionConnectRequest } from './connect-request.ts';
import { defaultKeepalive, type KeepaliveOptions } from './keepalive.ts';
import { refuseOtherTrustDomain } from './peer-certificate.ts';
import { ReactorContexts } from './reactor/reactor-contexts.ts';
import { ReactorSocket } from './reactor/reactor-socket.ts';
import { type HandshakeResult, ReactorTls } from './reactor/reactor-tls.ts';
import { canonicalAddress, nodeConnection } from './secure-connection.ts';
import { type SessionEvents, TunnelSession } from './session.ts';
import { TunnelResources } from './tunnel-resources.ts';
import { ALPN, tlsParameters, type TlsSettings } from './tls.ts';
import type { SessionStream } from './session-stream.ts';

export interface HboneServerLimits {
  /** TLS handshakes under way; for each that is more, the oldest is given up: an honest one doesn't take long. */
  readonly maxHandshakes: number;
  readonly maxConnections: number;
  /** From the accepted connection to the end of its TLS handshake. */
  readonly handshakeTimeoutMs: number;
  readonly http2: Http2Limits;
}

export const defaultHboneServerLimits: HboneServerLimits = {
  maxHandshakes: 1_024,
  maxConnections: 16_384,
  handshakeTimeoutMs: 10_000,
  http2: defaultHttp2Limits,
};

export interface HboneServerOptions {
  /** Asked for each accepted connection, so that a rotation applies to the next one. */
  readonly certificateFor: () => Promise<WorkloadCertificate>;
  readonly onConnect: (request: ConnectRequest) => void;
  /** A connection that didn't become a session, or a session that broke the protocol or died. Coded WEFT12xx. */
  readonly onError?: (error: WeftError, connection: ConnectionAddresses) => void;
  /** Refuses a client by its certificate before any request (a revocation list, say). */
  readonly verifyPeer?: (peer: X509Certificate, own: WorkloadCertificate) => WeftError | undefined;
  readonly tls?: TlsSettings;
  readonly limits?: Partial<HboneServerLimits>;
  readonly keepalive?: KeepaliveOptions;
  readonly resources?: TunnelResources;
}

export interface ConnectionAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** What a connection that was in its handshake when the drain began has for its first request. */
const LATE_SESSION_MS = 1_000;

/** Terminates HBONE on sockets that somebody else accepted. */
export class HboneServer implements SessionEvents {
  private readonly options: HboneServerOptions;
  private readonly limits: HboneServerLimits;
  private readonly keepalive: KeepaliveOptions;
  private readonly resources: TunnelResources;
  private readonly tlsServers = new WeakMap<WorkloadCertificate, Server>();
  /** By the four addresses, the only thing that a TCP socket and the TLS socket made of it share in public. */
  private readonly handshakes = new Map<string, Handshake>();
  private readonly reactorContexts: ReactorContexts;
  private readonly sessionSet = new Set<TunnelSession>();
  private state: 'open' | 'draining' | 'closed' = 'open';
  private readonly drainWaiters: (() => void)[] = [];

  constructor(options: HboneServerOptions) {
    this.options = options;
    this.limits = { ...defaultHboneServerLimits, ...options.limits };
    this.keepalive = options.keepalive ?? defaultKeepalive;
    this.resources = options.resources ?? new TunnelResources();
    this.reactorContexts = new ReactorContexts(options.tls);
  }

  /** Open connections. */
  get sessions(): ReadonlySet<TunnelSession> {
    return this.sessionSet;
  }

  /** Takes over an accepted TCP connection; TLS is the reactor's if the socket is. */
  accept(socket: Socket | ReactorSocket): void {
    const from = addressesOf(socket);
    // A socket without an error listener would bring the process down.
    if (!(socket instanceof ReactorSocket)) socket.on('error', () => undefined);
    if (this.state !== 'open') {
      socket.destroy();
      return;
    }
    if (this.sessionSet.size >= this.limits.maxConnections) {
      socket.destroy();
      this.report(new WeftError('WEFT1208', `connection from ${nameOf(from)} refused: too many`), from);
      return;
    }
    const key = connectionKey(socket);
    const destroy = (): void => void socket.destroy();
    this.handshakes.set(key, { destroy, awaits: 'certificate', from });
    this.giveUpOldest();
    const timer = setTimeout(() => {
      this.report(new WeftError('WEFT1205', `no certificate to serve ${nameOf(from)} with in time`), from);
      socket.destroy();
    }, this.limits.handshakeTimeoutMs);
    const onGone = (): void => {
      clearTimeout(timer);
      this.handshakes.delete(key);
      this.checkDrained();
    };
    if (socket instanceof ReactorSocket) socket.onGone = onGone;
    else socket.once('close', onGone);
    this.options.certificateFor().then(
      (certificate) => {
        clearTimeout(timer); // The handshake has its own.
        if (socket.destroyed || this.state === 'closed') socket.destroy();
        else if (socket instanceof ReactorSocket) void this.secure(socket, certificate, from);
        else {
          this.handshakes.set(key, { destroy, awaits: 'peer' });
          this.tlsServer(certificate).emit('connection', socket);
        }
      },
      (cause: unknown) => {
        socket.destroy();
        this.report(
          new WeftError('WEFT1201', `no certificate to serve ${nameOf(from)} with`, { cause }),
          from,
        );
      },
    );
  }

  /**
   * Refuses new connections and streams, and lets the open streams finish; at the deadline it cuts what is left.
   * Resolves when no connection is left: true if all ended by themselves.
   */
  async drain(deadlineMs?: number): Promise<boolean> {
    if (this.state === 'open') this.state = 'draining';
    for (const session of this.sessionSet) session.drain();
    let inTime = true;
    const deadline =
      deadlineMs === undefined
        ? undefined
        : setTimeout(() => {
            inTime = false;
            this.destroy();
          }, deadlineMs);
    await new Promise<void>((resolve) => {
      this.drainWaiters.push(resolve);
      this.checkDrained();
    });
    clearTimeout(deadline);
    return inTime;
  }

  /** Cuts everything. */
  destroy(): void {
    this.state = 'closed';
    for (const handshake of this.handshakes.values()) handshake.destroy();
    for (const session of this.sessionSet) session.destroy();
  }

  /** @internal */
  onRequest(session: TunnelSession, stream: SessionStream, head: RequestHead): void {
    if (head.method !== 'CONNECT') {
      session.refuseMessage(stream, [':status', '400']);
      return;
    }
    const target = parseAuthority(head.authority);
    if (target === undefined) {
      session.respond(stream, [':status', '400'], true);
      return;
    }
    this.options.onConnect(new SessionConnectRequest(session, stream, head, target));
    if (this.state === 'draining') session.drain();
  }

  /** @internal */
  onChange(): void {}

  /** @internal */
  onClose(session: TunnelSession, error: WeftError | undefined): void {
    this.sessionSet.delete(session);
    if (error !== undefined && this.state === 'open') this.report(error, session);
    this.checkDrained();
  }

  /**
   * A `tls.Server` that never listens: it does the handshake and the verification of the client's chain. One per
   * certificate, because without SNI its context is the only way to choose the certificate.
   */
  private tlsServer(certificate: WorkloadCertificate): Server {
    let server = this.tlsServers.get(certificate);
    if (server !== undefined) return server;
    server = createServer({
      ...tlsParameters(certificate, this.options.tls),
      ALPNProtocols: [ALPN],
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: this.limits.handshakeTimeoutMs,
    });
    server.on('secureConnection', (socket) => {
      socket.on('error', () => undefined);
      const connection = nodeConnection(socket);
      const peerCertificate = socket.getPeerX509Certificate();
      this.onSecure({ connection, peerCertificate, hasProtocol: socket.alpnProtocol === ALPN }, certificate);
    });
    server.on('tlsClientError', (cause, socket) => {
      const from = addressesOf(socket);
      socket.destroy();
      this.report(new WeftError('WEFT1201', `TLS handshake with ${nameOf(from)}`, { cause }), from);
    });
    this.tlsServers.set(certificate, server);
    return server;
  }

  /** The handshake of a reactor's socket. */
  private async secure(
    socket: ReactorSocket,
    certificate: WorkloadCertificate,
    from: ConnectionAddresses,
  ): Promise<void> {
    const key = connectionKey(socket);
    let tls: ReactorTls | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      tls = new ReactorTls(socket, this.reactorContexts.of(certificate), 'server');
      const handshaking = tls;
      this.handshakes.set(key, { destroy: () => handshaking.destroy(), awaits: 'peer' });
      timer = setTimeout(() => handshaking.destroy(), this.limits.handshakeTimeoutMs);
      this.onSecure(await tls.handshake(), certificate);
    } catch (cause) {
      (tls ?? socket).destroy();
      if (this.state === 'open') {
        this.report(new WeftError('WEFT1201', `TLS handshake with ${nameOf(from)}`, { cause }), from);
      }
    } finally {
      clearTimeout(timer);
      this.handshakes.delete(key);
      this.checkDrained();
    }
  }

  /** Whoever only begins handshakes can't keep those away who finish theirs. */
  private giveUpOldest(): void {
    for (const [key, handshake] of this.handshakes) {
      if (this.handshakes.size <= this.limits.maxHandshakes) return;
      this.handshakes.delete(key);
      handshake.destroy();
      if (handshake.awaits === 'peer') continue; // told as a handshake that failed
      const { from } = handshake;
      this.report(new WeftError('WEFT1208', `connection from ${nameOf(from)} given up: too many`), from);
    }
  }

  private onSecure(secured: HandshakeResult, own: WorkloadCertificate): void {
    const { connection, peerCertificate } = secured;
    const from = addressesOf(connection);
    this.handshakes.delete(connectionKey(connection));
    const refusal = this.checkPeer(peerCertificate, secured.hasProtocol, own, from);
    if (peerCertificate === undefined || refusal !== undefined || this.state === 'closed') {
      connection.destroy();
      if (refusal !== undefined) this.report(refusal, from);
      return;
    }
    const session = new TunnelSession({
      role: 'server',
      connection,
      peerCertificate,
      limits: this.limits.http2,
      keepalive: this.keepalive,
      resources: this.resources,
      events: this,
    });
    this.sessionSet.add(session);
    // It was accepted before the drain. Some clients take a connection that starts with GOAWAY for a failed one.
    if (this.state === 'draining') setTimeout(() => session.drain(), LATE_SESSION_MS).unref();
  }

  private checkPeer(
    certificate: X509Certificate | undefined,
    hasProtocol: boolean,
    own: WorkloadCertificate,
    from: ConnectionAddresses,
  ): WeftError | undefined {
    const refusal = refuseOtherTrustDomain(certificate, own, nameOf(from));
    if (certificate === undefined || refusal !== undefined) return refusal;
    if (!hasProtocol) return new WeftError('WEFT1201', `${nameOf(from)} did not offer h2`);
    return this.options.verifyPeer?.(certificate, own);
  }

  private checkDrained(): void {
    if (this.state === 'open' || this.sessionSet.size > 0 || this.handshakes.size > 0) return;
    this.state = 'closed';
    for (const resolve of this.drainWaiters.splice(0)) resolve();
  }

  private report(error: WeftError, from: ConnectionAddresses): void {
    this.options.onError?.(error, { remoteAddress: from.remoteAddress, remotePort: from.remotePort });
  }
}

type Handshake = { readonly destroy: () => void } & (
  | { readonly awaits: 'certificate'; readonly from: ConnectionAddresses }
  | { readonly awaits: 'peer' }
);

interface Addressed {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

function addressesOf({ remoteAddress = '', remotePort = 0 }: Addressed): ConnectionAddresses {
  return { remoteAddress, remotePort };
}

function connectionKey({ remoteAddress, remotePort, localAddress, localPort }: Addressed): string {
  const [remote, local] = [canonicalAddress(remoteAddress), canonicalAddress(localAddress)];
  return `${remote} ${remotePort} ${local} ${localPort}`;
}

function nameOf({ remoteAddress, remotePort }: ConnectionAddresses): string {
  return `${remoteAddress}:${remotePort}`;
}
