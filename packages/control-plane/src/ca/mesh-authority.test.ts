import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { CertificateAuthority, certificateBlocks, createKeyPair } from '@weft/spiffe';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { MeshAuthority } from './mesh-authority.ts';
import type { RotationState } from './rotation.ts';

const HOUR_MS = 3_600_000;
const TTL_MS = 24 * HOUR_MS;

let a: CertificateAuthority;
let b: CertificateAuthority;
let publicKey: Awaited<ReturnType<typeof createKeyPair>>['publicKey'];

beforeAll(async () => {
  [a, b] = await Promise.all([
    CertificateAuthority.createSelfSigned({ subject: { commonName: 'a' } }),
    CertificateAuthority.createSelfSigned({ subject: { commonName: 'b' } }),
  ]);
  ({ publicKey } = await createKeyPair());
});

const withRoots = ({ certPem, keyPem }: CertificateAuthority, ...roots: CertificateAuthority[]) => ({
  authority: CertificateAuthority.load({ certPem, keyPem, rootsPem: roots.map((r) => r.certPem).join('') }),
  crlPem: '',
});

function start(
  first = a,
  { clock = new ManualClock(Date.now()), resumed }: { clock?: ManualClock; resumed?: RotationState } = {},
) {
  const mesh = new MeshAuthority({
    authority: first,
    crlPem: '',
    resumed,
    certificateTtlMs: TTL_MS,
    clock,
    logger: silentLogger,
  });
  let changes = 0;
  mesh.subscribe(() => changes++);
  const issuer = (): string => {
    const { leafPem } = mesh.sign({ publicKey, uriSans: ['spiffe://t/ns/n/sa/s'], ttlMs: TTL_MS });
    return new X509Certificate(leafPem).issuer;
  };
  const roots = (): string[] =>
    certificateBlocks(mesh.rootsPem).map((pem) => new X509Certificate(pem).subject);
  return { clock, mesh, issuer, roots, changes: () => changes };
}

