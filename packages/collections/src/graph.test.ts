import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Collection } from './collection.ts';
import { type ChangeSet, Graph } from './graph.ts';
import { labelKeys, selectorKey, selects } from './label-selectors.ts';

interface Item {
  readonly group: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly weight: number;
}
interface Selector {
  readonly group: string;
  readonly match: Readonly<Record<string, string>>;
  readonly parts: readonly string[];
}

/** A graph with every combinator and a diamond, and the same thing written as one plain function. */
function createMesh(options: ConstructorParameters<typeof Graph>[0] = {}) {
  const graph = new Graph(options);
  const items = graph.source<Item>('items');
  const selectors = graph.source<Selector>('selectors');
  const groups = graph.source<{ readonly factor: number }>('groups');
  const bySelector = selectors.index('pair', (s) => [selectorKey(s.group, s.match)]);
  const itemsByGroup = items.index('group', (i) => [i.group]);

  const weighted = graph.map('weighted', {
    from: items,
    uses: { groups },
    transform: (item: Item, fetch) => item.weight * (fetch.groups.get(item.group)?.factor ?? 1),
  });
  const bound = graph.map('bound', {
    from: items,
    uses: { bySelector, weighted },
    transform: (item: Item, fetch, key) => ({
      weight: fetch.weighted.get(key),
      selectors: [...new Set(labelKeys(item.group, item.labels))]
        .flatMap((at) => fetch.bySelector.lookup(at))
        .filter((s) => selects(s.match, item.labels))
        .map((s) => s.parts.join('+'))
        .sort(),
    }),
  });
  const parts = graph.flatMap('parts', {
    from: selectors,
    uses: { itemsByGroup },
    transform: (selector: Selector, fetch, key) => {
      const count = fetch.itemsByGroup.lookup(selector.group).length;
      return selector.parts.map((part) => [part, `${key}:${count}`] as const);
    },
  });
  const total = graph.map('total', {
    from: groups,
    uses: { weighted, bound },
    transform: (group: { readonly factor: number }, fetch) => ({
      factor: group.factor,
      sum: fetch.weighted.all().reduce((sum, w) => sum + w, 0),
      // Both ways to the same source: a mix of old and new would differ here.
      sumThroughBound: fetch.bound.all().reduce((sum, b) => sum + (b.weight ?? 0), 0),
    }),
  });
  const labels = graph.map('labels', {
    from: parts,
    transform: (p: string, _fetch, key) => (key > 'p1' ? p : undefined),
  });
  const joined = graph.join('joined', [labels, parts]);
  graph.build();
  const outputs = { weighted, bound, parts, total, joined };
  // By every way of reading that an observer has.
  const snapshot = () => ({
    ...Object.fromEntries(
      Object.entries(outputs).map(([name, c]) => [
        name,
        [...c.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, value, c.get(key)]),
      ]),
    ),
    byGroup: ['g1', 'g2'].map((at) => itemsByGroup.lookup(at)),
  });
  return { graph, items, selectors, groups, weighted, bound, parts, total, snapshot };
}

type Mesh = ReturnType<typeof createMesh>;
type Step =
  | { readonly kind: 'item'; readonly key: string; readonly value: Item | undefined }
  | { readonly kind: 'selector'; readonly key: string; readonly value: Selector | undefined }
  | { readonly kind: 'group'; readonly key: string; readonly value: { readonly factor: number } | undefined }
  | { readonly kind: 'slice' }
  | { readonly kind: 'flush' };

