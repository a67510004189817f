import { expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { ArrivalRate, Throttle } from './throttle.ts';

it('runs so many at once, the others in their order', async () => {
  const throttle = new Throttle(2);
  const order: number[] = [];
  const releases: (() => void)[] = [];
  const start = async (i: number): Promise<void> => {
    releases[i] = await throttle.acquire();
    order.push(i);
  };
  const all = [0, 1, 2, 3].map(start);
  await Promise.all([all[0], all[1]]);
  expect(order).toEqual([0, 1]);
  releases[1]?.();
  releases[1]?.();
  await all[2];
  expect(order).toEqual([0, 1, 2]);
  releases[0]?.();
  await all[3];
  releases[2]?.();
  releases[3]?.();
  const last = [4, 5].map(start);
  await Promise.all(last);
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
});

it('admits by weight, in order, and what is too heavy for it alone', async () => {
  const throttle = new Throttle(10);
  const order: number[] = [];
  const start = async (weight: number): Promise<() => void> => {
    const release = await throttle.acquire(weight);
    order.push(weight);
    return release;
  };
  const eight = await start(8);
  const all = [start(5), start(2), start(100), start(0)];
  await Promise.resolve();
  expect(order).toEqual([8]);
  eight();
  const [five, two] = [await all[0], await all[1]];
  expect(order).toEqual([8, 5, 2]);
  five?.();
  two?.();
  const heavy = await all[2];
  expect(order).toEqual([8, 5, 2, 100]);
  heavy?.();
  await all[3];
  expect(order).toEqual([8, 5, 2, 100, 0]);
});

it('lets a burst through, then one after the other, and turns away who would wait too long', async () => {
  const clock = new ManualClock();
  const rate = new ArrivalRate({ perSecond: 10, maxWaitMs: 1_000, clock });
  const arrive = (count: number): (number | undefined)[] =>
    Array.from({ length: count }, () => rate.arrive());
  expect(arrive(11)).toEqual(Array(11).fill(0));
  expect(arrive(11)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, undefined]);
  await clock.advance(500);
  expect(arrive(6)).toEqual([600, 700, 800, 900, 1_000, undefined]);
  await clock.advance(60_000);
  expect(arrive(11)).toEqual(Array(11).fill(0));
});
