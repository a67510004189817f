import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { TlsInfo } from '../../engine/types.ts';
import { tlsInfo } from '../tls/tls-info.ts';
import { type PeerExpectation, type Verdict, verifyPeer } from '../tls/verify-peer.ts';
import type { UpstreamTls } from '../tls/upstream-tls.ts';
import { tlsConnectError } from './connect-error.ts';

export interface TlsHandshake {
  readonly sni: string;
  readonly alpnProtocols: readonly string[];
  readonly expectation: PeerExpectation;
}
export type TlsFailureStat = Exclude<Verdict, { ok: true }>['stat'] | 'connection_error';

/**
 * Handshakes on a connected transport and verifies the server. Owns the transport until it resolves.
 *
 * @throws ConnectError, or the reason of `signal`
 */
export function connectTls(
  transport: Duplex,
  context: UpstreamTls,
  handshake: TlsHandshake,
  signal: AbortSignal,
  onFailure: (stat: TlsFailureStat) => void,
): Promise<{ readonly socket: TLSSocket; readonly info: TlsInfo }> {
  const material = context.current;
  if (material === undefined) {
    transport.destroy();
    return Promise.reject(tlsConnectError('Secret is not supplied by SDS'));
  }
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket: transport,
      secureContext: material.secureContext,
      // An address is no server name (RFC 6066 §3).
      ...(handshake.sni === '' || isIP(handshake.sni) !== 0 ? {} : { servername: handshake.sni }),
      ...(handshake.alpnProtocols.length === 0 ? {} : { ALPNProtocols: [...handshake.alpnProtocols] }),
      // The chain's verdict is read below, where the validation context's exceptions are known.
      rejectUnauthorized: false,
      // Names are verified below too: by the context, not by the host that was dialled.
      checkServerIdentity: () => undefined,
    });
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort);
      tls.removeListener('close', onClose);
      tls.removeListener('error', onError);
    };
    const fail = (error: unknown): void => {
      settle();
      tls.on('error', () => undefined);
      tls.destroy();
      transport.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const onError = (cause: Error): void => {
      onFailure('connection_error');
      fail(tlsConnectError(opensslReason(cause), cause));
    };
    const onClose = (): void => {
      onFailure('connection_error');
      fail(tlsConnectError('the server closed the connection in the handshake'));
    };
    tls.once('error', onError);
    tls.once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    tls.once('secureConnect', () => {
      const peerCertificate = tls.getPeerX509Certificate();
      const verdict = verifyPeer(
        peerCertificate,
        tls.authorized ? undefined : chainErrorOf(tls),
        material.validation,
        handshake.expectation,
      );
      if (!verdict.ok) {
        onFailure(verdict.stat);
        fail(tlsConnectError(verdict.reason));
        return;
      }
      settle();
      const info = tlsInfo(tls, {
        // Without a CA of our own, Node's verdict is about its built-in ones.
        peerValidated: material.validation?.trustedCaPem !== undefined,
        sni: handshake.sni,
        localChainPem: material.certificate?.chainPem,
        peerCertificate,
      });
      resolve({ socket: tls, info });
    });
    if (signal.aborted) onAbort();
  });
}

/** `authorizationError` is the code of the verification error; its declared type says Error, and it may be one. */
function chainErrorOf(tls: TLSSocket): string {
  const error: unknown = tls.authorizationError;
  if (typeof error === 'string') return error;
  if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code);
  return 'the chain was not verified';
}

function opensslReason(error: Error): string {
  if ('reason' in error && typeof error.reason === 'string') return error.reason;
  return error.message;
}
