import { expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { Debounce } from './debounce.ts';

it('fires after a pause, at the latest after the maximum, and not after it was closed', async () => {
  const clock = new ManualClock(0);
  const fired: number[] = [];
  const debounce = new Debounce({ quietMs: 100, maxMs: 1_000, clock, fire: () => fired.push(clock.now()) });
  debounce.touch();
  await clock.advance(99);
  debounce.touch();
  await clock.advance(500);
  expect(fired).toEqual([199]);
  for (let i = 0; i < 30; i++) {
    debounce.touch();
    await clock.advance(50);
  }
  expect(fired).toEqual([199, 1_599]);
  debounce.touch();
  debounce.close();
  await clock.advance(5_000);
  expect(fired).toHaveLength(2);
  expect(clock.pending).toBe(0);
});
