import { describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';
import { growthTable } from './growth.ts';
import { soak } from './soak.ts';

skipIf(Sandbox.unavailable, describe)('two ztunnels under churn', () => {
  it('use no more after a minute than after its first quarter, and fail no connection', async () => {
    const { rows, unexpected, work } = await soak(40);
    expect(unexpected).toEqual([]);
    expect(rows.some(({ grew }) => grew) ? growthTable(rows) : '').toBe('');
    for (const count of Object.values(work)) expect(count).toBeGreaterThan(5);
  }, 150_000);
});
