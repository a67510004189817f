import { verify, type X509Certificate } from 'node:crypto';
import { WeftError } from '@weft/telemetry/errors';
import { derMembers, derTag, derValues, type DerValue } from './der-reader.ts';
import { fromPem, pemBlocks } from './pem.ts';
import { signatureAlgorithms, type SignatureAlgorithm } from './signature-algorithms.ts';

/** About 900,000 revoked certificates. */
export const MAX_CRL_BYTES = 32 * 1024 * 1024;
/** Certificates that a peer may send; the longest sensible chain has four. */
export const MAX_PEER_CHAIN = 16;
/** Issuers of which a list remembers whether its signature is theirs. */
const MAX_KNOWN_ISSUERS = 256;

/** CRL number and authority key identifier, which change nothing in what a list means. */
const HARMLESS_EXTENSIONS: ReadonlySet<string> = new Set(['551d14', '551d23']);

/** Certificate revocation lists (RFC 5280 §5) of any number of issuers. Immutable: a reload makes a new one. */
export class RevocationLists {
  static readonly none = new RevocationLists([]);
  private readonly byIssuer = new Map<string, RevocationList[]>();

  private constructor(lists: readonly RevocationList[]) {
    for (const list of lists) {
      const present = this.byIssuer.get(list.issuer);
      if (present === undefined) this.byIssuer.set(list.issuer, [list]);
      else present.push(list);
    }
  }

  /**
   * From PEM blocks or one DER value; nothing but white space is no list.
   * @throws WEFT1609 when a part can't be read, for what it lists would not count
   */
  static parse(bytes: Buffer): RevocationLists {
    if (bytes.length > MAX_CRL_BYTES) {
      throw new WeftError('WEFT1609', `it has more than ${MAX_CRL_BYTES} bytes`);
    }
    if (bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d))) return RevocationLists.none;
    try {
      if (bytes[0] === derTag.sequence) return new RevocationLists([readList(bytes)]);
      const blocks = pemBlocks(bytes.toString('latin1'), 'X509 CRL');
      if (blocks.length === 0) throw new Error('it holds no list, neither PEM nor DER');
      return new RevocationLists(blocks.map((block) => readList(fromPem(block))));
    } catch (error) {
      throw new WeftError('WEFT1609', 'it cannot be read', { cause: error });
    }
  }

  get size(): number {
    let size = 0;
    for (const lists of this.byIssuer.values()) size += lists.length;
    return size;
  }

  /**
   * WEFT1608 when a certificate on the way from the peer's to a root was revoked by its issuer, or that way can't be
   * followed. The chain was verified. Without a list of its issuer a certificate counts as good, and a list stays in
   * force after its next update was due.
   * @param known authorities that may stand between, for a peer that shows nothing but its own certificate
   */
  check(
    peer: X509Certificate,
    roots: readonly X509Certificate[],
    known: readonly X509Certificate[] = [],
  ): WeftError | undefined {
    if (this.byIssuer.size === 0) return undefined;
    const sent = sentCertificates(peer);
    if (sent === undefined) {
      return new WeftError('WEFT1608', `the peer sent more than ${MAX_PEER_CHAIN} certificates`);
    }
    const between = sent.length === 0 ? known : sent;
    const path = [peer];
    for (const certificate of path) {
      const { issuer, serial } = namesOf(certificate);
      const lists = this.byIssuer.get(issuer) ?? [];
      for (const candidate of [...between, ...roots]) {
        if (path.includes(candidate) || !isIssuedBy(certificate, candidate)) continue;
        if (lists.some((list) => list.serials.has(serial) && list.isSignedBy(candidate))) {
          const subject = certificate.subjectAltName ?? certificate.subject;
          return new WeftError('WEFT1608', `${subject}, serial number ${certificate.serialNumber}`);
        }
        path.push(candidate);
      }
    }
    // The handshake found a root. Some releases of node (24.21: nodejs/node#65579) keep from a server of node:tls by
    // which way.
    if (!path.some((certificate) => roots.includes(certificate))) {
      return new WeftError('WEFT1608', `not known who stands between ${peer.issuer} and a root`);
    }
    return undefined;
  }
}

/** One list. Two authorities may have one name (a root and its successor), so the signature tells whose it is. */
class RevocationList {
  /** The issuer's name, in hexadecimal DER. */
  readonly issuer: string;
  readonly serials: ReadonlySet<string>;
  private readonly signed: Buffer;
  private readonly signature: Buffer;
  private readonly algorithm: SignatureAlgorithm;
  private readonly isOf = new Map<string, boolean>();

  constructor(o: {
    readonly issuer: string;
    readonly serials: ReadonlySet<string>;
    readonly signed: Buffer;
    readonly signature: Buffer;
    readonly algorithm: SignatureAlgorithm;
  }) {
    this.issuer = o.issuer;
    this.serials = o.serials;
    this.signed = o.signed;
    this.signature = o.signature;
    this.algorithm = o.algorithm;
  }

