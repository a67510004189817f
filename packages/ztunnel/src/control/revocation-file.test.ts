import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { issueRevocationList } from '@weft/spiffe/testing';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { CRL_POLL_MS, RevocationFile } from './revocation-file.ts';

const { privateKey } = await createKeyPair();
const keyPem = privateKeyPem(privateKey);
const root = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'root' }, keyPem });
const list = issueRevocationList(root, [root.certPem]);

let folder: string;
let clock: ManualClock;
let file: RevocationFile;
let contents: string[];
let errors: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-crl-'));
  clock = new ManualClock();
  contents = [];
  errors = [];
});
afterEach(() => {
  file.close();
  expect(clock.pending).toBe(0);
  rmSync(folder, { recursive: true });
});
const follow = (path: string): void => {
  file = new RevocationFile({
    path,
    clock,
    logger: silentLogger,
    onChange: (bytes) => contents.push(bytes.toString()),
    onError: ({ code }) => errors.push(code),
  });
};

describe('the file of revocation lists', () => {
  it('may come later, folder and all, and be empty at first', async () => {
    const path = join(folder, 'crl', 'ca-crl.pem');
    follow(path);
    expect([contents, errors]).toEqual([[], []]);
    mkdirSync(join(folder, 'crl'));
    writeFileSync(path, '');
    await clock.advance(CRL_POLL_MS);
    writeFileSync(path, list);
    await clock.advance(CRL_POLL_MS);
    expect([contents, errors]).toEqual([['', list], []]);
  });

  it('is read once for each content', async () => {
    writeFileSync(join(folder, 'crl.pem'), list);
    follow(join(folder, 'crl.pem'));
    await clock.advance(10 * CRL_POLL_MS);
    expect(contents).toEqual([list]);
  });

  it('is followed through the links of a mounted ConfigMap', async () => {
    for (const version of ['1', '2']) mkdirSync(join(folder, version));
    writeFileSync(join(folder, '1', 'crl.pem'), '');
    writeFileSync(join(folder, '2', 'crl.pem'), list);
    symlinkSync('1', join(folder, '..data'));
    symlinkSync('..data/crl.pem', join(folder, 'crl.pem'));
    follow(join(folder, 'crl.pem'));
    symlinkSync('2', join(folder, '..new'));
    renameSync(join(folder, '..new'), join(folder, '..data'));
    await clock.advance(CRL_POLL_MS);
    expect(contents).toEqual(['', list]);
  });

  it('keeps in force what it said before it became unreadable, or went away', async () => {
    const path = join(folder, 'crl.pem');
    writeFileSync(path, list);
    follow(path);
    writeFileSync(path, 'half of a fi');
    await clock.advance(CRL_POLL_MS);
    rmSync(path);
    await clock.advance(CRL_POLL_MS);
    expect([contents, errors]).toEqual([[list], ['WEFT1609']]);
  });
});
