import { X509Certificate } from 'node:crypto';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import type { CertificatePems } from './messages.ts';

/** Identities whose parsed certificates are kept; a node has a few hundred at most. */
const MAX_CACHED = 4_096;

/** Gives the same object for the same certificate, to which TLS contexts are attached: they are dear to make. */
export class CertificateCache {
  private readonly byIdentity = new Map<string, WorkloadCertificate>();

  of({ identity, keyPem, chainPem, rootsPem }: CertificatePems): WorkloadCertificate {
    const known = this.byIdentity.get(identity);
    if (known?.chainPem === chainPem && known.rootsPem === rootsPem && known.keyPem === keyPem) return known;
    const leaf = new X509Certificate(chainPem);
    const certificate: WorkloadCertificate = {
      identity: identity as SpiffeId, // checked by the certificate source in the control thread
      keyPem,
      chainPem,
      rootsPem,
      leaf,
      notBefore: new Date(leaf.validFrom),
      notAfter: new Date(leaf.validTo),
    };
    const [oldest] = this.byIdentity.keys();
    if (this.byIdentity.size >= MAX_CACHED && oldest !== undefined) this.byIdentity.delete(oldest);
    this.byIdentity.set(identity, certificate);
    return certificate;
  }
}
