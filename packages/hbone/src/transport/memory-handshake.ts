import type { X509Certificate } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { createServer } from 'node:tls';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import { TlsClient, type VerifyPeer } from './client-handshake.ts';
import { refuseOtherTrustDomain, uriNames, workloadIdentity } from './peer-certificate.ts';
import { ALPN, tlsParameters, type TlsSettings } from './tls.ts';

export interface PairToProve {
  readonly client: WorkloadCertificate;
  readonly server: WorkloadCertificate;
  /** Identities that the server may have; empty: nobody will do. */
  readonly acceptable: readonly string[];
  readonly signal: AbortSignal;
}

/** Two workloads that have proven to each other who they are. */
export interface ProvenPair {
  /** Verified, each by the other side. */
  readonly client: X509Certificate;
  readonly server: X509Certificate;
  readonly clientIdentity: SpiffeId | undefined;
}

/** The handshake that a tunnel between two workloads of this process would begin with, in memory. */
export class MemoryHandshake {
  private readonly settings: TlsSettings | undefined;
  private readonly verifyPeer: VerifyPeer | undefined;
  private readonly client: TlsClient;

  constructor(settings?: TlsSettings, verifyPeer?: VerifyPeer) {
    this.settings = settings;
    this.verifyPeer = verifyPeer;
    this.client = new TlsClient(settings, verifyPeer);
  }

  /** @throws what would keep the tunnel from coming about, on either side, or the reason of `signal` */
  async prove({ client, server, acceptable, signal }: PairToProve): Promise<ProvenPair> {
    const [near, far] = duplexPair();
    try {
      const [byServer, { peerCertificate }] = await Promise.all([
        this.verifyClient(far, server, client.identity),
        this.client.secure(near, { name: server.identity, acceptable, certificate: client }, signal),
      ]);
      const clientIdentity = workloadIdentity(uriNames(byServer));
      return { client: byServer, server: peerCertificate, clientIdentity };
    } finally {
      near.destroy();
      far.destroy();
    }
  }

  /** The server's half. */
  private verifyClient(wire: Duplex, own: WorkloadCertificate, client: string): Promise<X509Certificate> {
    return new Promise((resolve, reject) => {
      const fail = (cause?: Error): void =>
        reject(new WeftError('WEFT1201', `TLS handshake with ${client}`, { cause }));
      // One that never listens and serves once: nothing else tells which handshake an event is of.
      const server = createServer({
        ...tlsParameters(own, this.settings),
        ALPNProtocols: [ALPN],
        requestCert: true,
        rejectUnauthorized: true,
      });
      server.on('tlsClientError', fail);
      server.on('secureConnection', (socket) => {
        socket.on('error', () => undefined);
        const certificate = socket.getPeerX509Certificate();
        const refusal =
          refuseOtherTrustDomain(certificate, own, client) ??
          (certificate && this.verifyPeer?.(certificate, own));
        if (certificate === undefined || refusal !== undefined) reject(refusal);
        else resolve(certificate);
      });
      wire.once('close', () => fail());
      server.emit('connection', wire);
    });
  }
}
