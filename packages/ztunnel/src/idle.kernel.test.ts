import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** Node itself takes more from release to release: the same in 144, 152 and 163 MB on Node 20, 22 and 24. */
const LIMIT_MB = Number.parseInt(process.versions.node, 10) < 22 ? 150 : 175;

/** What the chart sets, so that the figure is that of its pods. */
function chartValue(name: string): string {
  const chart = new URL('../../../helm/ztunnel/templates/daemonset.yaml', import.meta.url);
  return new RegExp(`name: ${name}\\n\\s+value: "?([^"\\n]+)`).exec(readFileSync(chart, 'utf8'))?.[1] ?? '';
}

skipIf(Sandbox.unavailable, describe)('an idle ztunnel', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/idle-pods.scenario.js', import.meta.url));
    const names = ['NODE_OPTIONS', 'MALLOC_ARENA_MAX'];
    await sandbox.call('start', 500, Object.fromEntries(names.map((name) => [name, chartValue(name)])));
  }, 180_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });

  it(`with 500 pods takes at most ${LIMIT_MB} MB`, async () => {
    const { rss } = (await sandbox.call('residentMib')) as { rss: number };
    expect(rss).toBeLessThanOrEqual(LIMIT_MB);
  });
});
