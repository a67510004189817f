import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ManualClock, WeftError } from '@weft/telemetry';
import { CertificateSource } from './certificate-source.ts';
import { formatSpiffeId, type SpiffeId } from './identity.ts';
import type { WorkloadCertificate } from './workload-certificate.ts';

const HOUR_MS = 3_600_000;
const id = (name: string): SpiffeId =>
  formatSpiffeId({ trustDomain: 'td', namespace: 'ns', serviceAccount: name });

interface Call {
  readonly name: string;
  readonly succeed: (ttlMs?: number) => Promise<void>;
  readonly fail: (message?: string) => Promise<void>;
  readonly signal: AbortSignal;
}
let clock: ManualClock;
let source: CertificateSource;
let calls: Call[];

beforeEach(() => {
  clock = new ManualClock();
  calls = [];
  source = new CertificateSource({
    clock,
    random: () => 0.5,
    maxIdentities: 50,
    client: {
      fetchCertificate: (identity, signal) =>
        new Promise((resolve, reject) => {
          calls.push({
            name: identity.split('/').at(-1) ?? '',
            signal,
            succeed: async (ttlMs = HOUR_MS) => {
              resolve(fakeCertificate(identity, clock.now(), ttlMs));
              await clock.advance(0);
            },
            fail: async (message = 'refused') => {
              reject(new WeftError('WEFT1604', message));
              await clock.advance(0);
            },
          });
        }),
    },
  });
});
afterEach(() => {
  source.close();
  expect(clock.pending).toBe(0);
});

function fakeCertificate(identity: SpiffeId, now: number, ttlMs: number): WorkloadCertificate {
  const dates = { notBefore: new Date(now), notAfter: new Date(now + ttlMs) };
  // The source reads nothing but identity and dates.
  return { identity, ...dates } as WorkloadCertificate;
}
const names = (): string[] => calls.map((c) => c.name);

it('asks once for many that wait, and then answers from memory', async () => {
  const waiting = [source.get(id('a')), source.get(id('a'))];
  expect(source.states()).toEqual([{ identity: id('a'), state: 'initializing' }]);
  await calls[0]?.succeed();
  const [first, second] = await Promise.all(waiting);
  expect(first).toBe(second);
  expect(await source.get(id('a'))).toBe(first);
  expect(source.current(id('a'))).toBe(first);
  expect(names()).toEqual(['a']);
});

it('keeps eight requests in flight, waiting connections before warm-ups before refreshes', async () => {
  for (let i = 0; i < 10; i++) source.prefetch(id(`warm${i}`));
  expect(calls).toHaveLength(8);
  source.get(id('urgent')).catch(() => undefined);
  source.get(id('warm9')).catch(() => undefined);
  await calls[0]?.succeed();
  await calls[1]?.succeed();
  await calls[2]?.succeed();
  expect(names().slice(8)).toEqual(['urgent', 'warm9', 'warm8']);
});

it('renews at half of the lifetime and swaps the certificate', async () => {
  source.prefetch(id('a'));
  await calls[0]?.succeed();
  const first = source.current(id('a'));
  await clock.advance(HOUR_MS / 2 - 1);
  expect(calls).toHaveLength(1);
  await clock.advance(1);
  expect(calls).toHaveLength(2);
  expect(await source.get(id('a'))).toBe(first);
  await calls[1]?.succeed();
  expect(source.current(id('a'))).not.toBe(first);
});

it('keeps a valid certificate through failing renewals, and fails at once when it has expired', async () => {
  source.prefetch(id('a'));
  await calls[0]?.succeed();
  await clock.advance(HOUR_MS / 2);
  await calls[1]?.fail();
  expect(source.states()[0]).toMatchObject({ state: 'available', lastError: 'WEFT1604 refused' });
  for (let i = 2; clock.now() < Date.UTC(2026, 0, 1) + HOUR_MS; ) {
    await clock.advance(1_000);
    if (calls[i] !== undefined) await calls[i++]?.fail();
  }
  expect(source.states()[0]).toMatchObject({ state: 'unavailable' });
  await expect(source.get(id('a'))).rejects.toMatchObject({ code: 'WEFT1604' });
  await clock.advance(150_000);
  await calls.at(-1)?.succeed();
  expect((await source.get(id('a'))).identity).toBe(id('a'));
});

it('backs off from one second to 150 s', async () => {
  source.prefetch(id('a'));
  const pauses: number[] = [];
  for (let i = 0; i < 10; i++) {
    await calls[i]?.fail();
    const failedAt = clock.now();
    while (calls.length === i + 1) await clock.advance(500);
    pauses.push((clock.now() - failedAt) / 1_000);
  }
  expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
});

it('rejects those who wait with the authority’s own error', async () => {
  const refused = expect(source.get(id('a'))).rejects.toThrow('no pod with this identity on the node');
  await calls[0]?.fail('no pod with this identity on the node');
  await refused;
});

it('lets a caller stop waiting', async () => {
  const abort = new AbortController();
  const waiting = source.get(id('a'), abort.signal);
  abort.abort(new Error('client went away'));
  await expect(waiting).rejects.toThrow('client went away');
  await calls[0]?.succeed();
  expect(source.current(id('a'))).toBeDefined();
});

it('forgets: aborts the request, rejects those who wait, and cancels the renewal', async () => {
  const waiting = source.get(id('a'));
  source.forget(id('a'));
  await expect(waiting).rejects.toMatchObject({ code: 'WEFT1606' });
  expect(calls[0]?.signal.aborted).toBe(true);
  await calls[0]?.succeed();
  expect(source.states()).toEqual([]);
});

it('keeps no more identities than its limit: it fetches none ahead and refuses who asks', async () => {
  for (let i = 0; i < 60; i++) source.prefetch(id(`n${i}`));
  expect(source.states()).toHaveLength(50);
  await expect(source.get(id('one-more'))).rejects.toMatchObject({ code: 'WEFT1607' });
});

it('does not take a certificate that has expired already', async () => {
  const refused = expect(source.get(id('a'))).rejects.toMatchObject({ code: 'WEFT1605' });
  await calls[0]?.succeed(0);
  await refused;
});
