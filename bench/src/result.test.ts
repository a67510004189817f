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

it('leaves out rounds that failed on either side', () => {
  expect(compare('tunnel', 'rps-32', 'envoy', [10, Number.NaN, 20], [10, 10, 10])).toMatchObject({
    ours: 15,
    peer: 10,
    ratio: 1.5,
    lowest: 1,
    highest: 2,
  });
  expect(compare('tunnel', 'rps-32', 'envoy', [10], []).ratio).toBeNaN();
});
