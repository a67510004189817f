import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from '@jest/globals';
import { garbageCollector, isWorthCollecting } from './idle-memory.ts';

const MIB = 2 ** 20;

describe('memory of an idle thread', () => {
  it.each([
    ['after a burst', { heapBytes: 20 * MIB }, true],
    ['as long as there is work', { utilization: 0.05, heapBytes: 20 * MIB }, false],
    ['when there is little to gain', { heapBytes: 11 * MIB }, false],
    ['when it would take long', { usedBytes: 33 * MIB, heapBytes: 60 * MIB }, false],
    ['at first', { settledBytes: 0 }, true],
  ])('is given back %s: %j', (_when, change, isWorth) => {
    const memory = { utilization: 0.001, usedBytes: 8 * MIB, heapBytes: 10 * MIB, settledBytes: 10 * MIB };
    expect(isWorthCollecting({ ...memory, ...change })).toBe(isWorth);
  });

  it('is what nobody refers to any more', () => {
    const collect = garbageCollector();
    const used = (): number => getHeapStatistics().used_heap_size;
    collect();
    const before = used();
    let garbage: string[] = Array.from({ length: 200_000 }, (_, i) => `garbage ${i}`);
    expect(used() - before).toBeGreaterThan(5 * MIB);
    garbage = garbage.slice(0, 1);
    collect();
    expect(used() - before).toBeLessThan(2 * MIB);
    expect(garbage).toHaveLength(1);
  });
});
