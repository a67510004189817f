import { createPrivateKey, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { WeftError, systemClock, type Clock } from '@weft/telemetry';
import { content, decode, isContextTag, members, oidOf, tagged, type Asn1 } from './asn1.ts';
import {
  distinguishedName,
  issueCertificate,
  type CertificateSubject,
  type KeyUsage,
  type SubjectNames,
} from './certificate.ts';
import { createRsaKeyPair, keyIdentifier, privateKeyPem } from './keys.ts';
import { certificateBlocks } from './pem.ts';

export interface SigningRequest extends SubjectNames {
  readonly publicKey: KeyObject;
  readonly ttlMs: number;
  /** Both unless told. */
  readonly usages?: readonly KeyUsage[];
  readonly subject?: CertificateSubject;
}
export interface SignedCertificate {
  readonly leafPem: string;
  /** What stands between the leaf and the root, nearest to the leaf first. */
  readonly intermediatesPem: readonly string[];
  /** Leaf and intermediates: what a TLS server presents. */
  readonly chainPem: string;
  readonly notAfter: Date;
}
export interface AuthorityPems {
  readonly certPem: string;
  readonly keyPem: string;
  /** Certificates between the signing certificate (which may be repeated here) and the root. */
  readonly chainPem?: string | undefined;
  /** One or more roots; the signing certificate itself when it is self-signed. */
  readonly rootsPem?: string | undefined;
}

export const ROOT_TTL_MS = 10 * 365 * 24 * 3_600_000;
/** Clocks of the fleet differ. */
export const BACKDATE_MS = 2 * 60_000;

/** Signs leaf certificates with a self-signed root, or with an intermediate that was plugged in. */
export class CertificateAuthority {
  readonly certPem: string;
  readonly keyPem: string;
  /** One or more concatenated root certificates: what peers have to trust. */
  readonly rootsPem: string;
  readonly intermediatesPem: readonly string[];
  readonly certificate: X509Certificate;
  private readonly key: KeyObject;
  private readonly subject: Asn1;
  private readonly keyIdentifier: Buffer;
  private readonly clock: Clock;

  private constructor(
    o: Required<AuthorityPems> & { readonly intermediatesPem: readonly string[]; readonly clock: Clock },
  ) {
    this.certPem = o.certPem;
    this.keyPem = o.keyPem;
    this.rootsPem = o.rootsPem ?? o.certPem;
    this.intermediatesPem = o.intermediatesPem;
    this.clock = o.clock;
    this.certificate = new X509Certificate(o.certPem);
    this.key = createPrivateKey(o.keyPem);
    const fields = certificateFields(this.certificate);
    this.subject = fields.subject;
    this.keyIdentifier = fields.subjectKeyIdentifier ?? keyIdentifier(this.certificate.publicKey);
  }

  /** A new self-signed root; RSA 2048 and ten years unless told. With `keyPem` it certifies that key anew. */
  static async createSelfSigned(o: {
    readonly subject: CertificateSubject;
    readonly ttlMs?: number;
    readonly keyPem?: string;
    readonly clock?: Clock;
  }): Promise<CertificateAuthority> {
    const { clock = systemClock, ttlMs = ROOT_TTL_MS } = o;
    const key = o.keyPem === undefined ? (await createRsaKeyPair()).privateKey : createPrivateKey(o.keyPem);
    const publicKey = createPublicKey(key);
    const name = distinguishedName(o.subject);
    const certPem = issueCertificate(
      {
        publicKey,
        subject: name,
        issuer: name,
        issuerKeyIdentifier: keyIdentifier(publicKey),
        notBefore: new Date(clock.now() - BACKDATE_MS),
        notAfter: new Date(clock.now() + ttlMs),
        usages: 'certificate authority',
      },
      key,
    );
    return CertificateAuthority.load({ certPem, keyPem: privateKeyPem(key) }, clock);
  }

  /**
   * An authority from PEM files; RSA and EC keys in PKCS#8, PKCS#1 or SEC1.
   * @throws WEFT1603 when they don't belong together, don't lead to a root, or have expired
   */
  static load(pems: AuthorityPems, clock: Clock = systemClock): CertificateAuthority {
    const [certPem, ...following] = certificateBlocks(pems.certPem);
    if (certPem === undefined) throw new WeftError('WEFT1603', 'the CA certificate holds no PEM certificate');
    try {
      const certificate = new X509Certificate(certPem);
      const others = [...following, ...certificateBlocks(pems.chainPem ?? '')].filter(
        (pem) => pem !== certPem,
      );
      const roots =
        pems.rootsPem === undefined
          ? certificateBlocks(pems.certPem).slice(-1)
          : certificateBlocks(pems.rootsPem);
      const intermediatesPem = pathToRoot(certificate, certPem, others, roots);
      if (!certificate.ca) throw new Error('the certificate may not sign others (basic constraints)');
      if (!certificate.checkPrivateKey(createPrivateKey(pems.keyPem)))
        throw new Error('the key is of another certificate');
      if (Date.parse(certificate.validTo) <= clock.now())
        throw new Error(`it expired at ${certificate.validTo}`);
      const { keyPem, chainPem } = pems;
      return new CertificateAuthority({
        certPem,
        keyPem,
        chainPem,
        rootsPem: roots.join(''),
        intermediatesPem,
        clock,
      });
    } catch (error) {
      throw new WeftError('WEFT1603', 'the certificate authority cannot be used', { cause: error });
    }
  }

  get notAfter(): Date {
    return new Date(this.certificate.validTo);
  }

  /** Valid from two minutes ago, never longer than the authority itself. */
  sign(request: SigningRequest): SignedCertificate {
    const now = this.clock.now();
    const notAfter = new Date(Math.min(now + request.ttlMs, this.notAfter.getTime()));
    const leafPem = issueCertificate(
      {
        publicKey: request.publicKey,
        subject: distinguishedName(request.subject ?? {}),
        issuer: this.subject,
        issuerKeyIdentifier: this.keyIdentifier,
        notBefore: new Date(now - BACKDATE_MS),
        notAfter,
        usages: request.usages ?? ['server', 'client'],
        uriSans: request.uriSans,
        dnsSans: request.dnsSans,
        ipSans: request.ipSans,
      },
      this.key,
    );
    const { intermediatesPem } = this;
    return { leafPem, intermediatesPem, chainPem: [leafPem, ...intermediatesPem].join(''), notAfter };
  }
}

/** From the signing certificate upwards, without the root: empty for a self-signed one. */
function pathToRoot(
  certificate: X509Certificate,
  certPem: string,
  others: readonly string[],
  roots: readonly string[],
): readonly string[] {
  if (roots.length === 0) throw new Error('there is no root certificate');
  const rootCertificates = roots.map((pem) => new X509Certificate(pem));
  const path: string[] = [];
  let [lowest, lowestPem] = [certificate, certPem];
  for (let length = 0; length <= others.length; length++) {
    const current = lowest;
    if (rootCertificates.some((root) => root.raw.equals(current.raw))) return path;
    path.push(lowestPem);
    if (rootCertificates.some((root) => isIssuedBy(current, root))) return path;
    const issuerPem = others.find((pem) => isIssuedBy(current, new X509Certificate(pem)));
    if (issuerPem === undefined) break;
    [lowest, lowestPem] = [new X509Certificate(issuerPem), issuerPem];
  }
  throw new Error(`"${lowest.subject}" was not issued by a certificate of the chain or the root file`);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function certificateFields(certificate: X509Certificate): {
  readonly subject: Asn1;
  readonly subjectKeyIdentifier: Buffer | undefined;
} {
  const [toBeSigned] = members(decode(certificate.raw));
  const fields = members(toBeSigned);
  const subject = fields[5]; // version, serial, algorithm, issuer, validity, subject
  if (subject === undefined) throw new Error('the certificate has no subject');
  const extensionList = fields.find((field) => isContextTag(field, 3));
  if (extensionList === undefined) return { subject, subjectKeyIdentifier: undefined };
  const found = members(tagged(extensionList)).find((e) => oidOf(members(e)[0]) === '2.5.29.14');
  if (found === undefined) return { subject, subjectKeyIdentifier: undefined };
  return { subject, subjectKeyIdentifier: content(decode(content(members(found).at(-1)))) };
}
