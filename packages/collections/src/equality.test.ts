import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { deepEqual } from './equality.ts';

it('agrees with JSON on plain values', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      expect(deepEqual(a, structuredClone(a))).toBe(true);
      if (deepEqual(a, b)) expect(b).toEqual(a);
    }),
  );
});

it.each([
  ['absent and undefined properties', { a: 1, b: undefined }, { a: 1 }, true],
  ['undefined against a value', { a: undefined }, { a: 1 }, false],
  ['a value against undefined', { a: 1 }, { a: undefined }, false],
  ['bytes', Uint8Array.of(1, 2), Buffer.of(1, 2), true],
  ['other bytes', Uint8Array.of(1, 2), Uint8Array.of(1, 3), false],
  ['maps by content', new Map([['a', [1]]]), new Map([['a', [1]]]), true],
  ['maps of other keys', new Map([['a', undefined]]), new Map([['b', undefined]]), false],
  ['sets', new Set([1, 2]), new Set([2, 1]), true],
  ['an array and an object', [], {}, false],
  ['properties in another order', { a: 1, b: 2 }, { b: 2, a: 1 }, true],
])('compares %s', (_name, a, b, expected) => {
  expect(deepEqual(a, b)).toBe(expected);
  expect(deepEqual(b, a)).toBe(expected);
});
