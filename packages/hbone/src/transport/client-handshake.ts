import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { WeftError } from '@weft/telemetry';
import { uriNames } from './peer-certificate.ts';
import { ALPN } from './tls.ts';

export interface VerifiedSocket {
  readonly socket: TLSSocket;
  readonly peerCertificate: X509Certificate;
}

/**
 * The client's TLS handshake on a connected socket: no SNI, no resumption, chain verified, and one of the URI names
 * of the server among `acceptable`; an empty list accepts nobody. Owns the socket, also on failure.
 * @throws WEFT1201 WEFT1203, or the reason of `signal`
 */
export function connectTls(
  socket: Socket,
  secureContext: SecureContext,
  acceptable: readonly string[],
  signal: AbortSignal,
): Promise<VerifiedSocket> {
  return new Promise((resolve, reject) => {
    // Before TLS takes over, the name: a closed socket doesn't know it any more.
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
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
      const names = certificate === undefined ? [] : uriNames(certificate);
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
