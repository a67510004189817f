import { createHash, type X509Certificate } from 'node:crypto';
import type { CertificateValidation, SanMatcher } from '../config/tls-context.ts';
import { certificateNames, type CertificateNames } from './certificate-names.ts';

export interface PeerExpectation {
  /** Exact names, one of which the peer must have: from filter state. Undefined: no such demand. */
  readonly names: readonly string[] | undefined;
  /** DNS name that auto_san_validation demands. */
  readonly serverName: string | undefined;
}

export type Verdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly stat:
        | 'fail_verify_error'
        | 'fail_verify_san'
        | 'fail_verify_cert_hash'
        | 'fail_verify_no_cert';
    };

/**
 * Judges the server's certificate after the handshake. `chainError` is what OpenSSL found wrong with the chain,
 * undefined when it leads to a trusted root.
 */
export function verifyPeer(
  certificate: X509Certificate | undefined,
  chainError: string | undefined,
  validation: CertificateValidation | undefined,
  expectation: PeerExpectation,
): Verdict {
  const demandsName =
    expectation.names !== undefined ||
    expectation.serverName !== undefined ||
    (validation?.sanMatchers.length ?? 0) > 0;
  if (validation === undefined || (validation.trustedCaPem === undefined && !hasPins(validation))) {
    // A name in a certificate that anybody may have made proves nothing.
    return demandsName
      ? { ok: false, reason: 'an identity is expected, but no CA is trusted', stat: 'fail_verify_error' }
      : { ok: true };
  }
  if (certificate === undefined)
    return { ok: false, reason: 'the server has no certificate', stat: 'fail_verify_no_cert' };
  if (
    validation.trustedCaPem !== undefined &&
    chainError !== undefined &&
    !isForgiven(chainError, validation)
  ) {
    return { ok: false, reason: `CERTIFICATE_VERIFY_FAILED: ${chainError}`, stat: 'fail_verify_error' };
  }
  if (hasPins(validation) && !isPinned(certificate, validation)) {
    return {
      ok: false,
      reason: 'CERTIFICATE_VERIFY_FAILED: the hash matches none',
      stat: 'fail_verify_cert_hash',
    };
  }
  const names = certificateNames(certificate);
  const all = [...names.uri, ...names.dns, ...names.email, ...names.ip];
  const mismatch = (expected: string): Verdict => ({
    ok: false,
    reason: `CERTIFICATE_VERIFY_FAILED: the server is [${all.join(', ')}], expected ${expected}`,
    stat: 'fail_verify_san',
  });
  if (expectation.names !== undefined && !expectation.names.some((name) => hasExactName(names, name))) {
    return mismatch(`one of [${expectation.names.join(', ')}]`);
  }
  if (expectation.serverName !== undefined && !coversServerName(names, expectation.serverName)) {
    return mismatch(expectation.serverName);
  }
  const { sanMatchers } = validation;
  if (sanMatchers.length > 0 && !sanMatchers.some((matcher) => matchesSan(names, matcher))) {
    return mismatch('a name of the TLS context');
  }
  return { ok: true };
}

function hasPins(validation: CertificateValidation): boolean {
  return validation.certificateHashes.length > 0 || validation.publicKeyHashes.length > 0;
}

function isForgiven(chainError: string, validation: CertificateValidation): boolean {
  return validation.acceptUntrusted || (validation.allowExpired && chainError === 'CERT_HAS_EXPIRED');
}

function isPinned(certificate: X509Certificate, validation: CertificateValidation): boolean {
  const whole = createHash('sha256').update(certificate.raw).digest('hex');
  const key = createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  return validation.certificateHashes.includes(whole) || validation.publicKeyHashes.includes(key);
}

function hasExactName(names: CertificateNames, expected: string): boolean {
  return (
    names.uri.includes(expected) ||
    names.ip.includes(expected) ||
    names.dns.some((name) => coversDns(name, expected))
  );
}

function coversServerName(names: CertificateNames, serverName: string): boolean {
  return names.ip.includes(serverName) || names.dns.some((name) => coversDns(name, serverName));
}

/** RFC 6125 §6.4.3, and only a whole left-most label as wildcard. */
function coversDns(pattern: string, name: string): boolean {
  const [own, wanted] = [pattern.toLowerCase(), name.toLowerCase()];
  if (own === wanted) return true;
  if (!own.startsWith('*.')) return false;
  const dot = wanted.indexOf('.');
  return dot > 0 && wanted.slice(dot) === own.slice(1);
}

function matchesSan(names: CertificateNames, { type, matches }: SanMatcher): boolean {
  return names[type].some((name) => matches(name));
}
