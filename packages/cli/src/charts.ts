import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { capture } from './run-program.ts';

const helmFolder = fileURLToPath(new URL('../../../helm', import.meta.url));

/** The umbrella chart with its parts packed in, in a temporary folder that goes when the work is done. */
export async function withUmbrellaChart<T>(helm: string, work: (chart: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(tmpdir(), 'weft-charts-'));
  try {
    await cp(helmFolder, dir, { recursive: true });
    const chart = path.join(dir, 'ambient');
    // Home folders of its own: nothing of the user's helm is read or changed.
    const env = { ...process.env, HELM_CACHE_HOME: `${dir}/.cache`, HELM_CONFIG_HOME: `${dir}/.config` };
    await capture(helm, ['dependency', 'build', chart, '--skip-refresh'], { env });
    return await work(chart);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
