import { describe, expect, it } from '@jest/globals';
import { matchesNodeSelectorTerm, type NodeSelectorTerm } from './node-selector.ts';
import type { Node } from './objects.ts';

const node: Node = { metadata: { name: 'node-1', labels: { zone: 'a', cores: '8' } } };

describe('a term of node affinity', () => {
  it.each<[NodeSelectorTerm, boolean]>([
    [{}, false],
    [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a', 'b'] }] }, true],
    [{ matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, false],
    [{ matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['a'] }] }, true],
    [{ matchExpressions: [{ key: 'zone', operator: 'Exists' }] }, true],
    [{ matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] }, false],
    [{ matchExpressions: [{ key: 'toString', operator: 'Exists' }] }, false],
    [{ matchExpressions: [{ key: 'cores', operator: 'Gt', values: ['7'] }] }, true],
    [{ matchExpressions: [{ key: 'cores', operator: 'Lt', values: ['8'] }] }, false],
    [{ matchExpressions: [{ key: 'rack', operator: 'Gt', values: ['0'] }] }, false],
    [{ matchExpressions: [{ key: 'zone', operator: 'Like', values: ['a'] }] }, false],
    [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-1'] }] }, true],
    [{ matchFields: [{ key: 'metadata.uid', operator: 'DoesNotExist' }] }, false],
  ])('%j selects a node or not: %s', (term, expected) => {
    expect(matchesNodeSelectorTerm(term, node)).toBe(expected);
  });
});
