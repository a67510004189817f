import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import type { WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import { certifiedNames } from './peer-certificate.ts';
import { ALPN, ClientContexts, type TlsSettings } from './tls.ts';

export interface VerifiedSocket {
  readonly socket: TLSSocket;
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

/** Makes connections secure, outer and inner ones alike. */
export class TlsClient {
  private readonly contexts: ClientContexts;
  private readonly verifyPeer: VerifyPeer | undefined;

  constructor(settings: TlsSettings | undefined, verifyPeer: VerifyPeer | undefined) {
    this.contexts = new ClientContexts(settings);
    this.verifyPeer = verifyPeer;
  }

  /** @throws WEFT1201 WEFT1203, the refusal of `verifyPeer`, or the reason of `signal` */
  async secure(socket: Duplex, server: ServerToVerify, signal: AbortSignal): Promise<VerifiedSocket> {
    const { name, acceptable, certificate } = server;
    const verified = await connectTls(socket, name, this.contexts.of(certificate), acceptable, signal);
    const refusal = this.verifyPeer?.(verified.peerCertificate, certificate);
    if (refusal === undefined) return verified;
    verified.socket.destroy();
    throw refusal;
  }
}

/**
 * The client's TLS handshake on a connected socket, or inside a tunnel: no SNI, no resumption, chain verified, and one of the URI names
 * of the server among `acceptable`; an empty list accepts nobody. Owns the socket, also on failure.
 * @param peer names the server in errors
 * @throws WEFT1201 WEFT1203, or the reason of `signal`
 */
function connectTls(
  socket: Duplex,
  peer: string,
  secureContext: SecureContext,
  acceptable: readonly string[],
  signal: AbortSignal,
): Promise<VerifiedSocket> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      secureContext,
      ALPNProtocols: ALPN,
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
      fail(new WeftError('WEFT1201', `TLS handshake with ${peer}`, { cause }));
    const onClose = (): void =>
      fail(new WeftError('WEFT1201', `${peer} closed the connection in the TLS handshake`));
    signal.addEventListener('abort', onAbort, { once: true });
    tls.once('error', onError);
    // After a failure the socket may report more; nobody listens any more.
    tls.on('error', () => undefined);
    tls.once('close', onClose);
    tls.once('secureConnect', () => {
      const certificate = tls.getPeerX509Certificate();
      const names = certificate === undefined ? [] : certifiedNames(certificate);
      if (certificate === undefined || !names.some((name) => acceptable.includes(name))) {
        fail(
          new WeftError(
            'WEFT1203',
            `${peer} is [${names.join(', ')}], expected one of [${acceptable.join(', ')}]`,
          ),
        );
        return;
      }
      if (tls.alpnProtocol !== 'h2') {
        fail(new WeftError('WEFT1201', `${peer} did not agree on h2`));
        return;
      }
      signal.removeEventListener('abort', onAbort);
      tls.removeListener('error', onError);
      tls.removeListener('close', onClose);
      resolve({ socket: tls, peerCertificate: certificate });
    });
    if (signal.aborted) onAbort();
  });
}
