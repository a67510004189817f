import { expect, it } from '@jest/globals';
import { COMPARISONS, forecastRun, PATHS, PLAN } from './plan.ts';

it('fits into half an hour, with three minutes for waiting until the machine is quiet', () => {
  expect(forecastRun(PLAN, { paths: PATHS.length, rounds: 3, seconds: 4 })).toBeLessThan(27 * 60);
});

it('measures both sides of each comparison in the same rounds', () => {
  for (const { ours, peers } of COMPARISONS)
    for (const peer of peers)
      expect(PLAN.some(({ paths }) => paths.includes(ours) && paths.includes(peer))).toBe(true);
});
