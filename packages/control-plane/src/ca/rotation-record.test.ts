import { afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { KubernetesClient } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { CertificateAuthority } from '@weft/spiffe';
import { ManualClock } from '@weft/telemetry';
import { RotationRecord } from './rotation-record.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const HOUR_MS = 3_600_000;
const SECRETS = '/api/v1/secrets';

let old: string;
let api: FakeApiServer;
let record: RotationRecord;
let other: RotationRecord;
let clock: ManualClock;

beforeAll(async () => {
  ({ certPem: old } = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'old' } }));
});

beforeEach(async () => {
  api = await FakeApiServer.start();
  clock = new ManualClock(NOW);
  const { signal } = new AbortController();
  const create = (): RotationRecord =>
    new RotationRecord({
      client: new KubernetesClient(api.connection),
      namespace: 'istio-system',
      clock,
      signal,
    });
  [record, other] = [create(), create()];
});

afterEach(() => api.close());

async function announcement(nextPem: string, signsFrom: number) {
  const signer = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'a' } });
  return { announced: { signer, nextPem, signsFrom }, retired: [] };
}

it('gives back who signs, what is announced and what is retired', async () => {
  expect(await record.read()).toBeUndefined();
  const state = await announcement('next', NOW + HOUR_MS);
  const retired = [{ root: old, until: NOW + 5 }];
  await record.save({ ...state, retired });
  const read = await other.read();
  expect(read).toMatchObject({ announced: { nextPem: 'next', signsFrom: NOW + HOUR_MS }, retired });
  expect(read?.announced?.signer.keyPem).toBe(state.announced.signer.keyPem);
});

it('has replicas agree on when an announced authority signs, however close together they announce it', async () => {
  const states = await Promise.all([
    announcement('next', NOW + HOUR_MS),
    announcement('next', NOW + 2 * HOUR_MS),
  ]);
  const [one, two] = await Promise.all([record.announce(states[0]), other.announce(states[1])]);
  expect(one).toBe(two);
  expect(await record.announce(await announcement('third', NOW + 3 * HOUR_MS))).toBe(NOW + 3 * HOUR_MS);
});

it('keeps no key once the next authority signs, roots as long as any replica needs them, and then nothing', async () => {
  const state = await announcement('next', NOW);
  await record.save(state);
  const retired = (until: number) => ({ retired: [{ root: old, until }] });
  await record.save(retired(NOW + 2 * HOUR_MS));
  await other.save(retired(NOW + HOUR_MS));
  expect(await record.read()).toEqual(retired(NOW + 2 * HOUR_MS));
  await clock.advance(2 * HOUR_MS);
  await Promise.all([record.save({ retired: [] }), other.save({ retired: [] })]);
  expect(await record.read()).toBeUndefined();
});

it.each([
  ['not JSON', { 'rotation.json': 'x' }],
  ['half of it', { 'rotation.json': '{"retired":[{"root":"-----BEG' }],
  [
    'a root that is none',
    { 'rotation.json': '{"retired":[{"root":"r","until":"2026-01-01T00:00:00Z"}],"until":"2026-01-01"}' },
  ],
  ['a list that is none', { 'rotation.json': '{"retired":{"root":"r"}}' }],
  ['nothing', { 'rotation.json': 'null' }],
  [
    'no key for who signs',
    { 'rotation.json': '{"next":"n","signsFrom":"2026-01-01T00:00:00Z","retired":[]}' },
  ],
])('says that a record cannot be understood: %s', async (_, entries: Record<string, string>) => {
  const data = Object.entries(entries).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  api.put(SECRETS, {
    metadata: { name: 'weft-ca-rotation', namespace: 'istio-system' },
    ...{ data: Object.fromEntries(data) as unknown },
  });
  await expect(record.read()).rejects.toMatchObject({ code: 'WEFT1809' });
});

it('says that a time which is none cannot be understood', async () => {
  const text = JSON.stringify({ retired: [{ root: old, until: 'soon' }] });
  api.put(SECRETS, {
    metadata: { name: 'weft-ca-rotation', namespace: 'istio-system' },
    ...{ data: { 'rotation.json': Buffer.from(text).toString('base64') } as unknown },
  });
  await expect(record.read()).rejects.toMatchObject({ code: 'WEFT1809' });
});

it('waits for nobody who has expired', async () => {
  const state = await announcement('next', NOW + HOUR_MS);
  const retired = [{ root: old, until: NOW + 400 * 24 * HOUR_MS * 30 }];
  await record.save({ ...state, retired });
  await clock.advance(state.announced.signer.notAfter.getTime() - NOW + 1);
  expect(await other.read()).toEqual({ retired });
});