  isSignedBy({ publicKey, fingerprint256 }: X509Certificate): boolean {
    const known = this.isOf.get(fingerprint256);
    if (known !== undefined) return known;
    const isSigner =
      publicKey.asymmetricKeyType === this.algorithm.keyType &&
      verify(this.algorithm.hash, this.signed, publicKey, this.signature);
    if (this.isOf.size >= MAX_KNOWN_ISSUERS) this.isOf.clear();
    this.isOf.set(fingerprint256, isSigner);
    return isSigner;
  }
}

/** CertificateList, RFC 5280 §5.1. */
function readList(der: Buffer): RevocationList {
  const [list, extra] = derValues(der);
  const [signed, algorithmId, signature] = derMembers(list, derTag.sequence);
  if (extra !== undefined || signed === undefined || signature?.tag !== derTag.bitString) {
    throw new Error('not a certificate revocation list');
  }
  const oid = oidText(derMembers(algorithmId, derTag.sequence).next().value);
  const algorithm = signatureAlgorithms.find((a) => a.oid === oid);
  if (algorithm === undefined) throw new Error(`signature algorithm ${oid}`);
  const fields = [...derMembers(signed, derTag.sequence)];
  if (fields[0]?.tag === derTag.integer) fields.shift(); // version
  const [, issuer, thisUpdate, ...rest] = fields;
  if (issuer?.tag !== derTag.sequence || !isTime(thisUpdate)) {
    throw new Error('not a certificate revocation list');
  }
  if (isTime(rest[0])) rest.shift(); // next update
  const entries = rest[0]?.tag === derTag.sequence ? rest.shift() : undefined;
  const [extensions] = rest;
  if (extensions !== undefined) {
    const [listed] = derMembers(extensions, derTag.context0);
    refuseCritical(listed, 'the list');
  }
  return new RevocationList({
    issuer: issuer.encoded.toString('hex'),
    serials: entries === undefined ? new Set() : readSerials(entries),
    signed: signed.encoded,
    signature: signature.content.subarray(1), // after the number of unused bits, which is zero
    algorithm,
  });
}

function readSerials(entries: DerValue): ReadonlySet<string> {
  const serials = new Set<string>();
  for (const entry of derMembers(entries, derTag.sequence)) {
    const [serial, , extensions] = derMembers(entry, derTag.sequence);
    if (serial?.tag !== derTag.integer) throw new Error('an entry without a serial number');
    // In an indirect list an entry may be of another issuer, which a critical extension says.
    refuseCritical(extensions, 'an entry');
    serials.add(serial.content.toString('hex'));
  }
  return serials;
}

/** RFC 5280 §5.2: a list with a critical extension that isn't understood must not decide. */
function refuseCritical(extensions: DerValue | undefined, of: string): void {
  if (extensions === undefined) return;
  for (const extension of derMembers(extensions, derTag.sequence)) {
    const [type, critical] = derMembers(extension, derTag.sequence);
    if (critical?.tag !== derTag.boolean || critical.content[0] === 0) continue;
    if (HARMLESS_EXTENSIONS.has(type?.content.toString('hex') ?? '')) continue;
    throw new Error(`${of} has the critical extension ${oidText(type)}`);
  }
}

function isTime(value: DerValue | undefined): boolean {
  return value?.tag === derTag.utcTime || value?.tag === derTag.generalizedTime;
}

/** Everything after the peer's own certificate that it sent, in its order; undefined if that is too much. */
function sentCertificates(peer: X509Certificate): readonly X509Certificate[] | undefined {
  const sent: X509Certificate[] = [];
  for (let c = peer.issuerCertificate; c !== undefined; c = c.issuerCertificate) {
    if (sent.length >= MAX_PEER_CHAIN) return undefined;
    sent.push(c);
  }
  return sent;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return namesOf(certificate).issuer === namesOf(issuer).subject && certificate.verify(issuer.publicKey);
}

interface Names {
  readonly serial: string;
  readonly issuer: string;
  readonly subject: string;
}

/** As they stand in the certificate: two spellings of one name are two names to OpenSSL, too. */
function namesOf({ raw }: X509Certificate): Names {
  const [certificate] = derValues(raw);
  const [signed] = derMembers(certificate, derTag.sequence);
  const fields = [...derMembers(signed, derTag.sequence)];
  if (fields[0]?.tag === derTag.context0) fields.shift(); // version
  const [serial, , issuer, , subject] = fields;
  if (serial === undefined || issuer === undefined || subject === undefined) {
    throw new Error('not a certificate');
  }
  return {
    serial: serial.content.toString('hex'),
    issuer: issuer.encoded.toString('hex'),
    subject: subject.encoded.toString('hex'),
  };
}

/** Dotted, from the content of an OBJECT IDENTIFIER (X.690 §8.19). */
function oidText(value: DerValue | undefined): string {
  if (value?.tag !== derTag.objectId) throw new Error('expected an OBJECT IDENTIFIER');
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of value.content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0)
      arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)));
    else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}
