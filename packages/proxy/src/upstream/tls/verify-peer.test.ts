import { createHash, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CertificateValidation } from '../config/tls-context.ts';
import { TestAuthority } from '../testing/certificates.ts';
import { certificateNames } from './certificate-names.ts';
import { type PeerExpectation, verifyPeer } from './verify-peer.ts';

const nobody: PeerExpectation = { names: undefined, serverName: undefined };
let certificate: X509Certificate;
let rootsPem: string;

beforeAll(async () => {
  const authority = await TestAuthority.create();
  rootsPem = authority.rootsPem;
  const names = { uriSans: ['spiffe://td/ns/a/sa/b'], dnsSans: ['a.example', '*.wild.example'] };
  certificate = new X509Certificate((await authority.issue(names)).chainPem);
});

function validation(o: Partial<CertificateValidation> = {}): CertificateValidation {
  return {
    trustedCaPem: rootsPem,
    crlPem: undefined,
    sanMatchers: [],
    certificateHashes: [],
    publicKeyHashes: [],
    allowExpired: false,
    acceptUntrusted: false,
    ...o,
  };
}

describe('the verification of a server', () => {
  it('verifies nothing without a validation context, unless an identity is expected', () => {
    expect(verifyPeer(certificate, 'SELF_SIGNED_CERT_IN_CHAIN', undefined, nobody).ok).toBe(true);
    const expectation = { ...nobody, names: ['spiffe://td/ns/a/sa/b'] };
    expect(verifyPeer(certificate, undefined, undefined, expectation)).toMatchObject({ ok: false });
    const noCa = validation({ trustedCaPem: undefined });
    const matcher = { type: 'uri', matches: () => true } as const;
    expect(verifyPeer(certificate, undefined, { ...noCa, sanMatchers: [matcher] }, nobody).ok).toBe(false);
    expect(verifyPeer(certificate, undefined, noCa, expectation)).toMatchObject({ ok: false });
  });

  it('refuses a chain that leads to no trusted root', () => {
    expect(verifyPeer(certificate, 'UNABLE_TO_GET_ISSUER_CERT', validation(), nobody)).toEqual({
      ok: false,
      reason: 'CERTIFICATE_VERIFY_FAILED: UNABLE_TO_GET_ISSUER_CERT',
      stat: 'fail_verify_error',
    });
    expect(verifyPeer(undefined, undefined, validation(), nobody)).toMatchObject({
      stat: 'fail_verify_no_cert',
    });
  });

  it('forgives exactly what the context forgives', () => {
    const expired = validation({ allowExpired: true });
    expect(verifyPeer(certificate, 'CERT_HAS_EXPIRED', expired, nobody).ok).toBe(true);
    expect(verifyPeer(certificate, 'CERT_SIGNATURE_FAILURE', expired, nobody).ok).toBe(false);
  });

  it.each([
    ['spiffe://td/ns/a/sa/b', true],
    ['spiffe://td/ns/a/sa/bb', false],
    ['spiffe://td/ns/a/sa/', false],
    ['spiffe://td/ns/A/sa/b', false],
    ['a.example', true],
    ['x.wild.example', true],
    ['x.y.wild.example', false],
    ['wild.example', false],
  ])('finds the expected name %s: %s', (name, ok) => {
    expect(verifyPeer(certificate, undefined, validation(), { ...nobody, names: [name] }).ok).toBe(ok);
  });

  it('demands both the expected name and a match of the context', () => {
    const names = ['spiffe://td/ns/a/sa/b'];
    const matching = (prefix: string): CertificateValidation =>
      validation({ sanMatchers: [{ type: 'uri', matches: (text) => text.startsWith(prefix) }] });
    expect(verifyPeer(certificate, undefined, matching('spiffe://td/'), { ...nobody, names }).ok).toBe(true);
    expect(
      verifyPeer(certificate, undefined, matching('spiffe://other/'), { ...nobody, names }),
    ).toMatchObject({
      stat: 'fail_verify_san',
    });
    expect(verifyPeer(certificate, undefined, matching('spiffe://td/'), nobody).ok).toBe(true);
  });

  it('does not take a name of one kind for another', () => {
    const dnsOnly = validation({
      sanMatchers: [{ type: 'dns', matches: (text) => text.startsWith('spiffe://') }],
    });
    expect(verifyPeer(certificate, undefined, dnsOnly, nobody).ok).toBe(false);
  });

  it('accepts a pinned certificate and no other', () => {
    const hash = createHash('sha256').update(certificate.raw).digest('hex');
    expect(verifyPeer(certificate, undefined, validation({ certificateHashes: [hash] }), nobody).ok).toBe(
      true,
    );
    expect(
      verifyPeer(certificate, undefined, validation({ certificateHashes: ['00'] }), nobody),
    ).toMatchObject({
      stat: 'fail_verify_cert_hash',
    });
  });
});

describe('certificate names', () => {
  it.each([
    ['DNS:a.example, URI:spiffe://td/x, IP Address:10.0.0.1, email:a@b', 1, 1],
    ['URI:"spiffe://td/x, DNS:evil.example"', 1, 0],
    ['URI:spiffe://td/x" DNS:evil', 0, 0],
    ['DNS:a.example, othername:<unsupported>', 0, 1],
    ['', 0, 0],
  ])('of %j are read without being misled', (subjectAltName, uris, dns) => {
    const names = certificateNames({ subjectAltName });
    expect([names.uri.length, names.dns.length]).toEqual([uris, dns]);
  });
});
