import { expect, it } from '@jest/globals';
import { compare, median } from './result.ts';

it('takes the median of the rounds’ ratios, not the ratio of medians', () => {
  expect(compare('proxy', 'rps-32', 'envoy', [10, 30, 20], [10, 10, 40])).toMatchObject({
    ours: 20,
    peer: 10,
    ratio: 1,
    lowest: 0.5,
    highest: 3,
  });
  expect(median([1, 2, 3, 10])).toBe(2.5);
});