describe('the authority of the mesh', () => {
  it('lets a new root go round before it signs with it, and keeps the old one until its certificates are gone', async () => {
    const { clock, mesh, issuer, roots } = start();
    issuer();
    mesh.replace(withRoots(b, b));
    expect([issuer(), roots()]).toEqual(['CN=a', ['CN=b', 'CN=a']]);
    await clock.advance(TTL_MS / 2);
    expect([issuer(), roots()]).toEqual(['CN=b', ['CN=b', 'CN=a']]);
    await clock.advance(TTL_MS - 1);
    expect(roots()).toEqual(['CN=b', 'CN=a']);
    await clock.advance(1);
    expect(roots()).toEqual(['CN=b']);
    mesh.close();
    expect(clock.pending).toBe(0);
  });

  it('goes on in another process where it was', async () => {
    const before = start();
    before.mesh.replace(withRoots(b, b));
    const { clock } = before;
    await clock.advance(TTL_MS / 4);
    const { mesh, issuer, roots } = start(b, { clock, resumed: before.mesh.rotation });
    before.mesh.close();
    expect([issuer(), roots()]).toEqual(['CN=a', ['CN=b', 'CN=a']]);
    await clock.advance(TTL_MS / 4);
    expect([issuer(), roots()]).toEqual(['CN=b', ['CN=b', 'CN=a']]);
    await clock.advance(TTL_MS / 2);
    const last = start(b, { clock, resumed: mesh.rotation });
    mesh.close();
    expect([last.issuer(), last.roots()]).toEqual(['CN=b', ['CN=b', 'CN=a']]);
    await clock.advance(TTL_MS / 2);
    expect(last.roots()).toEqual(['CN=b']);
    expect(last.mesh.rotation).toEqual({ retired: [] });
    last.mesh.close();
    expect(clock.pending).toBe(0);
  });

  it('signs with nobody who has expired: who is replaced late is replaced as soon as proxies have renewed', async () => {
    const clock = new ManualClock(Date.now());
    const subject = { commonName: 'late' };
    const late = await CertificateAuthority.createSelfSigned({ subject, ttlMs: 4 * HOUR_MS, clock });
    const { mesh, issuer, roots } = start(late, { clock });
    const leftMs = mesh.notAfter.getTime() - clock.now();
    mesh.replace(withRoots(b, b));
    expect([issuer(), roots()]).toEqual(['CN=late', ['CN=b', 'CN=late']]);
    await clock.advance(leftMs / 2 - 1);
    expect(issuer()).toBe('CN=late');
    await clock.advance(1);
    expect([issuer(), roots()]).toEqual(['CN=b', ['CN=b', 'CN=late']]);
    mesh.close();
  });

  it('waits no longer for a root than it takes to go round, whatever is recorded', async () => {
    const clock = new ManualClock(Date.now());
    const announced = { signer: a, nextPem: b.certPem, signsFrom: clock.now() + 1_000 * TTL_MS };
    const { mesh, issuer } = start(b, { clock, resumed: { announced, retired: [] } });
    expect(issuer()).toBe('CN=a');
    await clock.advance(TTL_MS / 2);
    expect(issuer()).toBe('CN=b');
    mesh.close();
  });

  it('gives up a rotation whose end was taken back while no process ran', () => {
    const before = start();
    before.mesh.replace(withRoots(b, b));
    const { mesh, issuer, roots } = start(a, { clock: before.clock, resumed: before.mesh.rotation });
    expect([issuer(), roots()]).toEqual(['CN=a', ['CN=a']]);
    expect(mesh.rotation).toEqual({ retired: [] });
    before.mesh.close();
    mesh.close();
  });

  it('announces nothing that it has announced, or that signs at once', () => {
    const { mesh } = start();
    expect(mesh.announcementOf(withRoots(a, a, b))).toBeUndefined();
    expect(mesh.announcementOf(withRoots(b, b))?.announced?.nextPem).toBe(b.certPem);
    mesh.replace(withRoots(b, b));
    expect(mesh.announcementOf(withRoots(b, b))).toBeUndefined();
    mesh.close();
  });

  it('signs at once with an authority whose root everybody knows', async () => {
    const { mesh, issuer, roots } = start();
    mesh.replace(withRoots(a, a, b));
    expect([issuer(), roots()]).toEqual(['CN=a', ['CN=a', 'CN=b']]);
    mesh.replace(withRoots(b, a, b));
    expect([issuer(), roots()]).toEqual(['CN=b', ['CN=a', 'CN=b']]);
    mesh.close();
  });

  it('gives up an announced root when the old configuration comes back', async () => {
    const { clock, mesh, issuer, roots } = start();
    mesh.replace(withRoots(b, b));
    mesh.replace({ authority: a, crlPem: '' });
    expect(roots()).toEqual(['CN=a']);
    await clock.advance(TTL_MS);
    expect(issuer()).toBe('CN=a');
    mesh.close();
  });

  it('says what changed, and only then', () => {
    const { mesh, changes } = start();
    mesh.replace({ authority: a, crlPem: '' });
    expect(changes()).toBe(0);
    mesh.replace({ authority: a, crlPem: 'list' });
    expect([changes(), mesh.crlPem]).toEqual([1, 'list']);
    mesh.close();
  });

  it('takes a root that was certified anew with its key for the one that everybody knows', async () => {
    const renewed = await CertificateAuthority.createSelfSigned({
      subject: { commonName: 'a' },
      keyPem: a.keyPem,
    });
    const { mesh } = start();
    const sign = () => mesh.sign({ publicKey, uriSans: ['spiffe://t/ns/n/sa/s'], ttlMs: TTL_MS }).leafPem;
    const before = sign();
    mesh.replace({ authority: renewed, crlPem: '' });
    expect(mesh.rootsPem).toBe(renewed.certPem + a.certPem);
    for (const leaf of [before, sign()].map((pem) => new X509Certificate(pem))) {
      for (const root of [a, renewed]) {
        expect(leaf.checkIssued(root.certificate) && leaf.verify(root.certificate.publicKey)).toBe(true);
      }
    }
    mesh.close();
  });
});
