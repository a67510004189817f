import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import {
  bitString,
  boolean,
  decode,
  encode,
  explicit,
  implicit,
  integer,
  members,
  objectId,
  octetString,
  sequence,
  time,
  type Asn1,
} from '../asn1.ts';
import { CertificateAuthority } from '../certificate-authority.ts';
import { distinguishedName, issueCertificate } from '../certificate.ts';
import {
  algorithmIdentifier,
  createKeyPair,
  keyIdentifier,
  privateKeyPem,
  signatureAlgorithmOf,
  signDer,
} from '../keys.ts';
import { toPem } from '../pem.ts';

type Signer = Pick<CertificateAuthority, 'certPem' | 'keyPem'>;

/** The list that an authority publishes, as PEM. */
export function issueRevocationList(
  { certPem, keyPem }: Signer,
  revoked: readonly (X509Certificate | string)[],
  o: { readonly nextUpdate?: Date; readonly criticalExtension?: string } = {},
): string {
  const key = createPrivateKey(keyPem);
  const algorithm = algorithmIdentifier(signatureAlgorithmOf(key));
  const now = new Date();
  const entry = (certificate: X509Certificate | string): Asn1 => {
    const { serialNumber } = typeof certificate === 'string' ? new X509Certificate(certificate) : certificate;
    return sequence(integer(Buffer.from(serialNumber, 'hex')), time(now));
  };
  const authorityKey = extension(
    '2.5.29.35',
    false,
    sequence(implicit(0, keyIdentifier(createPublicKey(key)))),
  );
  const critical =
    o.criticalExtension === undefined ? [] : [extension(o.criticalExtension, true, integer(Buffer.of(1)))];
  const list = sequence(
    integer(Buffer.of(1)),
    algorithm,
    subjectOf(certPem),
    time(now),
    time(o.nextUpdate ?? new Date(now.getTime() + 86_400_000)),
    ...(revoked.length === 0 ? [] : [sequence(...revoked.map(entry))]),
    explicit(0, sequence(authorityKey, ...critical)),
  );
  return toPem('X509 CRL', encode(sequence(list, algorithm, bitString(signDer(list, key)))));
}

/** An authority between this one and the leaves. */
export async function createIntermediate(
  root: CertificateAuthority,
  commonName: string,
): Promise<CertificateAuthority> {
  const { publicKey, privateKey } = await createKeyPair();
  const certPem = issueCertificate(
    {
      publicKey,
      subject: distinguishedName({ commonName }),
      issuer: subjectOf(root.certPem),
      issuerKeyIdentifier: keyIdentifier(createPublicKey(createPrivateKey(root.keyPem))),
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 86_400_000),
      usages: 'certificate authority',
    },
    createPrivateKey(root.keyPem),
  );
  return CertificateAuthority.load({
    certPem,
    keyPem: privateKeyPem(privateKey),
    rootsPem: root.rootsPem,
  });
}

function subjectOf(certPem: string): Asn1 {
  const [signed] = members(decode(new X509Certificate(certPem).raw));
  const subject = members(signed)[5]; // version, serial, algorithm, issuer, validity, subject
  if (subject === undefined) throw new Error('the certificate has no subject');
  return subject;
}

function extension(type: string, critical: boolean, value: Asn1): Asn1 {
  return sequence(objectId(type), ...(critical ? [boolean(true)] : []), octetString(encode(value)));
}
