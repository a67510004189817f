import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type LevelHealth, priorityLoads } from './priority-load.ts';

const options = { overprovisioningPercent: 140, panicPercent: 50 };
const level = (healthy: number, degraded = 0, hosts = 100): LevelHealth => ({ hosts, healthy, degraded });

describe('priority loads', () => {
  it.each([
    { name: 'all to the first level', levels: [level(100), level(100)], loads: [100, 0] },
    {
      name: 'all to the first level while 1/1.4 of it are healthy',
      levels: [level(72), level(100)],
      loads: [100, 0],
    },
    { name: 'the rest spills over', levels: [level(50), level(100)], loads: [70, 30] },
    { name: 'shares are scaled up below 100', levels: [level(25), level(25)], loads: [50, 50] },
    { name: 'a dead first level', levels: [level(0), level(100)], loads: [0, 100] },
    { name: 'no hosts at all', levels: [level(0, 0, 0)], loads: [0] },
  ])('$name', ({ levels, loads }) => {
    const result = priorityLoads(levels, options);
    result.forEach((load, i) => expect(load.healthy).toBeCloseTo(loads[i] ?? -1, 5));
  });

  it('prefers healthy hosts of a later level to degraded ones', () => {
    const [first, second] = priorityLoads([level(50, 50), level(20)], options);
    expect(first).toMatchObject({ healthy: 70, degraded: expect.closeTo(2, 5) });
    expect(second).toMatchObject({ healthy: expect.closeTo(28, 5), degraded: 0 });
  });

  it('panics only when all levels together have less than they need', () => {
    expect(priorityLoads([level(40), level(100)], options).some((load) => load.panic)).toBe(false);
    expect(priorityLoads([level(40), level(10)], options).every((load) => load.panic)).toBe(true);
    expect(priorityLoads([level(0)], { ...options, panicPercent: 0 })[0]).toMatchObject({ panic: false });
  });

  it('always hands out 100 percent when there is any host, never less than none', () => {
    const anyLevel = fc
      .record({ hosts: fc.nat(20), healthy: fc.nat(20), degraded: fc.nat(20) })
      .map(({ hosts, healthy, degraded }) => {
        const h = Math.min(hosts, healthy);
        return { hosts, healthy: h, degraded: Math.min(hosts - h, degraded) };
      });
    fc.assert(
      fc.property(fc.array(anyLevel, { minLength: 1, maxLength: 5 }), (levels) => {
        const loads = priorityLoads(levels, options);
        const total = loads.reduce((sum, load) => sum + load.healthy + load.degraded, 0);
        expect(total).toBeCloseTo(levels.some((l) => l.hosts > 0) ? 100 : 0, 3);
        for (const load of loads) expect(Math.min(load.healthy, load.degraded)).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
