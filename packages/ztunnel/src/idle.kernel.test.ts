import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** It takes 109 MB on Node 20 and 131 on Node 24. */
const LIMIT_MB = 150;

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
