import { expect, it } from '@jest/globals';
import { cpuProfile, heapSnapshot } from './profiling.ts';

it('takes a CPU profile that tells which functions ran', async () => {
  const profiled = cpuProfile({ durationMs: 30, samplesPerSecond: 1_000 });
  const profile: unknown = JSON.parse(await profiled);
  expect(profile).toMatchObject({ nodes: expect.any(Array), samples: expect.any(Array) });
});

it('takes a heap snapshot', async () => {
  const [first] = (await heapSnapshot().take(1).toArray()) as Buffer[];
  expect(first?.toString()).toMatch(/^\{"snapshot":/);
});
