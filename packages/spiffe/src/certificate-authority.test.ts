import { X509Certificate, createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { CertificateAuthority } from './certificate-authority.ts';
import { peerIdentity, toSpiffeId } from './identity.ts';
import { createKeyPair, privateKeyPem } from './keys.ts';
import { openssl, withOpenssl } from './testing/openssl.ts';
import { workloadCertificate } from './workload-certificate.ts';

const identity = toSpiffeId('spiffe://cluster.local/ns/shop/sa/cart');
const DAY_MS = 24 * 3_600_000;
const root = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['cluster.local'] } });
const keyPair = await createKeyPair();
const signed = root.sign({ publicKey: keyPair.publicKey, uriSans: [identity], ttlMs: DAY_MS });

describe('a self-signed root', () => {
  it('lasts ten years, may sign, and is RSA 2048', () => {
    const { certificate } = root;
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(Math.round((root.notAfter.getTime() - Date.now()) / DAY_MS)).toBe(3650);
  });

  it('can be renewed with its key, so that certificates of before stay valid', async () => {
    const renewed = await CertificateAuthority.createSelfSigned({
      subject: { organizations: ['cluster.local'] },
      keyPem: root.keyPem,
    });
    expect(renewed.certPem).not.toBe(root.certPem);
    expect(new X509Certificate(signed.leafPem).checkIssued(renewed.certificate)).toBe(true);
  });
});

describe('sign', () => {
  it('certifies the identity, and nothing of a subject', () => {
    const leaf = new X509Certificate(signed.leafPem);
    expect(peerIdentity(leaf)).toBe(identity);
    expect(leaf.subject).toBeUndefined();
    expect(leaf.ca).toBe(false);
    expect(leaf.serialNumber.length).toBeGreaterThan(24);
    expect(leaf.checkIssued(root.certificate) && leaf.verify(root.certificate.publicKey)).toBe(true);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  });

  it('backdates by two minutes and never outlives the authority', async () => {
    const clock = new ManualClock();
    const subject = { commonName: 'short' };
    const short = await CertificateAuthority.createSelfSigned({ subject, ttlMs: 3_600_000, clock });
    const { leafPem, notAfter } = short.sign({ publicKey: keyPair.publicKey, ttlMs: DAY_MS });
    expect(notAfter).toEqual(short.notAfter);
    expect(Date.parse(new X509Certificate(leafPem).validFrom)).toBe(clock.now() - 120_000);
  });

  it('issues server and client certificates with names of every kind', () => {
    const { leafPem } = root.sign({
      publicKey: keyPair.publicKey,
      ttlMs: DAY_MS,
      subject: { commonName: 'kubernetes-admin', organizations: ['system:masters', 'café'] },
      dnsSans: ['localhost', '*.shop.svc'],
      ipSans: ['127.0.0.1', '::1', 'fd00:1::2.3.4.5', '1:2:3:4:5:6:7:8'],
      usages: ['client'],
    });
    const leaf = new X509Certificate(leafPem);
    expect(leaf.subject).toBe('O=system:masters\nO=café\nCN=kubernetes-admin');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(['127.0.0.1', '::1', 'fd00:1::203:405', '1:2:3:4:5:6:7:8'].every((ip) => leaf.checkIP(ip))).toBe(
      true,
    );
    expect(leaf.checkHost('localhost') !== undefined && leaf.checkHost('a.shop.svc') !== undefined).toBe(
      true,
    );
  });

  withOpenssl('makes certificates that openssl verifies and reads', (file) => {
    const [leaf, ca] = [file('leaf.pem', signed.leafPem), file('root.pem', root.certPem)];
    expect(openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', ca, leaf)).toMatch(
      /leaf.pem: OK/,
    );
    expect(openssl('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', ca, leaf)).toMatch(/OK/);
    const text = openssl('x509', '-in', leaf, '-noout', '-text');
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature, Key Encipherment/);
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/Subject Alternative Name: critical\s+URI:spiffe:/);
    expect(text).toMatch(
      /Extended Key Usage: *\s+TLS Web Server Authentication, TLS Web Client Authentication/,
    );
    const keyId = (of: string, name: string): string | undefined =>
      new RegExp(`${name} Key Identifier: *\\s+(?:keyid:)?([0-9A-F:]+)`).exec(of)?.[1];
    expect(keyId(text, 'Authority')).toBe(keyId(openssl('x509', '-in', ca, '-noout', '-text'), 'Subject'));
  });
});

