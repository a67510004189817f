import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type JsonObject, type JsonValue, TypeRegistry } from '../schema/index.ts';
import { strategicMerge } from './strategic-merge.ts';

const registry = TypeRegistry.load();

function podSchema() {
  const schema = registry.typeOf('', 'v1', 'Pod');
  if (schema === undefined) throw new Error('no type Pod');
  return schema;
}

function patchedSpec(spec: JsonObject, patch: JsonObject): JsonValue | undefined {
  return strategicMerge(podSchema(), { spec }, { spec: patch })['spec'];
}

const a = { name: 'a', image: '1' };
const b = { name: 'b', image: '1' };
const c = { name: 'c', image: '1' };

// Each agrees with `kubectl patch --local`, which runs the original.
describe('strategicMerge', () => {
  it.each<[string, JsonObject, JsonObject, JsonObject]>([
    [
      'merges items by key, new ones in front of what follows',
      { containers: [a, b] },
      { containers: [{ name: 'b', image: '2' }, c] },
      { containers: [a, { name: 'b', image: '2' }, c] },
    ],
    [
      'deletes items',
      { containers: [a, b] },
      { containers: [{ name: 'a', $patch: 'delete' }] },
      { containers: [b] },
    ],
    [
      'replaces a list',
      { containers: [a, b] },
      { containers: [c, { $patch: 'replace' }] },
      { containers: [c] },
    ],
    [
      'replaces a map',
      { nodeSelector: { a: '1' } },
      { nodeSelector: { b: '1', $patch: 'replace' } },
      { nodeSelector: { b: '1' } },
    ],
    [
      'deletes a map',
      { nodeSelector: { a: '1' } },
      { nodeSelector: { $patch: 'delete' } },
      { nodeSelector: {} },
    ],
    [
      'removes by null',
      { nodeName: 'n', nodeSelector: { a: '1', b: '1' } },
      { nodeName: null, nodeSelector: { a: null } },
      { nodeSelector: { b: '1' } },
    ],
    [
      'replaces lists without a merge key',
      { tolerations: [{ key: 'a' }] },
      { tolerations: [{ key: 'b' }] },
      { tolerations: [{ key: 'b' }] },
    ],
    [
      'switches a union with $retainKeys',
      { volumes: [{ name: 'v', emptyDir: {} }] },
      { volumes: [{ name: 'v', hostPath: { path: '/' }, $retainKeys: ['name', 'hostPath'] }] },
      { volumes: [{ name: 'v', hostPath: { path: '/' } }] },
    ],
  ])('%s', (_what, spec, patch, result) => {
    expect(patchedSpec(spec, patch)).toEqual(result);
  });

  it('follows $setElementOrder and keeps server-only items in their place', () => {
    const order = [{ name: 'c' }, { name: 'a' }];
    const patch = { '$setElementOrder/containers': order, containers: [{ name: 'c', image: '2' }] };
    expect(patchedSpec({ containers: [a, b, c] }, patch)).toEqual({
      containers: [b, { name: 'c', image: '2' }, a],
    });
  });

  it('merges lists of scalars as sets and deletes from them', () => {
    const schema = podSchema();
    const target = { metadata: { finalizers: ['x', 'y'] } };
    expect(strategicMerge(schema, target, { metadata: { finalizers: ['z', 'x'] } })).toEqual({
      metadata: { finalizers: ['z', 'x', 'y'] },
    });
    expect(
      strategicMerge(schema, target, { metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] } }),
    ).toEqual({
      metadata: { finalizers: ['y'] },
    });
  });

  it.each<[string, JsonObject]>([
    ['an unknown directive', { nodeSelector: { $patch: 'fold' } }],
    ['an item without its key', { containers: [{ image: 'x' }] }],
    [
      '$retainKeys that drop what the patch sets',
      { securityContext: { $retainKeys: ['runAsUser'], fsGroup: 1 } },
    ],
    [
      'an order that the items do not follow',
      {
        '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }],
        containers: [{ name: 'b' }, { name: 'a' }],
      },
    ],
  ])('refuses %s', (_what, patch) => {
    const spec = { containers: [a, b], nodeSelector: { a: '1' }, securityContext: {} };
    expect(() => patchedSpec(spec, patch)).toThrow(
      expect.objectContaining({ name: 'PatchError', status: 400 }),
    );
  });

  it('gives the same when it is applied twice, and leaves its arguments alone', () => {
    const item = fc.record({ name: fc.constantFrom('a', 'b', 'c'), image: fc.constantFrom('1', '2') });
    const items = fc.uniqueArray(item, { selector: ({ name }) => name });
    const spec = fc.record({
      containers: items,
      nodeSelector: fc.dictionary(fc.constantFrom('x', 'y'), fc.constant('1')),
    });
    fc.assert(
      fc.property(spec, spec, (target, patch) => {
        const before = JSON.stringify([target, patch]);
        const once = patchedSpec(target, patch);
        expect(JSON.stringify([target, patch])).toBe(before);
        expect(patchedSpec(once as JsonObject, patch)).toEqual(once); // a patched object
      }),
    );
  });
});
