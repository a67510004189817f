import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '@weft/linux/testing';
import { growth, type Row, type Sample } from './growth.ts';

export interface SoakResult {
  readonly seconds: number;
  /** What was done meanwhile, by kind. */
  readonly work: Readonly<Record<string, number>>;
  /** The first few connections that failed and should not have. */
  readonly unexpected: readonly string[];
  readonly rows: readonly Row[];
}

/** Samples of one run; more would only make the medians slower to find. */
const SAMPLES = 120;
/** A shorter run ends before code is compiled and heaps have their size: it finds gross leaks of memory alone. */
const WARM_SECONDS = 300;
const COLD_SLACK = 3;

/**
 * Churns connections, pods, policies, workloads and certificates of two ztunnels in namespaces for so long, and compares
 * what they use early, late, and at rest before and after.
 */
export async function soak(
  seconds: number,
  onSample?: (elapsed: number, samples: readonly Sample[]) => void,
): Promise<SoakResult> {
  const sandbox = Sandbox.start(new URL('./soak.scenario.js', import.meta.url));
  const read = async (): Promise<readonly Sample[]> =>
    (await sandbox.call('samples')) as unknown as readonly Sample[]; // as the scenario returns it
  try {
    await sandbox.call('start');
    const before = await read();
    await sandbox.call('begin');
    const during: (readonly Sample[])[] = [];
    for (let i = 1; i <= SAMPLES; i++) {
      await sleep((seconds * 1_000) / SAMPLES);
      const samples = await read();
      during.push(samples);
      onSample?.((i * seconds) / SAMPLES, samples);
    }
    await sandbox.call('rest');
    const after = await read();
    const { work, unexpected } = (await sandbox.call('outcome')) as unknown as Pick<
      SoakResult,
      'work' | 'unexpected'
    >; // as above
    await sandbox.call('stop');
    return {
      seconds,
      work,
      unexpected,
      rows: growth(before, during, after, seconds < WARM_SECONDS ? COLD_SLACK : 1),
    };
  } finally {
    await sandbox.stop();
  }
}

export function hasPassed({ rows, unexpected }: SoakResult): boolean {
  return unexpected.length === 0 && rows.every(({ grew }) => !grew);
}
