import { type JsonWebKey, createPublicKey } from 'node:crypto';

/**
 * A key set with the keys that a proxy can use, and no others: one that it can't read would make it refuse the whole
 * listener. Undefined where none is left.
 */
export function usableKeySet(text: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || !('keys' in parsed) || !Array.isArray(parsed.keys)) {
    return undefined;
  }
  const keys = (parsed.keys as readonly unknown[]).filter(isUsableKey); // any array may hold unknowns
  return keys.length === 0 ? undefined : JSON.stringify({ keys });
}

const supportedTypes: readonly unknown[] = ['RSA', 'EC', 'OKP'];

function isUsableKey(key: unknown): boolean {
  if (typeof key !== 'object' || key === null || !('kty' in key)) return false;
  // A shared secret in a public document is no secret, and whoever reads it could sign.
  if (!supportedTypes.includes(key.kty) || 'd' in key) return false;
  try {
    createPublicKey({ key: key as JsonWebKey, format: 'jwk' }); // checked by the call itself
    return true;
  } catch {
    return false;
  }
}
