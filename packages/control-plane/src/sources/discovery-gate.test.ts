import { describe, expect, it } from '@jest/globals';
import { Graph } from '@weft/collections';
import fc from 'fast-check';
import { DiscoveryGate, type DiscoveryScope, isInScope } from './discovery-gate.ts';

const some = (...names: string[]): DiscoveryScope => ({ kind: 'namespaces', names: new Set(names) });
const everything: DiscoveryScope = { kind: 'everything' };

function gated() {
  const graph = new Graph();
  const source = graph.source<number>('pods');
  graph.build();
  const gate = new DiscoveryGate();
  const keys = (): string[] => {
    graph.flush();
    return [...source.entries()].map(([key]) => key).sort();
  };
  return { graph, source, gate, writer: gate.guard(source), keys };
}

describe('discovery gate', () => {
  it('lets nothing through before it is opened, and then what was held back', () => {
    const { gate, writer, keys } = gated();
    writer.set('shop/a', 1);
    writer.set('other/b', 1);
    expect(keys()).toEqual([]);
    gate.open(some('shop'));
    expect(keys()).toEqual(['shop/a']);
    gate.open(everything);
    expect(keys()).toEqual(['other/b', 'shop/a']);
  });

  it('takes back what leaves the scope, however lately it came, and gives it again as it is by then', () => {
    const { gate, writer, keys, source, graph } = gated();
    gate.open(everything);
    writer.set('shop/a', 1);
    expect(keys()).toEqual(['shop/a']);
    writer.set('shop/just-now', 1);
    gate.open(some('other'));
    expect(keys()).toEqual([]);
    writer.set('shop/a', 2);
    writer.delete('shop/just-now');
    gate.open(everything);
    expect(keys()).toEqual(['shop/a']);
    graph.flush();
    expect(source.get('shop/a')).toBe(2);
  });

  it('holds in the source exactly what exists and is in scope, after any sequence of events', () => {
    const namespace = fc.constantFrom('a', 'b', 'c');
    const key = fc.tuple(namespace, fc.constantFrom('x', 'y')).map(([ns, name]) => `${ns}/${name}`);
    const scope = fc.oneof(
      fc.constant(everything),
      fc.subarray(['a', 'b', 'c']).map((names) => some(...names)),
    );
    const step = fc.oneof(
      fc.record({ do: fc.constant('set' as const), key, value: fc.nat(3) }),
      fc.record({ do: fc.constant('delete' as const), key }),
      fc.record({ do: fc.constant('open' as const), scope }),
      fc.record({ do: fc.constant('tick' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { graph, gate, writer, source } = gated();
        const exists = new Map<string, number>();
        let open: DiscoveryScope = { kind: 'nothing' };
        for (const one of steps) {
          if (one.do === 'set') {
            exists.set(one.key, one.value);
            writer.set(one.key, one.value);
          } else if (one.do === 'delete') {
            exists.delete(one.key);
            writer.delete(one.key);
          } else if (one.do === 'open') gate.open((open = one.scope));
          else graph.flush();
        }
        graph.flush();
        const wanted = [...exists].filter(([at]) => isInScope(open, at.split('/')[0] ?? ''));
        expect(new Map(source.entries())).toEqual(new Map(wanted));
      }),
    );
  });
});
