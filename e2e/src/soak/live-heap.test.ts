import { expect, it } from '@jest/globals';
import { liveHeapMib } from './live-heap.ts';

it('sums up what the last full collection of each heap left, whatever else is told', () => {
  const log = [
    '[1:0xa]  100 ms: Mark-Compact 42.0 (47.6) -> 39.1 (46.3) MB, 22.73 / 0.00 ms  (average mu = 0.9) testing',
    '[1:0xb]  150 ms: Mark-Compact (reduce) 5.0 (7.6) -> 4.5 (6.3) MB, 2.73 / 0.00 ms  (average mu = 0.9) testing',
    '2026-11-21T00:00:00Z error [0xb] -> 3 (',
    '[1:0xa]  160 ms: Scavenge 38.0 (47.6) -> 37.1 (46.3) MB, 0.73 / 0.00 ms  (average mu = 0.9) allocation failure;',
    '[1:0xa]  200 ms: Mark-Compact 40.0 (47.6) -> 30.5 (46.3) MB, 22.73 / 0.00 ms  (average mu = 0.9) testing',
  ].join('\n');
  expect(liveHeapMib(log)).toBe(35);
  expect(liveHeapMib('')).toBe(0);
});
