import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { KubernetesClient } from './client.ts';
import { LeaseElection } from './lease-election.ts';
import type { Lease } from './objects.ts';
import { resources } from './resources.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';

let server: FakeApiServer;
let client: KubernetesClient;
let clock: ManualClock;
let events: string[];
const candidates: { abort: AbortController; election: LeaseElection }[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
  client = new KubernetesClient(server.connection);
  clock = new ManualClock();
  events = [];
});
afterEach(async () => {
  for (const { abort, election } of candidates.splice(0)) {
    abort.abort();
    await election.done;
  }
  expect(clock.pending).toBe(0);
  client.close();
  await server.close();
});

function candidate(identity: string, of: Pick<KubernetesClient, 'get' | 'create' | 'replace'> = client) {
  const abort = new AbortController();
  const election = new LeaseElection({
    client: of,
    name: 'lead',
    namespace: 'sys',
    identity,
    signal: abort.signal,
    clock,
    random: () => 0,
    onElected: (leadership) => {
      events.push(`${identity} leads`);
      leadership.addEventListener('abort', () => events.push(`${identity} stops`));
    },
  });
  const entry = { abort, election };
  candidates.push(entry);
  return entry;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 5_000) throw new Error(`gave up; events: ${events.join(', ')}`);
    await clock.advance(100);
  }
}
const lease = (): Promise<Lease> => client.get(resources.leases, 'lead', 'sys');

it('elects one of two candidates, which keeps the lease by renewing it', async () => {
  candidate('a');
  await until(() => events.length === 1);
  const b = candidate('b');
  for (let i = 0; i < 1_200; i++) await clock.advance(100);
  expect(events).toEqual(['a leads']);
  expect(b.election.isLeader).toBe(false);
  expect((await lease()).spec).toMatchObject({
    holderIdentity: 'a',
    leaseDurationSeconds: 30,
    leaseTransitions: 0,
  });
});

it('hands over at once when the leader withdraws', async () => {
  const a = candidate('a');
  await until(() => events.length === 1);
  candidate('b');
  a.abort.abort();
  await a.election.done;
  const before = clock.now();
  await until(() => events.includes('b leads'));
  expect(events).toEqual(['a leads', 'a stops', 'b leads']);
  expect(clock.now() - before).toBeLessThan(12_000);
  expect((await lease()).spec?.leaseTransitions).toBe(1);
});

it('stops leading before another may start when the API server cannot be reached', async () => {
  let cutOff = false;
  const guard = <T>(call: () => Promise<T>): Promise<T> =>
    cutOff ? Promise.reject(new Error('down')) : call();
  candidate('a', {
    get: (...args) => guard(() => client.get(...args)),
    create: (...args) => guard(() => client.create(...args)),
    replace: (...args) => guard(() => client.replace(...args)),
  });
  await until(() => events.length === 1);
  candidate('b');
  cutOff = true;
  await until(() => events.includes('b leads'));
  expect(events).toEqual(['a leads', 'a stops', 'b leads']);
});

it('stops leading when somebody else holds the lease', async () => {
  candidate('a');
  await until(() => events.length === 1);
  const held = await lease();
  server.put('/apis/coordination.k8s.io/v1/leases', {
    ...held,
    spec: { ...held.spec, holderIdentity: 'thief' },
  });
  await until(() => events.length === 2);
  expect(events).toEqual(['a leads', 'a stops']);
});
