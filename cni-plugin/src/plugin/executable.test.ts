import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const packageDir = fileURLToPath(new URL('../..', import.meta.url));

describe('the plugin as one executable', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'executable-'));
    const script = path.join(packageDir, 'scripts/executable.mjs');
    execFileSync(process.execPath, [script, path.join(dir, 'istio-cni')], { stdio: 'ignore' });
  }, 60_000);
  afterAll(() => rmSync(dir, { recursive: true }));

  it.each([
    ['VERSION', '{"cniVersion":"1.1.0"}', 0],
    ['ADD', '{"cniVersion":"1.1.0","prevResult":{"ips":[]}}', 0],
    ['ADD', 'no JSON', 1],
    ['DEL', '{"cniVersion":"1.0.0"}', 0],
    ['FROB', '{}', 1],
  ])('answers %s %j as the bundle does', (command, input, status) => {
    const env = { CNI_COMMAND: command, CNI_CONTAINERID: 'c', CNI_NETNS: '/x', CNI_IFNAME: 'eth0' };
    const run = (file: string, ...args: readonly string[]): unknown => {
      const { stdout, stderr, status: found } = spawnSync(file, args, { input, env, encoding: 'utf8' });
      return { stdout, stderr, status: found };
    };
    const expected = run(process.execPath, path.join(packageDir, 'dist/bundle/plugin.cjs'));
    expect(expected).toMatchObject({ status });
    expect(run(path.join(dir, 'istio-cni'))).toEqual(expected);
  });
});
