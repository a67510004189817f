import { X509Certificate } from 'node:crypto';
import { type CertificateAuthority, certificateBlocks } from '@weft/spiffe';

/** How to go from one authority to the next, so that at no moment a peer meets a chain whose root it doesn't know. */
export type Rotation =
  /** The same signing certificate; its bundle of roots may differ. */
  | { readonly kind: 'same signer' }
  /** What the next one signs leads to a root that everybody trusts already. */
  | { readonly kind: 'at once' }
  /** Nobody knows its root yet: that has to go round first, with certificates of the present signer. */
  | { readonly kind: 'after its roots' };

/** What has to outlive a process, so that the next one goes on in the middle of a rotation. */
export interface RotationState {
  /** Its root goes round. */
  readonly announced?: {
    /** Signs until then. */
    readonly signer: CertificateAuthority;
    /** The announced signing certificate. */
    readonly nextPem: string;
    /** Milliseconds since the epoch. */
    readonly signsFrom: number;
  };
  /** Roots that certificates in use may lead to, though nobody signs with them any more. */
  readonly retired: readonly { readonly root: string; readonly until: number }[];
}

/** @param trustedRoots what peers were told to trust so far */
export function planRotation(
  present: CertificateAuthority,
  trustedRoots: readonly string[],
  next: CertificateAuthority,
): Rotation {
  if (present.certPem === next.certPem) return { kind: 'same signer' };
  return { kind: rootsOf(next, trustedRoots).length > 0 ? 'at once' : 'after its roots' };
}

/** Which of these roots verify what an authority signs. A root certified anew with its old key counts as well. */
export function rootsOf(
  { certPem, intermediatesPem }: CertificateAuthority,
  roots: readonly string[],
): readonly string[] {
  const path = [certPem, ...intermediatesPem].map((pem) => new X509Certificate(pem));
  return roots.filter((pem) => {
    const root = new X509Certificate(pem);
    return path.some(
      (certificate) =>
        certificate.raw.equals(root.raw) ||
        (certificate.checkIssued(root) && certificate.verify(root.publicKey)),
    );
  });
}

/** Roots in this order, each once. */
export function unitedRoots(...bundles: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(bundles.flat())];
}

export function rootsIn(authority: CertificateAuthority): readonly string[] {
  return certificateBlocks(authority.rootsPem);
}
