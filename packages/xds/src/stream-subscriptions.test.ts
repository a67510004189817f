import { expect, it } from '@jest/globals';
import { ManualClock, silentLogger } from '@weft/telemetry';
import type { Node } from './delta-message.ts';
import { MemorySource } from './resource-source.ts';
import { MAX_NODE_BYTES, StreamSubscriptions } from './stream-subscriptions.ts';

function stream() {
  const logged: unknown[] = [];
  const subscriptions = new StreamSubscriptions({
    id: '1',
    typesFor: () => [{ source: new MemorySource('known') }],
    clock: new ManualClock(),
    logger: { ...silentLogger, warn: (_message, fields) => void logged.push(fields?.['typeUrl']) },
  });
  return { subscriptions, logged };
}

const saying = (bytes: number): Node => ({
  id: 'ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local',
  metadata: { fields: { ANNOTATIONS: { stringValue: 'x'.repeat(bytes) } } },
});

it.each([
  ['nothing', {}],
  ['all the annotations that a pod may have', saying(256 * 1024)],
  ['an ID of other parts than four', { id: '~~~~~\n~' }],
])('takes a node that says %s', (_, node: Node) => {
  const { subscriptions } = stream();
  expect(subscriptions.of({ typeUrl: 'known', node })?.isNew).toBe(true);
  expect(subscriptions.node).toBe(node);
});

it.each([
  ['too much', saying(MAX_NODE_BYTES)],
  ['an ID that is too long', { id: 'x'.repeat(1_025) }],
])('refuses a node that says %s, and keeps nothing of it', (_, node: Node) => {
  const { subscriptions } = stream();
  expect(() => subscriptions.of({ typeUrl: 'known', node })).toThrow('a node of');
  expect(subscriptions.node).toBeUndefined();
});

it('tells of types that it does not serve once each, shortly, and not without end', () => {
  const { subscriptions, logged } = stream();
  const long = 'x'.repeat(10_000);
  for (const typeUrl of ['other', 'other', long]) {
    expect(subscriptions.of({ typeUrl, node: { id: 'n' } })).toBeUndefined();
  }
  expect(logged).toEqual(['other', long.slice(0, 256)]);
  for (let i = 0; i < 1_000; i++) subscriptions.of({ typeUrl: `other-${i}` });
  expect(logged).toHaveLength(16);
});
