import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { WeftError } from '@weft/telemetry';
import {
  bitString,
  bitStringBytes,
  boolean,
  decode,
  encode,
  explicit,
  implicit,
  integer,
  members,
  objectId,
  octetString,
  oidOf,
  sequence,
  set,
} from './asn1.ts';
import type { SpiffeId } from './identity.ts';
import { algorithmIdentifier, publicKeyAsn1, signatureAlgorithmOf, signDer, type KeyPair } from './keys.ts';
import { fromPem, pemBlocks, toPem } from './pem.ts';
import { signatureAlgorithms } from './signature-algorithms.ts';

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
const URI_NAME = 6;

/** A PKCS#10 request (RFC 2986) as ztunnel sends it: empty subject, one critical URI name. */
export function createCsr({ publicKey, privateKey }: KeyPair, identity: SpiffeId): string {
  const names = sequence(implicit(URI_NAME, Buffer.from(identity, 'latin1')));
  const subjectAltName = sequence(objectId(SUBJECT_ALT_NAME), boolean(true), octetString(encode(names)));
  const info = sequence(
    integer(Buffer.of(0)),
    sequence(),
    publicKeyAsn1(publicKey),
    explicit(0, sequence(objectId(EXTENSION_REQUEST), set(sequence(subjectAltName)))),
  );
  const signature = bitString(signDer(info, privateKey));
  const request = sequence(info, algorithmIdentifier(signatureAlgorithmOf(privateKey)), signature);
  return toPem('CERTIFICATE REQUEST', encode(request));
}

/** Requests are about 400 bytes for P-256 and 1,800 for RSA 4096. */
export const MAX_CSR_BYTES = 16 * 1024;
const MIN_RSA_BITS = 2048;
const ACCEPTED_CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1'];

/**
 * The public key of a request whose signature proves the possession of the private key. What else the request asks
 * for is left alone: names come from who authenticated, never from the request.
 * @throws WEFT1602
 */
export function verifyCsr(pem: string): { readonly publicKey: KeyObject } {
  if (pem.length > MAX_CSR_BYTES)
    throw new WeftError('WEFT1602', `the request is larger than ${MAX_CSR_BYTES} bytes`);
  const [block, another] = [
    ...pemBlocks(pem, 'CERTIFICATE REQUEST'),
    ...pemBlocks(pem, 'NEW CERTIFICATE REQUEST'),
  ];
  if (block === undefined || another !== undefined)
    throw new WeftError('WEFT1602', 'expected one PEM request');
  let publicKey: KeyObject;
  let genuine: boolean;
  try {
    const [info, algorithm, signature, ...rest] = members(decode(fromPem(block)));
    const [, , keyInfo] = members(info);
    if (info === undefined || keyInfo === undefined || rest.length > 0)
      throw new Error('not a PKCS#10 request');
    publicKey = createPublicKey({ key: encode(keyInfo), format: 'der', type: 'spki' });
    const oid = oidOf(members(algorithm)[0]);
    const known = signatureAlgorithms.find((a) => a.oid === oid && a.keyType === publicKey.asymmetricKeyType);
    if (known === undefined)
      throw new Error(`signature algorithm ${oid} with a ${publicKey.asymmetricKeyType} key`);
    genuine = verify(known.hash, encode(info), publicKey, bitStringBytes(signature));
  } catch (error) {
    throw new WeftError('WEFT1602', 'the request cannot be read', { cause: error });
  }
  if (!genuine) throw new WeftError('WEFT1602', 'the signature of the request does not match its public key');
  const { modulusLength = 0, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
  if (
    publicKey.asymmetricKeyType === 'rsa'
      ? modulusLength < MIN_RSA_BITS
      : !ACCEPTED_CURVES.includes(namedCurve)
  ) {
    throw new WeftError(
      'WEFT1602',
      `the request's key is too weak or of an unknown curve (${namedCurve ?? modulusLength})`,
    );
  }
  return { publicKey };
}
