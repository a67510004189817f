import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import { describe, expect, it } from '@jest/globals';
import { collectGarbage, isWorthCollecting } from './idle-memory.ts';

const MIB = 2 ** 20;

describe('memory of an idle thread', () => {
  it.each([
    ['after a burst', { heapBytes: 20 * MIB }, true],
    ['as long as there is work', { utilization: 0.05, heapBytes: 20 * MIB }, false],
    ['when there is little to gain', { heapBytes: 13 * MIB }, false],
    ['when it would take long', { usedBytes: 49 * MIB, heapBytes: 60 * MIB }, false],
    ['at first', { settledBytes: 0 }, true],
  ])('is given back %s: %j', (_when, change, isWorth) => {
    const memory = { utilization: 0.001, usedBytes: 8 * MIB, heapBytes: 10 * MIB, settledBytes: 10 * MIB };
    expect(isWorthCollecting({ ...memory, ...change })).toBe(isWorth);
  });

  it('is what nobody refers to any more', async () => {
    const used = (): number => getHeapStatistics().used_heap_size;
    await collectGarbage();
    const before = used();
    let garbage: string[] = Array.from({ length: 200_000 }, (_, i) => `garbage ${i}`);
    expect(used() - before).toBeGreaterThan(5 * MIB);
    garbage = garbage.slice(0, 1);
    await collectGarbage();
    expect(used() - before).toBeLessThan(2 * MIB);
    expect(garbage).toHaveLength(1);
  });

  it('is the room for new objects, too', async () => {
    const room = (): number =>
      getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? Number.NaN;
    const survivors = Array.from({ length: 200_000 }, (_, i) => [i]);
    expect(room()).toBeGreaterThan(2 * MIB);
    await collectGarbage();
    expect(room()).toBeLessThanOrEqual(2 * MIB);
    expect(survivors).toHaveLength(200_000);
  });
});
