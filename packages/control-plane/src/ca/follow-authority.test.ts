import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { KubernetesClient, type Secret } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { CertificateAuthority } from '@weft/spiffe';
import { issueRevocationList } from '@weft/spiffe/testing';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { until } from '../testing/test-cluster.ts';
import { followAuthority } from './follow-authority.ts';
import { loadAuthority } from './load-authority.ts';
import { MeshAuthority } from './mesh-authority.ts';
import { RotationRecord } from './rotation-record.ts';

const YEAR_MS = 365 * 24 * 3_600_000;

let api: FakeApiServer;
let directory: string;
let stop: AbortController;
let clock: ManualClock;
let errors: string[];
let following: Promise<void>;
let mesh: MeshAuthority;

beforeEach(async () => {
  api = await FakeApiServer.start();
  directory = await mkdtemp(join(tmpdir(), 'cacerts-'));
  stop = new AbortController();
  clock = new ManualClock(Date.now());
  errors = [];
});

afterEach(async () => {
  stop.abort();
  await following;
  mesh.close();
  await api.close();
  await rm(directory, { recursive: true });
});

async function follow(): Promise<void> {
  const client = new KubernetesClient(api.connection);
  const options = { client, namespace: 'istio-system', directory, clock, signal: stop.signal };
  const loaded = await loadAuthority(options);
  const logger = {
    ...silentLogger,
    error: (_message: string, fields = {}) => void errors.push(String(Object.values(fields)[0])),
  };
  mesh = new MeshAuthority({ ...loaded, certificateTtlMs: 1_000, clock, logger: silentLogger });
  const record = new RotationRecord(options);
  following = followAuthority({ ...options, loaded, mesh, record, logger, random: () => 0.5 });
}

async function plugIn({ certPem, keyPem }: CertificateAuthority, crl?: string): Promise<void> {
  const files = {
    'ca-cert.pem': certPem,
    'ca-key.pem': keyPem,
    'root-cert.pem': certPem,
    'cert-chain.pem': '',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  if (crl !== undefined) await writeFile(join(directory, 'ca-crl.pem'), crl);
}

const create = (commonName: string) => CertificateAuthority.createSelfSigned({ subject: { commonName } });

/** Time goes on until the condition holds; reading files takes none of it. */
const later = (condition: () => boolean): Promise<void> =>
  until(async () => {
    if (!condition()) await clock.advance(10_000);
    return condition();
  });

it('takes over files as they change, keeps the last good ones, and says once what is wrong', async () => {
  const [a, b] = await Promise.all([create('a'), create('b')]);
  await plugIn(a);
  await follow();
  expect(mesh.rootsPem).toBe(a.certPem);
  await writeFile(join(directory, 'ca-key.pem'), b.keyPem);
  await later(() => errors.length > 0);
  await clock.advance(100_000);
  expect(errors).toEqual([expect.stringContaining('WEFT1801')]);
  await plugIn(b);
  await later(() => mesh.rootsPem === b.certPem);
  const crl = issueRevocationList(b, []);
  await plugIn(b, crl);
  await later(() => mesh.crlPem === crl);
  await Promise.all(
    ['ca-cert.pem', 'ca-key.pem', 'root-cert.pem', 'cert-chain.pem'].map((name) => rm(join(directory, name))),
  );
  await clock.advance(100_000);
  expect(mesh.rootsPem).toBe(b.certPem);
});

it('certifies a self-signed root anew, with its key, in the last fifth of its life', async () => {
  const old = await CertificateAuthority.createSelfSigned({
    subject: { commonName: 'old' },
    ttlMs: YEAR_MS,
    clock,
  });
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  const secret: Secret = {
    metadata: { name: 'istio-ca-secret', namespace: 'istio-system' },
    data: { 'ca-cert.pem': encode(old.certPem), 'ca-key.pem': encode(old.keyPem) },
  };
  api.put('/api/v1/secrets', secret);
  await follow();
  await clock.advance(YEAR_MS * 0.7);
  expect(mesh.rootsPem).toBe(old.certPem);
  await clock.advance(YEAR_MS * 0.15);
  await later(() => mesh.rootsPem !== old.certPem);
  const stored = (await new KubernetesClient(api.connection).get(
    { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true },
    'istio-ca-secret',
    'istio-system',
  )) as Secret;
  const renewed = CertificateAuthority.load({
    certPem: Buffer.from(stored.data?.['ca-cert.pem'] ?? '', 'base64').toString(),
    keyPem: Buffer.from(stored.data?.['ca-key.pem'] ?? '', 'base64').toString(),
  });
  expect(mesh.rootsPem).toContain(renewed.certPem);
  expect(renewed.keyPem).toBe(old.keyPem);
});