describe('a plugged-in intermediate', () => {
  withOpenssl('made by openssl, with keys in any form, signs chains that verify', async (file) => {
    const conf = file(
      'ca.cnf',
      '[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=v3\n[dn]\nO=Corp\nCN=Root\n' +
        '[v3]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n',
    );
    const rootKey = file('root-key.pem', openssl('genrsa', '-traditional', '2048'));
    const rootPem = openssl('req', '-new', '-x509', '-key', rootKey, '-config', conf, '-days', '3650');
    for (const keyPem of [
      openssl('genrsa', '-traditional', '2048'),
      openssl('genpkey', '-algorithm', 'RSA'),
      openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout'),
      openssl('ecparam', '-name', 'secp384r1', '-genkey', '-noout'),
    ]) {
      const csr = file(
        'mid.csr',
        openssl('req', '-new', '-key', file('mid-key.pem', keyPem), '-subj', '/O=Corp/CN=Mid'),
      );
      const rootFile = file('root.pem', rootPem);
      const certPem = openssl(
        'x509',
        '-req',
        '-in',
        csr,
        '-CA',
        rootFile,
        '-CAkey',
        rootKey,
        '-CAcreateserial',
        '-days',
        '365',
        '-extfile',
        conf,
        '-extensions',
        'v3',
      );
      // As in the `cacerts` secret: the chain file repeats the signing certificate and holds the root.
      const ca = CertificateAuthority.load({
        certPem,
        keyPem,
        chainPem: certPem + rootPem,
        rootsPem: rootPem,
      });
      const { publicKey, privateKey } = await createKeyPair();
      const { leafPem, intermediatesPem } = ca.sign({ publicKey, uriSans: [identity], ttlMs: DAY_MS });
      expect(intermediatesPem).toHaveLength(1);
      const untrusted = file('chain.pem', intermediatesPem.join(''));
      expect(
        openssl(
          'verify',
          '-x509_strict',
          '-CAfile',
          rootFile,
          '-untrusted',
          untrusted,
          file('leaf.pem', leafPem),
        ),
      ).toMatch(/OK/);
      const certificate = workloadCertificate(identity, privateKey, [
        leafPem,
        ...intermediatesPem,
        ca.rootsPem,
      ]);
      expect(certificate.chainPem.match(/BEGIN/g)).toHaveLength(2);
    }
  });

  it.each([
    [
      'a key of another certificate',
      async () => ({ keyPem: privateKeyPem((await createKeyPair()).privateKey) }),
    ],
    [
      'a certificate that may not sign',
      async () => ({ certPem: signed.leafPem, keyPem: privateKeyPem(keyPair.privateKey) }),
    ],
    [
      'roots it does not lead to',
      async () => {
        const other = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'other' } });
        return { rootsPem: other.certPem };
      },
    ],
    ['no certificate', async () => ({ certPem: 'x' })],
    ['an unreadable key', async () => ({ keyPem: 'x' })],
  ])('refuses %s', async (_, replaced) => {
    const pems = { certPem: root.certPem, keyPem: root.keyPem, ...(await replaced()) };
    expect(() => CertificateAuthority.load(pems)).toThrow(expect.objectContaining({ code: 'WEFT1603' }));
  });

  it('refuses an authority that has expired', async () => {
    const clock = new ManualClock();
    const short = await CertificateAuthority.createSelfSigned({
      subject: { commonName: 'x' },
      ttlMs: 1_000,
      clock,
    });
    await clock.advance(2_000);
    expect(() => CertificateAuthority.load(short, clock)).toThrow(
      expect.objectContaining({ code: 'WEFT1603' }),
    );
  });
});

describe('workloadCertificate', () => {
  const certificate = workloadCertificate(identity, keyPair.privateKey, [signed.leafPem, root.rootsPem]);

  it.each([
    ['leaf only', [signed.leafPem]],
    ['no PEM', ['x', 'y']],
    [
      'another identity',
      [
        root.sign({ publicKey: keyPair.publicKey, uriSans: ['spiffe://td/ns/a/sa/b'], ttlMs: DAY_MS })
          .leafPem,
        root.rootsPem,
      ],
    ],
  ])('refuses an answer with %s', (_, chain) => {
    expect(() => workloadCertificate(identity, keyPair.privateKey, chain)).toThrow(
      expect.objectContaining({ code: 'WEFT1605' }),
    );
  });

  it('refuses a certificate for another key', async () => {
    const { privateKey } = await createKeyPair();
    expect(() => workloadCertificate(identity, privateKey, [signed.leafPem, root.rootsPem])).toThrow(
      /another key/,
    );
  });

  it('serves both sides of mutual TLS 1.3', async () => {
    const { keyPem: key, chainPem: cert, rootsPem: ca } = certificate;
    const common = { key, cert, ca, minVersion: 'TLSv1.3' } as const;
    const server = tls
      .createServer({ ...common, requestCert: true, rejectUnauthorized: true })
      .listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const client = tls.connect({ ...common, port, host: '127.0.0.1', checkServerIdentity: () => undefined });
    await once(client, 'secureConnect');
    const [socket] = await accepted;
    const seen = [client.getPeerX509Certificate(), socket.getPeerX509Certificate()];
    expect(seen.map((c) => c && peerIdentity(c))).toEqual([identity, identity]);
    client.destroy();
    socket.destroy();
    server.close();
    expect(createPrivateKey(key).asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });
});
