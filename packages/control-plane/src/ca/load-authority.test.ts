import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KubernetesClient, type Secret } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { CertificateAuthority } from '@weft/spiffe';
import { loadAuthority } from './load-authority.ts';

let api: FakeApiServer;
let directory: string;

beforeEach(async () => {
  api = await FakeApiServer.start();
  directory = await mkdtemp(join(tmpdir(), 'cacerts-'));
});

afterEach(async () => {
  await api.close();
  await rm(directory, { recursive: true });
});

function load() {
  const client = new KubernetesClient(api.connection);
  return loadAuthority({
    client,
    namespace: 'istio-system',
    directory,
    signal: new AbortController().signal,
  });
}

async function plugIn(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
}

describe('loadAuthority', () => {
  it('makes one root, however many replicas start at once', async () => {
    const loaded = await Promise.all([load(), load(), load()]);
    expect(new Set(loaded.map(({ authority }) => authority.rootsPem)).size).toBe(1);
    expect(loaded[0]?.origin).toBe('self-signed');
    expect((await load()).authority.rootsPem).toBe(loaded[0]?.authority.rootsPem);
  });

  it('never replaces a root that it cannot read', async () => {
    const broken: Secret = { metadata: { name: 'istio-ca-secret', namespace: 'istio-system' }, data: {} };
    api.put('/api/v1/secrets', broken);
    await expect(load()).rejects.toMatchObject({ code: 'WEFT1802' });
  });

  it('prefers files that were plugged in, under both spellings', async () => {
    const { certPem, keyPem } = await CertificateAuthority.createSelfSigned({
      subject: { commonName: 'ours' },
    });
    await plugIn({ 'tls.crt': certPem, 'tls.key': keyPem, 'ca.crt': certPem });
    expect(await load()).toMatchObject({ origin: 'plugged in', authority: { certPem } });
    await plugIn({
      'ca-cert.pem': certPem,
      'ca-key.pem': keyPem,
      'root-cert.pem': certPem,
      'cert-chain.pem': certPem,
    });
    expect(await load()).toMatchObject({ origin: 'plugged in', authority: { certPem } });
    expect(api.requests).toEqual([]);
  });

  it('refuses to start with a part of the files, instead of making a root of its own', async () => {
    await plugIn({ 'ca-cert.pem': 'x' });
    await expect(load()).rejects.toMatchObject({ code: 'WEFT1801' });
  });

  it('refuses files that do not belong together', async () => {
    const [ours, theirs] = await Promise.all(
      ['a', 'b'].map((commonName) => CertificateAuthority.createSelfSigned({ subject: { commonName } })),
    );
    await plugIn({
      'ca-cert.pem': ours?.certPem ?? '',
      'ca-key.pem': theirs?.keyPem ?? '',
      'root-cert.pem': ours?.certPem ?? '',
      'cert-chain.pem': '',
    });
    await expect(load()).rejects.toMatchObject({ code: 'WEFT1801' });
  });
});
