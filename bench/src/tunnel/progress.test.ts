import { expect, it } from '@jest/globals';
import { Progress } from './progress.ts';

it('forecasts by how long what is done has taken', () => {
  let nowMs = 0;
  const progress = new Progress(100, () => nowMs);
  nowMs = 50_000;
  expect(progress.did('bulk', 25)).toBe(' 25 %, 0:50 min gone, about 2:30 min left: bulk');
  nowMs = 200_000;
  expect(progress.did('memory', 75)).toBe('100 %, 3:20 min gone, about 0:00 min left: memory');
});
