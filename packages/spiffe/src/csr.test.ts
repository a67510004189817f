import { execFileSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createCsr, MAX_CSR_BYTES, verifyCsr } from './csr.ts';
import { toSpiffeId } from './identity.ts';
import { createKeyPair, createRsaKeyPair } from './keys.ts';
import { fromPem, toPem } from './pem.ts';
import { withOpenssl, openssl } from './testing/openssl.ts';

const identity = toSpiffeId('spiffe://cluster.local/ns/shop/sa/cart');
const keyPair = await createKeyPair();
const csr = createCsr(keyPair, identity);
const spki = (key: import('node:crypto').KeyObject): string =>
  key.export({ type: 'spki', format: 'pem' }).toString();

describe('createCsr and verifyCsr', () => {
  it('agree on the public key', () => {
    expect(spki(verifyCsr(csr).publicKey)).toBe(spki(keyPair.publicKey));
  });

  it('work with RSA keys too', async () => {
    const rsa = await createRsaKeyPair();
    expect(spki(verifyCsr(createCsr(rsa, identity)).publicKey)).toBe(spki(rsa.publicKey));
  });

  it('refuse a request whose signature is by another key', async () => {
    const other = await createKeyPair();
    const forged = createCsr({ publicKey: keyPair.publicKey, privateKey: other.privateKey }, identity);
    expect(() => verifyCsr(forged)).toThrow(/does not match its public key/);
  });

  it('refuse weak RSA keys', async () => {
    const weak = await createRsaKeyPair(1024);
    expect(() => verifyCsr(createCsr(weak, identity))).toThrow(/too weak/);
  });

  it.each([
    ['nothing', ''],
    ['two requests', csr + csr],
    ['a huge text', csr + ' '.repeat(MAX_CSR_BYTES)],
    ['bytes after the end', toPem('CERTIFICATE REQUEST', Buffer.concat([fromPem(csr), Buffer.of(0)]))],
    ['deep nesting', toPem('CERTIFICATE REQUEST', Buffer.from('3080'.repeat(4_000), 'hex'))],
    ['a certificate', csr.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE')],
  ])('refuse %s', (_, text) => {
    expect(() => verifyCsr(text)).toThrow(expect.objectContaining({ code: 'WEFT1602' }));
  });

  it('refuse every request of which a byte was changed', () => {
    const der = fromPem(csr);
    fc.assert(
      fc.property(fc.nat({ max: der.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(der);
        changed[at] = (changed[at] ?? 0) ^ flip;
        expect(() => verifyCsr(toPem('CERTIFICATE REQUEST', changed))).toThrow(
          expect.objectContaining({ code: 'WEFT1602' }),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('fail only with their own error on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => verifyCsr(toPem('CERTIFICATE REQUEST', bytes))).toThrow(
          expect.objectContaining({ code: 'WEFT1602' }),
        );
      }),
      { numRuns: 500 },
    );
  });

  withOpenssl('are understood by openssl', (file) => {
    const text = openssl('req', '-in', file('csr.pem', csr), '-noout', '-verify', '-text');
    expect(text).toMatch(
      /X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/shop\/sa\/cart/,
    );
    expect(text).toMatch(/Subject: *\n/);
  });

  withOpenssl('accept what openssl makes', (file) => {
    const key = file('key.pem', openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'));
    const made = execFileSync('openssl', ['req', '-new', '-key', key, '-subj', '/O=x/CN=y', '-sha384'], {
      stdio: 'pipe',
    });
    expect(verifyCsr(made.toString()).publicKey.asymmetricKeyType).toBe('rsa');
  });
});
