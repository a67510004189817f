import { expect, it } from '@jest/globals';
import { RestartBackoff } from './restart-backoff.ts';

it('restarts at once, then after growing delays up to the longest', () => {
  const backoff = new RestartBackoff({ initialMs: 10_000, maxMs: 60_000 });
  expect([0, 0, 0, 0, 0, 0].map(() => backoff.ended(1_000))).toEqual([
    0, 10_000, 20_000, 40_000, 60_000, 60_000,
  ]);
});

it('starts over after a long run', () => {
  const backoff = new RestartBackoff({ initialMs: 10_000, maxMs: 60_000 });
  for (let run = 0; run < 4; run++) backoff.ended(1_000);
  expect(backoff.ended(121_000)).toBe(0);
  expect(backoff.ended(1_000)).toBe(10_000);
});
