import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CertificateAuthority } from './certificate-authority.ts';
import { createKeyPair, privateKeyPem } from './keys.ts';
import { fromPem } from './pem.ts';
import { MAX_CRL_BYTES, RevocationLists } from './revocation.ts';
import { createIntermediate, issueRevocationList } from './testing/revocation-list.ts';
import { openssl, withOpenssl } from './testing/openssl.ts';

const subject = { organizations: ['cluster.local'] };
let root: CertificateAuthority;
let namesake: CertificateAuthority;
let rsaRoot: CertificateAuthority;
let intermediate: CertificateAuthority;

async function ecRoot(): Promise<CertificateAuthority> {
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  return CertificateAuthority.createSelfSigned({ subject, keyPem });
}
beforeAll(async () => {
  [root, namesake, rsaRoot] = await Promise.all([
    ecRoot(),
    ecRoot(),
    CertificateAuthority.createSelfSigned({ subject }),
  ]);
  intermediate = await createIntermediate(root, 'intermediate');
});

interface Leaf {
  readonly certificate: X509Certificate;
  readonly chainPem: string;
  readonly keyPem: string;
}
async function leafOf(authority: CertificateAuthority): Promise<Leaf> {
  const { publicKey, privateKey } = await createKeyPair();
  const uriSans = ['spiffe://cluster.local/ns/a/sa/b'];
  const { leafPem, chainPem } = authority.sign({ publicKey, uriSans, ttlMs: 3_600_000 });
  return { certificate: new X509Certificate(leafPem), chainPem, keyPem: privateKeyPem(privateKey) };
}
const lists = (...pems: readonly string[]): RevocationLists =>
  RevocationLists.parse(Buffer.from(pems.join('')));
const rootsOf = (...authorities: readonly CertificateAuthority[]): X509Certificate[] =>
  authorities.map(({ certificate }) => certificate);

