import { afterEach, expect, it, jest } from '@jest/globals';
import { Demand } from './demand.ts';
import { readDeltaResponse, writeDeltaResponse, writeResource } from './delta-message.ts';
import { versionedResource } from './resource.ts';
import { Subscription } from './subscription.ts';

const typeUrl = 'type.googleapis.com/test.Address';

afterEach(() => {
  jest.restoreAllMocks();
});

it('tells who asked for a name only when the whole push is applied, however slowly it is', async () => {
  let now = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => (now += 1_000)); // each slice is over at once
  const demand = new Demand();
  const applied: string[] = [];
  const subscription = new Subscription(
    { typeUrl, decode: (bytes) => Buffer.from(bytes).toString() },
    ({ upserted }) => void applied.push(...upserted.map(({ name }) => name)),
    demand,
  );
  const seen = Promise.all(['/10.0.0.1', 'gone'].map((name) => demand.ask(name).then(() => [...applied])));
  const resources = [
    versionedResource('service', Buffer.from('one'), ['/10.0.0.1']),
    versionedResource('endpoint', Buffer.from('two')),
  ].map((resource) => writeResource(typeUrl, resource, true));
  const push = writeDeltaResponse({ typeUrl, nonce: '1', systemVersion: '', removed: ['gone'] }, resources);
  await subscription.receive(readDeltaResponse(push), new AbortController().signal);
  const whole = ['service', 'endpoint'];
  expect(await seen).toEqual([whole, whole]);
});
