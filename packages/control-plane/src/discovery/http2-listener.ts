import { type Server, type Socket, createServer } from 'node:net';
import { X509Certificate, constants } from 'node:crypto';
import { type TLSSocket, createServer as createTlsServer } from 'node:tls';
import { RevocationLists, certificateBlocks } from '@weft/spiffe';
import type { MeshAuthority } from '../ca/mesh-authority.ts';
import type { ServingCertificates } from '../ca/serving-certificate.ts';
import { WeftError, listenOn } from '@weft/telemetry';

export interface Http2ListenerOptions {
  /** Gets sockets on which HTTP/2 has begun; nothing has been consumed. */
  readonly onConnection: (socket: Socket) => void;
  /** WEFT1822: whatever connected spoke something else. */
  readonly onGarbage: (error: WeftError, remoteAddress: string) => void;
  /** Without them the listener is plaintext. */
  readonly tls?: {
    readonly certificates: ServingCertificates;
    /** What client certificates have to lead to. */
    readonly authority: Pick<MeshAuthority, 'rootsPem' | 'crlPem' | 'subscribe'>;
  };
}

/** RFC 9113 §3.4: what every HTTP/2 client says first. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const GREETING_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 12_000;

/**
 * A door before the gRPC server, which drops what isn't HTTP/2 in silence: here it is counted, with a code, and costs
 * one socket for ten seconds at most.
 *
 *     connected ──TLS──▶ greeted? ──preface──▶ handed to gRPC
 *          └──failed, or too late──▶ counted and closed
 */
export class Http2Listener {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly options: Http2ListenerOptions;
  private readonly stopCertificates: () => void;

  constructor(options: Http2ListenerOptions) {
    this.options = options;
    if (options.tls === undefined) {
      this.server = createServer((socket) => this.greet(socket));
      this.stopCertificates = () => undefined;
    } else {
      [this.server, this.stopCertificates] = this.tlsServer(options.tls);
    }
    this.server.maxConnections = MAX_CONNECTIONS;
    // Before TLS, too, so that closing leaves nothing.
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined);
    });
  }

  /** Dual stack where the machine has IPv6. Resolves to the bound port. */
  listen(port: number): Promise<number> {
    return listenOn(this.server, port);
  }

  async close(): Promise<void> {
    this.stopCertificates();
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private tlsServer({
    certificates,
    authority,
  }: NonNullable<Http2ListenerOptions['tls']>): [Server, () => void] {
    let roots: readonly X509Certificate[] = [];
    let revoked = RevocationLists.none;
    const server = createTlsServer(
      {
        ALPNProtocols: ['h2'],
        handshakeTimeout: GREETING_TIMEOUT_MS,
        // Asked for, not required: node proxies have tokens. A wrong one is refused, not taken for none.
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: 'TLSv1.2',
      },
      (socket) => {
        const problem = problemOfClient(socket, roots, revoked);
        if (problem === undefined) this.greet(socket);
        else this.refuse(socket, 'the client certificate is not good', problem);
      },
    );
    server.on('tlsClientError', (error, socket) => this.refuse(socket, 'the TLS handshake failed', error));
    const update = (): void => {
      const { keyPem, chainPem } = certificates.current;
      const { rootsPem, crlPem } = authority;
      roots = certificateBlocks(rootsPem).map((pem) => new X509Certificate(pem));
      revoked = RevocationLists.parse(Buffer.from(crlPem));
      server.setSecureContext({
        key: keyPem,
        cert: chainPem,
        ca: rootsPem,
        minVersion: 'TLSv1.2',
        // A resumed session would outlive the roots and revocations that it was verified by.
        secureOptions: constants.SSL_OP_NO_TICKET,
      });
    };
    const unsubscribe = [certificates.subscribe(update), authority.subscribe(update)];
    return [server, () => unsubscribe.forEach((stop) => stop())];
  }

  private greet(socket: Socket): void {
    socket.on('error', () => undefined);
    const timer = setTimeout(() => finish('nothing was said in time'), GREETING_TIMEOUT_MS);
    let received = Buffer.alloc(0);
    const onReadable = (): void => {
      const chunk: unknown = socket.read();
      if (!Buffer.isBuffer(chunk)) return;
      received = Buffer.concat([received, chunk]);
      const compared = Math.min(received.length, PREFACE.length);
      if (!received.subarray(0, compared).equals(PREFACE.subarray(0, compared)))
        return finish('this is not HTTP/2');
      if (compared === PREFACE.length) finish(undefined);
    };
    const onEnd = (): void =>
      finish(received.length === 0 ? 'closed' : 'closed in the middle of the greeting');
    const finish = (problem: string | undefined): void => {
      clearTimeout(timer);
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      if (problem === undefined) {
        socket.unshift(received);
        this.options.onConnection(socket);
      } else if (problem === 'closed') {
        socket.destroy(); // a health check by TCP
      } else {
        this.refuse(socket, problem);
      }
    };
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
  }

  private refuse(socket: Socket, problem: string, cause?: unknown): void {
    const address = socket.remoteAddress ?? '';
    socket.destroy();
    this.options.onGarbage(new WeftError('WEFT1822', problem, cause === undefined ? {} : { cause }), address);
  }
}

function problemOfClient(
  socket: TLSSocket,
  roots: readonly X509Certificate[],
  revoked: RevocationLists,
): unknown {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) return socket.authorizationError;
  return revoked.check(certificate, roots);
}
