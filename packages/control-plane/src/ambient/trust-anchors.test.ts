import { describe, expect, it } from '@jest/globals';
import { CertificateAuthority } from '@weft/spiffe';
import { parseTrustAnchors } from './trust-anchors.ts';

const authority = async (organization: string): Promise<string> =>
  (await CertificateAuthority.createSelfSigned({ subject: { organizations: [organization] } })).certPem;
const [a, b] = [await authority('a'), await authority('b')];

describe('trust anchors of a mesh configuration', () => {
  it.each([
    ['for everything', { pem: a }, [a], undefined],
    ['several, each once', { pem: a + b + a }, [a, b], undefined],
    ['for the mesh among others', { pem: a, trustDomains: ['elsewhere', 'old'] }, [a], undefined],
    ['for other domains only', { pem: a, trustDomains: ['elsewhere'] }, [], 'for other trust domains only'],
    [
      'for another signer',
      { pem: a, certSigners: ['example.com/ca'] },
      [],
      'for certificates that others sign',
    ],
    ['to be fetched', { spiffeBundleUrl: 'https://example.com/bundle' }, [], 'bundles are not fetched'],
  ])('are taken where they count here: %s', (_, entry, pems, notice) => {
    expect(parseTrustAnchors([entry], ['cluster.local', 'old'])).toEqual({
      pems,
      notices: notice === undefined ? [] : [expect.stringContaining(notice)],
    });
  });

  it('are none where nothing is said', () => {
    expect(parseTrustAnchors(undefined, [])).toEqual({ pems: [], notices: [] });
  });

  it.each([
    [[{ pem: 'no certificate' }], 'caCertificates[0].pem is no certificate in PEM'],
    [[{ pem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' }], 'is no certificate in PEM'],
    [[{}], 'caCertificates[0].pem is not a text'],
    ['pem', 'caCertificates is not a list'],
  ])('are refused as %j', (value, message) => {
    expect(() => parseTrustAnchors(value, [])).toThrow(message);
  });
});