describe('revocation lists', () => {
  it.each<[string, () => CertificateAuthority]>([
    ['an EC root', () => root],
    ['an RSA root', () => rsaRoot],
  ])('refuse a leaf that %s revoked, and no other', async (_, authority) => {
    const [revoked, good] = await Promise.all([leafOf(authority()), leafOf(authority())]);
    const crl = lists(issueRevocationList(authority(), [revoked.certificate]));
    expect(crl.check(revoked.certificate, rootsOf(authority()))).toMatchObject({
      code: 'WEFT1608',
      message: expect.stringContaining(revoked.certificate.serialNumber),
    });
    expect(crl.check(good.certificate, rootsOf(authority()))).toBeUndefined();
  });

  it('are read from DER, from several PEM blocks, and from a file that says nothing yet', async () => {
    const { certificate } = await leafOf(root);
    const pem = issueRevocationList(root, [certificate]);
    expect(RevocationLists.parse(fromPem(pem)).check(certificate, rootsOf(root))).toBeDefined();
    const two = lists(issueRevocationList(rsaRoot, []), pem);
    expect([two.size, two.check(certificate, rootsOf(root))?.code]).toEqual([2, 'WEFT1608']);
    expect(lists('').size).toBe(0);
    expect(lists(' \n').check(certificate, rootsOf(root))).toBeUndefined();
  });

  it('count only for the authority whose key signed them, whatever others are called', async () => {
    const [mine, theirs] = await Promise.all([leafOf(root), leafOf(namesake)]);
    const forged = lists(issueRevocationList(namesake, [mine.certificate, theirs.certificate]));
    expect(forged.check(mine.certificate, rootsOf(root, namesake))).toBeUndefined();
    expect(forged.check(theirs.certificate, rootsOf(root, namesake))?.code).toBe('WEFT1608');
  });

  it('stay in force when their next update is overdue', async () => {
    const { certificate } = await leafOf(root);
    const old = issueRevocationList(root, [certificate], { nextUpdate: new Date(Date.now() - 1_000) });
    expect(lists(old).check(certificate, rootsOf(root))?.code).toBe('WEFT1608');
  });

  it('say nothing of certificates whose issuer has no list', async () => {
    const { certificate } = await leafOf(root);
    expect(lists(issueRevocationList(intermediate, [])).check(certificate, rootsOf(root))).toBeUndefined();
  });

  it.each<[string, () => Buffer]>([
    ['text', () => Buffer.from('no list')],
    ['a certificate', () => Buffer.from(root.certPem)],
    ['half of a block', () => fromPem(issueRevocationList(root, [])).subarray(0, 100)],
    [
      'something after a DER list',
      () => Buffer.concat([fromPem(issueRevocationList(root, [])), Buffer.of(5, 0)]),
    ],
    [
      'a delta list, of which only the complete one would tell the meaning',
      () => Buffer.from(issueRevocationList(root, [], { criticalExtension: '2.5.29.27' })),
    ],
    ['too many bytes', () => Buffer.alloc(MAX_CRL_BYTES + 1)],
  ])('cannot be read from %s', (_, bytes) => {
    expect(() => RevocationLists.parse(bytes())).toThrow(expect.objectContaining({ code: 'WEFT1609' }));
  });

  it('never fail in another way, whatever bytes they are read from', async () => {
    const der = fromPem(issueRevocationList(root, [(await leafOf(root)).certificate]));
    const change = fc.record({ at: fc.nat(der.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat(der.length), (changes, cut) => {
        const bytes = Buffer.from(der);
        for (const { at, byte } of changes) bytes[at] = byte;
        for (const damaged of [bytes, bytes.subarray(0, cut)]) {
          try {
            RevocationLists.parse(damaged);
          } catch (error) {
            expect(error).toMatchObject({ code: 'WEFT1609' });
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  withOpenssl('agree with openssl about an intermediate, and about who signed', async (file) => {
    const leaf = await leafOf(intermediate);
    const rootCrl = issueRevocationList(root, [intermediate.certPem]);
    const files = [
      '-CAfile',
      file('root.pem', root.certPem),
      '-untrusted',
      file('i.pem', intermediate.certPem),
    ];
    const crls = file('crl.pem', rootCrl + issueRevocationList(intermediate, []));
    const target = file('leaf.pem', leaf.chainPem);
    expect(() => openssl('verify', ...files, '-crl_check_all', '-CRLfile', crls, target)).toThrow(
      /certificate revoked/,
    );
    const good = file('good.pem', issueRevocationList(root, []) + issueRevocationList(intermediate, []));
    expect(openssl('verify', ...files, '-crl_check_all', '-CRLfile', good, target)).toContain('OK');
  });
});

describe('the chain that a TLS peer sends', () => {
  /** The server's certificate as a client sees it, with what the server sent along. */
  async function peerOf(leaf: Leaf, trusted: CertificateAuthority): Promise<X509Certificate> {
    const server = createServer({ key: leaf.keyPem, cert: leaf.chainPem }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo; // it listens on TCP
    const client = connect({
      host: '127.0.0.1',
      port,
      ca: trusted.rootsPem,
      checkServerIdentity: () => undefined,
    });
    await once(client, 'secureConnect');
    const certificate = client.getPeerX509Certificate();
    client.destroy();
    server.close();
    if (certificate === undefined) throw new Error('no certificate');
    return certificate;
  }

  it('is refused for a revoked intermediate, and for a leaf that the intermediate revoked', async () => {
    const leaf = await leafOf(intermediate);
    const peer = await peerOf(leaf, root);
    const byRoot = lists(issueRevocationList(root, [intermediate.certPem]));
    expect(byRoot.check(peer, rootsOf(root))?.code).toBe('WEFT1608');
    const byIntermediate = lists(issueRevocationList(intermediate, [leaf.certificate]));
    expect(byIntermediate.check(peer, rootsOf(root))?.code).toBe('WEFT1608');
    const nobody = lists(issueRevocationList(root, []), issueRevocationList(intermediate, []));
    expect(nobody.check(peer, rootsOf(root))).toBeUndefined();
  });

  it('is refused where it is not shown whole, since anything in it may be revoked', async () => {
    const { certificate } = await leafOf(intermediate);
    const ofNobody = lists(issueRevocationList(root, []));
    expect(ofNobody.check(certificate, rootsOf(root))?.code).toBe('WEFT1608');
    expect(RevocationLists.none.check(certificate, rootsOf(root))).toBeUndefined();
  });

  it('is completed by authorities that are known, whose own certificates may be revoked', async () => {
    const { certificate } = await leafOf(intermediate);
    const known = [intermediate.certificate];
    const check = (...pems: readonly string[]) => lists(...pems).check(certificate, rootsOf(root), known);
    expect(check(issueRevocationList(root, []))).toBeUndefined();
    expect(check(issueRevocationList(root, [intermediate.certPem]))?.code).toBe('WEFT1608');
    expect(check(issueRevocationList(intermediate, [certificate]))?.code).toBe('WEFT1608');
    const stranger = await leafOf(await createIntermediate(root, 'stranger'));
    expect(
      lists(issueRevocationList(root, [])).check(stranger.certificate, rootsOf(root), known)?.message,
    ).toContain('not known who stands between CN=stranger and a root');
  });

  it('is refused when it is longer than any sensible one', async () => {
    const leaf = await leafOf(root);
    const others = await Promise.all(Array.from({ length: 17 }, (_, i) => createIntermediate(root, `n${i}`)));
    const chainPem = leaf.chainPem + others.map(({ certPem }) => certPem).join('');
    const peer = await peerOf({ ...leaf, chainPem }, root);
    expect(lists(issueRevocationList(root, [])).check(peer, rootsOf(root))?.code).toBe('WEFT1608');
  });
});
