import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { cpuProfile } from './profiling.ts';

it('takes a CPU profile that tells which functions ran', async () => {
  const profiled = cpuProfile({ durationMs: 30, samplesPerSecond: 1_000 });
  const profile: unknown = JSON.parse(await profiled);
  expect(profile).toMatchObject({ nodes: expect.any(Array), samples: expect.any(Array) });
});

it('takes a heap snapshot', async () => {
  // Of a process of its own: that of a test runner is so large that it takes a minute.
  const script = `
    const { heapSnapshot } = await import('${new URL('./profiling.js', import.meta.url).href}');
    for await (const chunk of heapSnapshot()) process.stdout.write(chunk);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    maxBuffer: 2 ** 28,
  });
  expect(JSON.parse(stdout)).toMatchObject({
    snapshot: { meta: expect.any(Object) },
    nodes: expect.any(Array),
  });
});
