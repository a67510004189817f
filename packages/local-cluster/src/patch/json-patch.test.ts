import { describe, expect, it } from '@jest/globals';
import type { JsonValue } from '../schema/index.ts';
import { jsonPatch } from './json-patch.ts';

describe('jsonPatch', () => {
  it.each<[JsonValue, JsonValue, JsonValue]>([
    [{ a: 1 }, [{ op: 'add', path: '/b', value: { c: 1 } }], { a: 1, b: { c: 1 } }],
    [{ a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    [{ a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
    [{ a: [1, 2] }, [{ op: 'replace', path: '/a/0', value: 5 }], { a: [5, 2] }],
    [{ a: 1 }, [{ op: 'replace', path: '', value: { b: 1 } }], { b: 1 }],
    [{ a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: 1 }],
    [
      { a: [1] },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'add', path: '/b/-', value: 2 },
      ],
      { a: [1], b: [1, 2] },
    ],
    [{ 'a/b': { 'm~n': 1 } }, [{ op: 'test', path: '/a~1b/m~0n', value: 1 }], { 'a/b': { 'm~n': 1 } }],
    [{ a: null }, [{ op: 'replace', path: '/a', value: 1 }], { a: 1 }],
  ])('turns %j by %j into %j', (target, operations, result) => {
    const before = JSON.stringify(target);
    expect(jsonPatch(target, operations)).toEqual(result);
    expect(JSON.stringify(target)).toBe(before);
  });

  it.each<[string, JsonValue, JsonValue, number]>([
    ['a failed test', { a: 1 }, [{ op: 'test', path: '/a', value: 2 }], 422],
    ['a missing path', { a: 1 }, [{ op: 'remove', path: '/b' }], 422],
    ['an index out of range', { a: [] }, [{ op: 'add', path: '/a/1', value: 1 }], 422],
    ['an index with leading zeros', { a: [1, 2] }, [{ op: 'replace', path: '/a/01', value: 1 }], 422],
    ['a member of the prototype', {}, [{ op: 'remove', path: '/toString' }], 422],
    ['a move into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }], 422],
    ['an unknown operation', {}, [{ op: 'twist', path: '/a' }], 400],
    ['a missing value', {}, [{ op: 'add', path: '/a' }], 400],
    ['a bad pointer', {}, [{ op: 'add', path: 'a', value: 1 }], 400],
    ['an object', {}, {}, 400],
    [
      'too many operations',
      {},
      Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: {} })),
      413,
    ],
  ])('refuses %s', (_what, target, operations, status) => {
    expect(() => jsonPatch(target, operations)).toThrow(
      expect.objectContaining({ name: 'PatchError', status }),
    );
  });
});
