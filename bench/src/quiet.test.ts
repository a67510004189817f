import { expect, it } from '@jest/globals';
import { busyShare, parseCpuTimes } from './quiet.ts';

it('counts what a processor does for others, too, and no waiting', () => {
  const before = parseCpuTimes('cpu  100 0 50 800 20 0 10 20 0 0\ncpu0 1 1 1 1\n');
  const after = parseCpuTimes('cpu  110 0 55 870 30 0 10 25 0 0\ncpu0 1 1 1 1\n');
  expect(before).toEqual({ total: 1_000, busy: 180 });
  expect(busyShare(before, after)).toBeCloseTo(0.2);
  expect(busyShare(before, before)).toBe(0);
});
