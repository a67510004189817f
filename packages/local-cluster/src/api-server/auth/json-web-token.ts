import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { isObject, type JsonObject, type JsonValue } from '../object.ts';

/** A longer token is refused before any cryptography. */
const MAX_TOKEN_BYTES = 16 * 1024;

interface Key {
  readonly id: string;
  readonly algorithm: 'ES256' | 'RS256';
  readonly publicKey: KeyObject;
}

/** Signs and verifies JSON Web Tokens (RFC 7519) with ES256 or RS256. The first key signs; all of them verify. */
export class TokenSigner {
  private readonly privateKey: KeyObject;
  private readonly keys: readonly Key[];

  /** PEM private keys; the public halves of older ones keep their tokens valid. */
  constructor(privateKeyPem: string, olderPublicKeyPems: readonly string[] = []) {
    this.privateKey = createPrivateKey(privateKeyPem);
    this.keys = [
      createPublicKey(this.privateKey),
      ...olderPublicKeyPems.map((pem) => createPublicKey(pem)),
    ].map(keyOf);
  }

  sign(claims: JsonObject): string {
    const [key] = this.keys;
    if (key === undefined) throw new Error('unreachable: the constructor makes at least one key');
    const input = `${encode({ alg: key.algorithm, kid: key.id, typ: 'JWT' })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  }

  /** The claims of a token with a valid signature; times and audiences are the caller's to check. */
  verify(token: string): JsonObject | undefined {
    if (token.length > MAX_TOKEN_BYTES) return undefined;
    const [header, payload, signature, ...rest] = token.split('.');
    if (header === undefined || payload === undefined || signature === undefined || rest.length > 0)
      return undefined;
    const fields = decode(header);
    const key = this.keys.find(
      ({ id, algorithm }) => id === fields?.['kid'] && algorithm === fields?.['alg'],
    );
    if (key === undefined) return undefined;
    const input = Buffer.from(`${header}.${payload}`);
    const valid = verify(
      'sha256',
      input,
      { key: key.publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    return valid ? decode(payload) : undefined;
  }

  /** `/openid/v1/jwks`. */
  jwks(): JsonObject {
    return {
      keys: this.keys.map(({ id, algorithm, publicKey }): JsonValue => {
        const jwk = publicKey.export({ format: 'jwk' }) as JsonObject; // plain JSON by definition (RFC 7517)
        return { use: 'sig', kid: id, alg: algorithm, ...jwk };
      }),
    };
  }
}

function keyOf(publicKey: KeyObject): Key {
  const der = publicKey.export({ format: 'der', type: 'spki' });
  const id = createHash('sha256').update(der).digest('base64url');
  return { id, algorithm: publicKey.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256', publicKey };
}

function encode(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): JsonObject | undefined {
  try {
    const value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as JsonValue; // JSON.parse gives JSON
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
