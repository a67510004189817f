import { createHash, X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { TlsInfo } from '../../engine/types.ts';
import { certificateNames } from './certificate-names.ts';

/** What logs and filters may know of a TLS connection after its handshake. */
export function tlsInfo(
  socket: TLSSocket,
  o: {
    readonly peerValidated: boolean;
    readonly sni: string | undefined;
    readonly localChainPem: string | undefined;
    /** Where it was read already: Node tells a client's socket for it only once. */
    readonly peerCertificate?: X509Certificate | undefined;
  },
): TlsInfo {
  const peer = o.peerCertificate ?? socket.getPeerX509Certificate();
  const peerNames = peer === undefined ? undefined : certificateNames(peer);
  const local = o.localChainPem === undefined ? undefined : new X509Certificate(o.localChainPem);
  const localNames = local === undefined ? undefined : certificateNames(local);
  const version = socket.getProtocol();
  return {
    peerUriSans: peerNames?.uri ?? [],
    peerDnsSans: peerNames?.dns ?? [],
    localUriSans: localNames?.uri ?? [],
    localDnsSans: localNames?.dns ?? [],
    peerValidated: o.peerValidated,
    ...(peer === undefined
      ? {}
      : {
          subjectPeer: peer.subject ?? '',
          peerCertificatePem: peer.toString(),
          peerFingerprint: createHash('sha256').update(peer.raw).digest('hex'),
          peerSerial: peer.serialNumber.toLowerCase(),
        }),
    ...(local === undefined ? {} : { subjectLocal: local.subject ?? '' }),
    ...(o.sni === undefined || o.sni === '' ? {} : { sni: o.sni }),
    ...(typeof socket.alpnProtocol === 'string' ? { alpn: socket.alpnProtocol } : {}),
    ...(version === null ? {} : { version }),
    cipher: socket.getCipher().standardName,
  };
}
