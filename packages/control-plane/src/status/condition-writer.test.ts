import { describe, expect, it } from '@jest/globals';
import { Graph } from '@weft/collections';
import { type Condition, type KubernetesClient, type UntypedObject, resources } from '@weft/kubernetes';
import { ManualClock, silentLogger } from '@weft/telemetry';
import type { WantedCondition } from '../gateway/gateway-status.ts';
import { type ConditionedObject, writeConditions } from './condition-writer.ts';

const wantedOf = (status: WantedCondition['status'], type = 'Ours'): WantedCondition => ({
  type,
  status,
  reason: 'R',
  message: 'm',
});

/** Objects whose status is what was applied last, and a leader that writes it. */
function createStatuses(count: number) {
  const graph = new Graph();
  const objects = graph.source<ConditionedObject>('objects');
  const wanted = graph.source<readonly WantedCondition[]>('wanted');
  for (let i = 0; i < count; i++) {
    objects.set(`shop/o${i}`, { namespace: 'shop', name: `o${i}`, generation: 1, conditions: [] });
    wanted.set(`shop/o${i}`, [wantedOf('True')]);
  }
  graph.build();
  graph.flush();
  const clock = new ManualClock();
  const applied: string[] = [];
  const store = (key: string, conditions: readonly Condition[]): void => {
    const object = objects.get(key);
    if (object !== undefined) objects.set(key, { ...object, conditions });
    graph.flush();
  };
  const lead = (answer: (key: string) => Promise<void>) => {
    const leadership = new AbortController();
    const client: Pick<KubernetesClient, 'apply'> = {
      apply: async (_type, object, { fieldManager, subresource, force }) => {
        const { namespace, name } = object.metadata;
        const key = `${namespace}/${name}`;
        expect({ fieldManager, subresource, force }).toEqual({
          fieldManager: 'm',
          subresource: 'status',
          force: true,
        });
        await answer(key);
        applied.push(key);
        const { conditions } = (object as UntypedObject)['status'] as { conditions: Condition[] }; // ours
        store(key, conditions);
        return object as never; // nobody reads it
      },
    };
    const kind = { type: resources.serviceEntries, objects, wanted, ours: ['Ours'], fieldManager: () => 'm' };
    writeConditions({
      client,
      graph,
      kinds: [kind],
      clock,
      logger: silentLogger,
      signal: leadership.signal,
    });
    return leadership;
  };
  const conditionsOf = (key: string) =>
    objects.get(key)?.conditions.map(({ type, status }) => [type, status]);
  return { graph, objects, wanted, clock, applied, lead, store, conditionsOf };
}

const atOnce = (): Promise<void> => Promise.resolve();

describe('writing conditions', () => {
  it('writes what differs, once, and nothing that is true already', async () => {
    const { lead, clock, applied, wanted, graph, store } = createStatuses(3);
    lead(atOnce);
    await clock.advance(0);
    expect(applied.splice(0).sort()).toEqual(['shop/o0', 'shop/o1', 'shop/o2']);
    wanted.set('shop/o1', [wantedOf('False')]);
    graph.flush();
    await clock.advance(0);
    expect(applied.splice(0)).toEqual(['shop/o1']);
    // Somebody else takes it away.
    store('shop/o2', []);
    await clock.advance(0);
    expect(applied).toEqual(['shop/o2']);
  });

  it('takes its own conditions back, when nothing is wanted any more', async () => {
    const { lead, clock, wanted, graph, conditionsOf } = createStatuses(1);
    lead(atOnce);
    await clock.advance(0);
    expect(conditionsOf('shop/o0')).toEqual([['Ours', 'True']]);
    wanted.delete('shop/o0');
    graph.flush();
    await clock.advance(0);
    expect(conditionsOf('shop/o0')).toEqual([]);
  });

  it('is completed by the next leader, when one is killed while it writes', async () => {
    const { lead, clock, applied, conditionsOf } = createStatuses(50);
    let answers = 0;
    // Ten are answered; of the rest some have arrived and some have not when the leader dies.
    const first = lead(() => (++answers <= 10 ? Promise.resolve() : new Promise(() => undefined)));
    await clock.advance(0);
    first.abort();
    expect(applied).toHaveLength(10);
    lead(atOnce);
    await clock.advance(0);
    expect(applied).toHaveLength(50);
    expect(new Set(applied).size).toBe(50);
    for (let i = 0; i < 50; i++) expect(conditionsOf(`shop/o${i}`)).toEqual([['Ours', 'True']]);
  });

  it('tries again what failed, with a growing pause', async () => {
    const { lead, clock, applied } = createStatuses(1);
    let attempts = 0;
    lead(() => (++attempts < 4 ? Promise.reject(new Error('slow down')) : Promise.resolve()));
    await clock.advance(0);
    expect(applied).toEqual([]);
    await clock.advance(10_000);
    expect([attempts, applied]).toEqual([4, ['shop/o0']]);
  });
});
