import { createHash, generateKeyPair, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { decode, encode, members, nullValue, objectId, sequence, bitStringBytes, type Asn1 } from './asn1.ts';
import { signatureAlgorithms, type SignatureAlgorithm } from './signature-algorithms.ts';

const generate = promisify(generateKeyPair);

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** P-256, the curve of workload certificates. */
export async function createKeyPair(): Promise<KeyPair> {
  return generate('ec', { namedCurve: 'P-256' });
}

/** RSA for roots, as upstream's: verifiers exist that don't know elliptic curves. */
export async function createRsaKeyPair(modulusLength = 2048): Promise<KeyPair> {
  return generate('rsa', { modulusLength });
}

/** PKCS#8. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** How a key signs: SHA-256, but SHA-384 with P-384. */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const hash = curve === 'secp384r1' ? 'sha384' : 'sha256';
  const found = signatureAlgorithms.find((a) => a.keyType === key.asymmetricKeyType && a.hash === hash);
  if (found === undefined)
    throw new Error(`keys of type ${key.asymmetricKeyType} cannot sign certificates here`);
  return found;
}

/** The AlgorithmIdentifier: RSA has NULL parameters (RFC 4055 §5), ECDSA has none (RFC 5758 §3.2). */
export function algorithmIdentifier({ oid, keyType }: SignatureAlgorithm): Asn1 {
  return keyType === 'rsa' ? sequence(objectId(oid), nullValue()) : sequence(objectId(oid));
}

export function signDer(value: Asn1, key: KeyObject): Buffer {
  return sign(signatureAlgorithmOf(key).hash, encode(value), key);
}

export function publicKeyAsn1(key: KeyObject): Asn1 {
  return decode(key.export({ type: 'spki', format: 'der' }));
}

/** SHA-1 of the public key's bits: RFC 5280 §4.2.1.2, method 1. An identifier, not a security property. */
export function keyIdentifier(key: KeyObject): Buffer {
  const [, bits] = members(publicKeyAsn1(key));
  return createHash('sha1').update(bitStringBytes(bits)).digest();
}
