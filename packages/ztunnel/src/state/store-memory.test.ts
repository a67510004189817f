import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const WORKLOADS = 20_000;
/** The bound for 100,000 is 250 MB of memory; the heap may have two thirds of it. */
const HEAP_MB = (WORKLOADS / 100_000) * 165;

it('keeps workloads as compact records, no more than 1.65 KB of heap each, and plans connections meanwhile', () => {
  const script = fileURLToPath(new URL('../../scripts/measure-store.mjs', import.meta.url));
  // Young generations as in the chart.
  const flags = ['--expose-gc', '--max-semi-space-size=2'];
  const output = execFileSync(process.execPath, [...flags, script, String(WORKLOADS)], { encoding: 'utf8' });
  const measured = JSON.parse(output) as { storeMb: number; planP99CpuMs: number }; // as the script prints it
  expect(measured).toMatchObject({ workloads: WORKLOADS, services: WORKLOADS / 20 });
  expect(measured.storeMb).toBeLessThan(HEAP_MB);
  expect(measured.planP99CpuMs).toBeLessThan(10);
});
