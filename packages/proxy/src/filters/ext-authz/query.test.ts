import { expect, it } from '@jest/globals';
import { setQuery } from './query.ts';

it.each([
  ['/a', [['x', 'y']], [], '/a?x=y'],
  ['/a?x=1&b=2&x=3', [['x', 'y']], [], '/a?b=2&x=y'],
  ['/a?x=1', [], ['x'], '/a'],
  ['/a?%78=1&%zz', [], ['x'], '/a?%zz'],
  ['/a?', [], [], '/a?'],
] as const)('the query of %s with %j set and %j removed is %s', (target, set, remove, expected) => {
  expect(setQuery(target, { set, remove })).toBe(expected);
});
