import { randomBytes, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import {
  bitString,
  boolean,
  encode,
  explicit,
  implicit,
  integer,
  objectId,
  octetString,
  sequence,
  set,
  time,
  utf8String,
  type Asn1,
} from './asn1.ts';
import { algorithmIdentifier, keyIdentifier, publicKeyAsn1, signatureAlgorithmOf, signDer } from './keys.ts';
import { toPem } from './pem.ts';

export type KeyUsage = 'server' | 'client';

export interface CertificateSubject {
  readonly commonName?: string;
  readonly organizations?: readonly string[];
}
export interface SubjectNames {
  readonly uriSans?: readonly string[] | undefined;
  readonly dnsSans?: readonly string[] | undefined;
  readonly ipSans?: readonly string[] | undefined;
}
export interface CertificateContent extends SubjectNames {
  readonly publicKey: KeyObject;
  readonly subject: Asn1;
  readonly issuer: Asn1;
  readonly issuerKeyIdentifier: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Extended key usages of a leaf; a certificate authority has none. */
  readonly usages: readonly KeyUsage[] | 'certificate authority';
}

const oid = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const;

/** Tags of GeneralName (RFC 5280 §4.2.1.6). */
const generalName = { dns: 2, uri: 6, ip: 7 } as const;

/** An X.509 v3 certificate (RFC 5280) as PEM, with a random 128-bit serial number. */
export function issueCertificate(c: CertificateContent, issuerKey: KeyObject): string {
  const algorithm = algorithmIdentifier(signatureAlgorithmOf(issuerKey));
  const toBeSigned = sequence(
    explicit(0, integer(Buffer.of(2))),
    integer(randomBytes(16)),
    algorithm,
    c.issuer,
    sequence(time(c.notBefore), time(c.notAfter)),
    c.subject,
    publicKeyAsn1(c.publicKey),
    explicit(3, sequence(...extensions(c))),
  );
  return toPem(
    'CERTIFICATE',
    encode(sequence(toBeSigned, algorithm, bitString(signDer(toBeSigned, issuerKey)))),
  );
}

/** A distinguished name: one organization per RDN, then the common name, as Kubernetes reads them. */
export function distinguishedName({ commonName, organizations = [] }: CertificateSubject): Asn1 {
  const attribute = (type: string, text: string): Asn1 => set(sequence(objectId(type), utf8String(text)));
  return sequence(
    ...organizations.map((name) => attribute(oid.organization, name)),
    ...(commonName === undefined ? [] : [attribute(oid.commonName, commonName)]),
  );
}

function extensions(c: CertificateContent): Asn1[] {
  const isAuthority = c.usages === 'certificate authority';
  const list = [
    // digitalSignature and keyEncipherment, or keyCertSign and cRLSign.
    extension(
      oid.keyUsage,
      true,
      isAuthority ? bitString(Buffer.of(0x06), 1) : bitString(Buffer.of(0xa0), 5),
    ),
    extension(oid.basicConstraints, true, isAuthority ? sequence(boolean(true)) : sequence()),
    extension(oid.subjectKeyIdentifier, false, octetString(keyIdentifier(c.publicKey))),
    extension(oid.authorityKeyIdentifier, false, sequence(implicit(0, c.issuerKeyIdentifier))),
  ];
  if (c.usages !== 'certificate authority') {
    list.push(
      extension(oid.extendedKeyUsage, false, sequence(...c.usages.map((usage) => objectId(oid[usage])))),
    );
  }
  const names = [
    ...(c.uriSans ?? []).map((uri) => implicit(generalName.uri, Buffer.from(uri, 'latin1'))),
    ...(c.dnsSans ?? []).map((name) => implicit(generalName.dns, Buffer.from(name, 'latin1'))),
    ...(c.ipSans ?? []).map((address) => implicit(generalName.ip, addressBytes(address))),
  ];
  if (names.length > 0) {
    // Critical when it is the only name there is (RFC 5280 §4.2.1.6).
    const subjectIsEmpty = Array.isArray(c.subject.value) && c.subject.value.length === 0;
    list.push(extension(oid.subjectAltName, subjectIsEmpty, sequence(...names)));
  }
  return list;
}

function extension(type: string, critical: boolean, value: Asn1): Asn1 {
  const flag = critical ? [boolean(true)] : []; // FALSE is the default, which DER leaves out
  return sequence(objectId(type), ...flag, octetString(encode(value)));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  if (isIP(address) !== 6) throw new Error(`${JSON.stringify(address)} is not an IP address`);
  // The URL parser shortens any spelling to hexadecimal groups with at most one "::".
  const [left = '', right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((g) => Number.parseInt(g, 16));
  const [head, tail] = [groups(left), groups(right ?? '')];
  const bytes = Buffer.alloc(16);
  head.forEach((group, i) => bytes.writeUInt16BE(group, 2 * i));
  tail.forEach((group, i) => bytes.writeUInt16BE(group, 16 - 2 * (tail.length - i)));
  return bytes;
}
