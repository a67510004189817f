import type { MetadataStruct } from '../../engine/types.ts';

/** Longest token that is looked at: a head of 60 KiB can't hold more anyway. */
export const MAX_TOKEN_LENGTH = 64 * 1024;

/** Envoy's texts: they are the response's body and, underlined, its details; clients and dashboards know them. */
export const JwtFailure = {
  missing: 'Jwt is missing',
  format: 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
  headerEncoding: 'Jwt header is an invalid Base64url encoded',
  headerJson: 'Jwt header is an invalid JSON',
  algorithm: 'Jwt header [alg] is not supported',
  payloadEncoding: 'Jwt payload is an invalid Base64url encoded',
  payloadJson: 'Jwt payload is an invalid JSON',
  signatureEncoding: 'Jwt signature is an invalid Base64url encoded',
  issuer: 'Jwt issuer is not configured',
  subject: 'Jwt subject is not allowed',
  notYetValid: 'Jwt not yet valid',
  expired: 'Jwt is expired',
  noExpiration: 'Jwt has no expiration',
  lifetime: 'Jwt lifetime exceeds the maximum',
  audience: 'Audiences in Jwt are not allowed',
  fetch: 'Jwks remote fetch is failed',
  noKey: "Jwks doesn't have key to match kid or alg from Jwt",
  signature: 'Jwt verification fails',
} as const;
export type JwtFailure = (typeof JwtFailure)[keyof typeof JwtFailure];

const ALGORITHMS: ReadonlySet<string> = new Set(
  'ES256 ES384 ES512 HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA'.split(' '),
);

/** A token whose form is right; nothing of it is proven. */
export interface ParsedJwt {
  readonly text: string;
  readonly algorithm: string;
  readonly keyId?: string;
  readonly header: MetadataStruct;
  readonly claims: MetadataStruct;
  /** The payload's section as sent, base64url. */
  readonly payload: string;
}

export function parseJwt(text: string): ParsedJwt | JwtFailure {
  const sections = text.split('.', 4);
  const [headerText = '', payload = '', signature = ''] = sections;
  if (sections.length !== 3 || text.length > MAX_TOKEN_LENGTH) return JwtFailure.format;
  const headerBytes = decode(headerText);
  if (headerBytes === undefined) return JwtFailure.headerEncoding;
  const header = parseObject(headerBytes);
  if (header === undefined) return JwtFailure.headerJson;
  const { alg, kid } = header;
  if (typeof alg !== 'string' || !ALGORITHMS.has(alg)) return JwtFailure.algorithm;
  const payloadBytes = decode(payload);
  if (payloadBytes === undefined) return JwtFailure.payloadEncoding;
  const claims = parseObject(payloadBytes);
  if (claims === undefined || !wellTyped(claims)) return JwtFailure.payloadJson;
  if (decode(signature) === undefined) return JwtFailure.signatureEncoding;
  return {
    text,
    algorithm: alg,
    header,
    claims,
    payload,
    ...(typeof kid === 'string' ? { keyId: kid } : {}),
  };
}

export function audiencesOf(claims: MetadataStruct): readonly string[] {
  const { aud } = claims;
  if (typeof aud === 'string') return [aud];
  return Array.isArray(aud) ? aud.filter((a) => typeof a === 'string') : [];
}

/** Registered claims of a wrong type must not read as absent: an `exp` that is text would never expire. */
function wellTyped(claims: MetadataStruct): boolean {
  const { iss, sub, exp, nbf, iat, aud } = claims;
  const text = (v: unknown): boolean => v === undefined || typeof v === 'string';
  const time = (v: unknown): boolean =>
    v === undefined || (typeof v === 'number' && Number.isFinite(v) && v >= 0);
  const list = Array.isArray(aud) && aud.every((a) => typeof a === 'string');
  return text(iss) && text(sub) && time(exp) && time(nbf) && time(iat) && (text(aud) || list);
}

function decode(section: string): Buffer | undefined {
  // Buffer.from skips what it doesn't know, so two texts would be one token.
  if (section === '' || !/^[-_A-Za-z0-9]+$/.test(section) || section.length % 4 === 1) return undefined;
  return Buffer.from(section, 'base64url');
}

function parseObject(bytes: Buffer): MetadataStruct | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as MetadataStruct; // JSON.parse makes nothing else
  } catch {
    return undefined;
  }
}
