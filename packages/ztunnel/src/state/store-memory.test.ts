import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const WORKLOADS = 20_000;
/** The bound for 100,000 is 250 MB of memory; the heap may have two thirds of it. */
const HEAP_MB = (WORKLOADS / 100_000) * 165;

it('keeps workloads as compact records: no more than 1.65 KB of heap each, with their services and indexes', () => {
  const script = fileURLToPath(new URL('../../scripts/measure-store.mjs', import.meta.url));
  const output = execFileSync(process.execPath, ['--expose-gc', script, String(WORKLOADS)], {
    encoding: 'utf8',
  });
  const measured: unknown = JSON.parse(output);
  expect(measured).toMatchObject({
    workloads: WORKLOADS,
    services: WORKLOADS / 20,
    storeMb: expect.any(Number),
  });
  expect((measured as { storeMb: number }).storeMb).toBeLessThan(HEAP_MB); // just checked
});
