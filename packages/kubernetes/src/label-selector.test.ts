import { describe, expect, it } from '@jest/globals';
import { matchesLabelSelector } from './label-selector.ts';

const labels = { app: 'a', tier: 'front' };
const expression = (key: string, operator: string, values?: readonly string[]) => ({
  matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }],
});

describe('a label selector', () => {
  it.each([
    ['empty', {}, true],
    ['equal labels', { matchLabels: { app: 'a', tier: 'front' } }, true],
    ['one label that differs', { matchLabels: { app: 'a', tier: 'back' } }, false],
    ['In', expression('app', 'In', ['b', 'a']), true],
    ['In of an absent label', expression('none', 'In', ['a']), false],
    ['NotIn', expression('app', 'NotIn', ['a']), false],
    ['NotIn of an absent label', expression('none', 'NotIn', ['a']), true],
    ['Exists', expression('app', 'Exists'), true],
    ['DoesNotExist', expression('app', 'DoesNotExist'), false],
    ['an unknown operator', expression('app', 'Gt', ['0']), false],
    ['a label that every object seems to have', expression('constructor', 'Exists'), false],
    [
      'labels and an expression that fails',
      { matchLabels: { app: 'a' }, ...expression('tier', 'In', ['x']) },
      false,
    ],
  ])('with %s decides as the API machinery does', (_what, selector, expected) => {
    expect(matchesLabelSelector(selector, labels)).toBe(expected);
  });
});