const label = fc.constantFrom('a', 'b');
const labels = fc.dictionary(label, fc.constantFrom('1', '2'), { maxKeys: 2 });
const group = fc.constantFrom('g1', 'g2');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('item' as const),
      key: fc.constantFrom('i1', 'i2', 'i3', 'i4'),
      value: fc.option(fc.record({ group, labels, weight: fc.integer({ min: 0, max: 5 }) }), {
        nil: undefined,
      }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('selector' as const),
      key: fc.constantFrom('s1', 's2', 's3'),
      value: fc.option(
        fc.record({
          group,
          match: labels,
          parts: fc.uniqueArray(fc.constantFrom('p1', 'p2', 'p3'), { maxLength: 3 }),
        }),
        { nil: undefined },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('group' as const),
      key: group,
      value: fc.option(fc.record({ factor: fc.integer({ min: 1, max: 3 }) }), { nil: undefined }),
    }),
  },
  { weight: 6, arbitrary: fc.constant({ kind: 'slice' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
);

function write(mesh: Mesh, change: Exclude<Step, { kind: 'slice' | 'flush' }>): void {
  const put = <V>(
    source: { set(k: string, v: V): void; delete(k: string): void },
    value: V | undefined,
  ): void => {
    if (value === undefined) source.delete(change.key);
    else source.set(change.key, value);
  };
  if (change.kind === 'item') put(mesh.items, change.value);
  else if (change.kind === 'selector') put(mesh.selectors, change.value);
  else put(mesh.groups, change.value);
}

describe('Graph', () => {
  it('equals a recomputation from scratch after any changes, and never shows a mix', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue: (() => void)[] = [];
        // The clock jumps at every look, so that each slice recomputes one key only.
        let clock = 0;
        const mesh = createMesh({
          defer: (callback) => void queue.push(callback),
          now: () => (clock += 100),
        });
        const written: Exclude<Step, { kind: 'slice' | 'flush' }>[] = [];
        let shown = JSON.stringify(mesh.snapshot());
        mesh.graph.subscribe(() => {
          shown = JSON.stringify(mesh.snapshot());
          for (const { sum, sumThroughBound } of mesh.total.values()) expect(sumThroughBound).toBe(sum);
        });

        for (const next of steps) {
          if (next.kind === 'slice') queue.shift()?.();
          else if (next.kind === 'flush') mesh.graph.flush();
          else {
            written.push(next);
            write(mesh, next);
          }
          // Between subscribers' calls nothing moves, however many slices have run.
          expect(JSON.stringify(mesh.snapshot())).toBe(shown);
        }
        mesh.graph.flush();

        const fresh = createMesh();
        for (const change of written) write(fresh, change);
        fresh.graph.flush();
        expect(mesh.snapshot()).toEqual(fresh.snapshot());
      }),
      { numRuns: 400 },
    );
  });

  it('recomputes only keys whose inputs changed, through indexes and gets', () => {
    const graph = new Graph();
    const pods = graph.source<{ ns: string; labels: Record<string, string> }>('pods');
    const services = graph.source<{ ns: string; selector: Record<string, string> }>('services');
    const byPair = services.index('pair', (s) => [selectorKey(s.ns, s.selector)]);
    const seen: string[] = [];
    graph.map('workloads', {
      from: pods,
      uses: { byPair },
      transform: (pod: { ns: string; labels: Record<string, string> }, fetch, key) => {
        seen.push(key);
        return labelKeys(pod.ns, pod.labels).flatMap((at) => fetch.byPair.lookup(at));
      },
    });
    graph.build();
    for (let i = 0; i < 10; i++)
      pods.set(`p${i}`, { ns: 'a', labels: { app: i < 3 ? 'web' : 'db', n: `${i}` } });
    graph.flush();
    seen.length = 0;
    services.set('web', { ns: 'a', selector: { app: 'web' } });
    graph.flush();
    expect(seen).toEqual(['p0', 'p1', 'p2']);
    seen.length = 0;
    services.set('other', { ns: 'b', selector: { app: 'web' } });
    services.set('web', { ns: 'a', selector: { app: 'web' } });
    graph.flush();
    expect(seen).toEqual([]);
  });

  it('forgets a dependency that the last run did not need', () => {
    const graph = new Graph();
    const switches = graph.source<string>('switches');
    const values = graph.source<number>('values');
    let computed = 0;
    graph.map('chosen', {
      from: switches,
      uses: { values },
      transform: (choice: string, fetch) => {
        computed++;
        return fetch.values.get(choice) ?? 0;
      },
    });
    graph.build();
    switches.set('s', 'a');
    graph.flush();
    switches.set('s', 'b');
    graph.flush();
    computed = 0;
    values.set('a', 1);
    graph.flush();
    expect(computed).toBe(0);
    values.set('b', 1);
    graph.flush();
    expect(computed).toBe(1);
  });

  it('stops at a value that comes out equal', () => {
    const graph = new Graph();
    const nodes = graph.source<{ zone: string; heartbeat: number }>('nodes');
    const localities = graph.map('localities', {
      from: nodes,
      transform: (n: { zone: string }) => ({ zone: n.zone }),
    });
    let computed = 0;
    graph.map('downstream', {
      from: localities,
      transform: (l: { zone: string }) => {
        computed++;
        return l.zone;
      },
    });
    graph.build();
    nodes.set('n', { zone: 'z', heartbeat: 1 });
    graph.flush();
    nodes.set('n', { zone: 'z', heartbeat: 2 });
    graph.flush();
    expect(computed).toBe(1);
  });

  it('refuses collections that depend on each other, naming the path', () => {
    const graph = new Graph();
    const source = graph.source<number>('source');
    const a: Collection<number> = graph.map('a', {
      from: source,
      uses: (): { readonly b: Collection<number> } => ({ b }),
      transform: (n: number) => n,
    });
    const b: Collection<number> = graph.map('b', { from: a, transform: (n: number) => n });
    expect(() => graph.build()).toThrow('collections depend on each other: a -> b -> a');
  });

  it('keeps the last output of a key whose transformation throws, and says so', () => {
    const errors: string[] = [];
    const graph = new Graph({ onError: ({ collection, key }) => void errors.push(`${collection}/${key}`) });
    const numbers = graph.source<number>('numbers');
    const roots = graph.map('roots', {
      from: numbers,
      transform: (n: number) => {
        if (n < 0) throw new RangeError('negative');
        return Math.sqrt(n);
      },
    });
    graph.build();
    numbers.set('x', 4);
    graph.flush();
    numbers.set('x', -1);
    graph.flush();
    expect(roots.get('x')).toBe(2);
    expect(errors).toEqual(['roots/x']);
  });

  it('delivers one change set a tick, however many writes came before it', () => {
    const graph = new Graph();
    const source = graph.source<number>('source');
    const doubled = graph.map('doubled', { from: source, transform: (n: number) => n * 2 });
    graph.build();
    const sets: ChangeSet[] = [];
    graph.subscribe((changes) => void sets.push(changes));
    source.set('a', 1);
    source.set('a', 2);
    source.set('b', 3);
    graph.flush();
    expect(sets.map((s) => Object.fromEntries(s.of(doubled)))).toEqual([
      { a: { before: undefined, after: 4 }, b: { before: undefined, after: 6 } },
    ]);
  });

  it('yields to the event loop between slices', async () => {
    const graph = new Graph({ sliceMs: 0 });
    const source = graph.source<number>('source');
    graph.map('copy', { from: source, transform: (n: number) => n });
    graph.build();
    for (let i = 0; i < 50; i++) source.set(`k${i}`, i);
    await graph.settled();
    expect(source.size).toBe(50);
    expect(graph.statistics().slices).toBeGreaterThan(10);
  });

  it('explains an output by the inputs that made it', () => {
    const mesh = createMesh();
    mesh.groups.set('g1', { factor: 2 });
    mesh.items.set('i1', { group: 'g1', labels: { a: '1' }, weight: 3 });
    mesh.selectors.set('s1', { group: 'g1', match: { a: '1' }, parts: ['p1'] });
    mesh.graph.flush();
    const node = mesh.graph.lineage('bound', 'i1');
    expect(node?.from).toEqual([{ collection: 'items', key: 'i1', present: true }]);
    const selectorRead = node?.reads?.find((r) => r.found.some((f) => f.key === 's1'));
    expect(selectorRead?.input).toBe('selectors[pair]');
    expect(node?.reads?.find((r) => r.input === 'weighted')?.found[0]?.reads?.[0]).toMatchObject({
      input: 'groups',
      key: 'g1',
    });
  });
});
