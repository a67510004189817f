import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { compileUpstreamTls, compileValidation } from '../upstream/config/tls-context.ts';
import { checkFields } from './check-fields.ts';

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const directory = mkdtempSync(path.join(tmpdir(), 'weft-tls-fields-'));
const file = path.join(directory, 'pem');
writeFileSync(file, 'PEM');
afterAll(() => rmSync(directory, { recursive: true }));

function context(json: object) {
  const bytes = envoyFromJson(`${TLS}.UpstreamTlsContext`, json);
  checkFields(`${TLS}.UpstreamTlsContext`, bytes, { resource: 'r' });
  return compileUpstreamTls(bytes);
}

function validation(json: object) {
  const bytes = envoyFromJson(`${TLS}.CertificateValidationContext`, json);
  checkFields(`${TLS}.CertificateValidationContext`, bytes, { resource: 'r' });
  return compileValidation(
    envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.decode(bytes),
  );
}

const common = (fields: object) => ({ common_tls_context: fields });

describe('a field of a TLS context has its effect', () => {
  it.each<[string, object, object]>([
    ['sni', { sni: 'a.test' }, { sni: 'a.test' }],
    [
      'tls_params',
      common({
        tls_params: {
          cipher_suites: ['[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]'],
          ecdh_curves: ['X25519', 'P-256'],
          signature_algorithms: ['rsa_pss_rsae_sha256'],
        },
      }),
      {
        ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305',
        ecdhCurves: 'X25519:P-256',
        signatureAlgorithms: 'rsa_pss_rsae_sha256',
      },
    ],
    [
      'tls_certificates, of any source',
      common({
        tls_certificates: [{ certificate_chain: { filename: file }, private_key: { inline_bytes: 'S0VZ' } }],
      }),
      { certificate: { inline: { chainPem: 'PEM', keyPem: 'KEY' } } },
    ],
    [
      'validation_context_sds_secret_config',
      common({ validation_context_sds_secret_config: { name: 'roots' } }),
      { validation: { base: undefined, sds: { name: 'roots' } } },
    ],
  ])('%s', (_, json, expected) => {
    expect(context(json)).toMatchObject(expected);
  });

  it.each<[string, object, object]>([
    ['verify_certificate_hash', { verify_certificate_hash: ['AB:CD'] }, { certificateHashes: ['abcd'] }],
    ['verify_certificate_spki', { verify_certificate_spki: ['x='] }, { publicKeyHashes: ['x='] }],
    ['crl', { crl: { inline_string: 'CRL' } }, { crlPem: 'CRL' }],
    [
      'trusted_ca from the environment',
      { trusted_ca: { environment_variable: 'HOME' } },
      { trustedCaPem: process.env['HOME'] },
    ],
    ['allow_expired_certificate', { allow_expired_certificate: true }, { allowExpired: true }],
    ['trust_chain_verification', { trust_chain_verification: 'ACCEPT_UNTRUSTED' }, { acceptUntrusted: true }],
  ])('%s', (_, json, expected) => {
    expect(validation(json)).toMatchObject(expected);
  });

  it('match_subject_alt_names: any kind of name', () => {
    const { sanMatchers } = validation({ match_subject_alt_names: [{ suffix: '.test' }] });
    expect(sanMatchers.map(({ type, matches }) => [type, matches('a.test'), matches('a.b')])).toEqual(
      ['uri', 'dns', 'email', 'ip'].map((type) => [type, true, false]),
    );
  });
});
