import { X509Certificate } from 'node:crypto';
import type { TunnelSession } from '@weft/hbone';
import { certificateBlocks, RevocationLists, type WorkloadCertificate } from '@weft/spiffe/verification';
import type { WeftError } from '@weft/telemetry';

/** Revoked certificates as one data thread knows them: asked at each handshake, and again after each change. */
export class Revocation {
  private lists = RevocationLists.none;
  private readonly authorities = new WeakMap<WorkloadCertificate, Authorities>();
  /** With which certificate of ours a peer was met, for its roots. */
  private readonly metWith = new WeakMap<X509Certificate, WorkloadCertificate>();
  private readonly cuts = new WeakSet<WeftError>();

  replace(bytes: Uint8Array): void {
    this.lists = RevocationLists.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /** WEFT1608 for a peer that isn't to be talked with. */
  check(peer: X509Certificate, own: WorkloadCertificate): WeftError | undefined {
    this.metWith.set(peer, own);
    const { roots, intermediates } = this.authoritiesOf(own);
    return this.lists.check(peer, roots, intermediates);
  }

  cutRevoked(sessions: Iterable<TunnelSession>): void {
    for (const session of sessions) {
      const own = this.metWith.get(session.peerCertificate);
      const refusal = own && this.check(session.peerCertificate, own);
      if (refusal === undefined) continue;
      this.cuts.add(refusal);
      session.destroy(refusal);
    }
  }

  /** Whether a tunnel that was open ended by this: each of its connections tells so itself. */
  hasCut(error: WeftError): boolean {
    return this.cuts.has(error);
  }

  private authoritiesOf(own: WorkloadCertificate): Authorities {
    let authorities = this.authorities.get(own);
    if (authorities === undefined) {
      authorities = {
        roots: certificatesOf(own.rootsPem),
        intermediates: certificatesOf(own.chainPem).slice(1),
      };
      this.authorities.set(own, authorities);
    }
    return authorities;
  }
}

/** Those above a certificate of ours: as a rule above its peers', too. */
interface Authorities {
  readonly roots: readonly X509Certificate[];
  readonly intermediates: readonly X509Certificate[];
}

function certificatesOf(pem: string): readonly X509Certificate[] {
  return certificateBlocks(pem).map((block) => new X509Certificate(block));
}
