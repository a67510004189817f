import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect, type SecureContext } from 'node:tls';
import type { TlsContext } from '@weft/linux';
import type { WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import type { CancelSignal } from './cancellation.ts';
import { certifiedNames } from './peer-certificate.ts';
import { ReactorContexts } from './reactor/reactor-contexts.ts';
import { ReactorSocket } from './reactor/reactor-socket.ts';
import { ReactorTls } from './reactor/reactor-tls.ts';
import { nodeConnection, type SecureConnection } from './secure-connection.ts';
import { ALPN, ClientContexts, type TlsSettings } from './tls.ts';

export interface VerifiedConnection {
  readonly connection: SecureConnection;
  readonly peerCertificate: X509Certificate;
}

export interface ServerToVerify {
  /** Names the server in errors. */
  readonly name: string;
  /** Identities that it may have; empty: nobody will do. */
  readonly acceptable: readonly string[];
  /** The client's own. */
  readonly certificate: WorkloadCertificate;
}

/** Refuses a peer by its certificate, whose chain and name were verified (a revocation list, say). */
export type VerifyPeer = (peer: X509Certificate, own: WorkloadCertificate) => WeftError | undefined;

/** Makes connections secure, outer and inner ones alike: on the reactor if the socket is one of its, else by node:tls. */
export class TlsClient {
  private readonly reactorContexts: ReactorContexts;
  private readonly contexts: ClientContexts;
  private readonly verifyPeer: VerifyPeer | undefined;

  constructor(settings: TlsSettings | undefined, verifyPeer: VerifyPeer | undefined) {
    this.contexts = new ClientContexts(settings);
    this.reactorContexts = new ReactorContexts(settings);
    this.verifyPeer = verifyPeer;
  }

  /** @throws WEFT1201 WEFT1203, the refusal of `verifyPeer`, or the reason of `signal` */
  async secure(
    socket: Duplex | ReactorSocket,
    server: ServerToVerify,
    signal: CancelSignal,
  ): Promise<VerifiedConnection> {
    const { certificate } = server;
    const verified =
      socket instanceof ReactorSocket
        ? await secureOnReactor(socket, server, this.reactorContexts.of(certificate), signal)
        : await connectTls(socket, server, this.contexts.of(certificate), signal);
    const refusal = this.verifyPeer?.(verified.peerCertificate, certificate);
    if (refusal === undefined) return verified;
    verified.connection.destroy();
    throw refusal;
  }
}

/** As `connectTls`. */
async function secureOnReactor(
  socket: ReactorSocket,
  server: ServerToVerify,
  context: TlsContext,
  signal: CancelSignal,
): Promise<VerifiedConnection> {
  const tls = new ReactorTls(socket, context, 'client');
  const onAbort = (): void => tls.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) throw signal.reason;
    const { connection, peerCertificate, hasProtocol } = await tls.handshake().catch((cause: unknown) => {
      if (signal.aborted) throw signal.reason;
      throw new WeftError('WEFT1201', `TLS handshake with ${server.name}`, { cause });
    });
    return { connection, peerCertificate: acceptableServer(peerCertificate, hasProtocol, server) };
  } catch (error) {
    tls.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The verified certificate of a server that is one of those expected. @throws WEFT1201 WEFT1203 */
function acceptableServer(
  certificate: X509Certificate | undefined,
  hasProtocol: boolean,
  { name, acceptable }: ServerToVerify,
): X509Certificate {
  const names = certificate === undefined ? [] : certifiedNames(certificate);
  if (certificate === undefined || !names.some((uri) => acceptable.includes(uri))) {
    throw new WeftError(
      'WEFT1203',
      `${name} is [${names.join(', ')}], expected one of [${acceptable.join(', ')}]`,
    );
  }
  if (!hasProtocol) throw new WeftError('WEFT1201', `${name} did not agree on h2`);
  return certificate;
}

/**
 * The client's TLS handshake on a connected socket, or inside a tunnel: no SNI, no resumption, chain verified, and one of the URI names
 * of the server among `acceptable`; an empty list accepts nobody. Owns the socket, also on failure.
 * @throws WEFT1201 WEFT1203, or the reason of `signal`
 */
function connectTls(
  socket: Duplex,
  server: ServerToVerify,
  secureContext: SecureContext,
  signal: CancelSignal,
): Promise<VerifiedConnection> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      secureContext,
      ALPNProtocols: [ALPN],
      // The name of the host means nothing here; the identity is checked below, with the chain already verified.
      checkServerIdentity: () => undefined,
      rejectUnauthorized: true,
    });
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      tls.destroy();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const onError = (cause: Error): void =>
      fail(new WeftError('WEFT1201', `TLS handshake with ${server.name}`, { cause }));
    const onClose = (): void =>
      fail(new WeftError('WEFT1201', `${server.name} closed the connection in the TLS handshake`));
    signal.addEventListener('abort', onAbort, { once: true });
    tls.once('error', onError);
    // After a failure the socket may report more; nobody listens any more.
    tls.on('error', () => undefined);
    tls.once('close', onClose);
    tls.once('secureConnect', () => {
      let peerCertificate: X509Certificate;
      try {
        peerCertificate = acceptableServer(tls.getPeerX509Certificate(), tls.alpnProtocol === ALPN, server);
      } catch (error) {
        return fail(error);
      }
      signal.removeEventListener('abort', onAbort);
      tls.removeListener('error', onError);
      tls.removeListener('close', onClose);
      resolve({ connection: nodeConnection(tls), peerCertificate });
    });
    if (signal.aborted) onAbort();
  });
}
