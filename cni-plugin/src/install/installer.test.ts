import {
  chmodSync,
  mkdtempSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { parseNetworkConfig } from './conflist.ts';
import { Installer } from './installer.ts';

const bridge = { cniVersion: '0.3.1', name: 'net', plugins: [{ type: 'bridge', mtu: 1500 }] };
const plugin = { type: 'istio-cni', name: 'istio-cni' };

describe('installer', () => {
  let dir: string;
  let installer: Installer;
  const conf = (name: string): string => path.join(dir, 'net.d', name);
  const read = (name: string): unknown => JSON.parse(readFileSync(conf(name), 'utf8'));

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'install-'));
    mkdirSync(path.join(dir, 'net.d'));
    mkdirSync(path.join(dir, 'bin'));
    writeFileSync(path.join(dir, 'node'), 'node', { mode: 0o755 });
    writeFileSync(path.join(dir, 'plugin.cjs'), 'plugin');
    installer = new Installer({
      binDir: path.join(dir, 'bin'),
      confDir: path.join(dir, 'net.d'),
      confName: undefined,
      plugin,
      bundleFile: path.join(dir, 'plugin.cjs'),
      nodeFile: path.join(dir, 'node'),
      logger: silentLogger,
    });
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('waits while there is nothing to chain into', () => {
    expect(installer.ensureConfig(0)).toBe('waiting');
    writeFileSync(conf('05-broken.conflist'), '{');
    expect(installer.ensureConfig(0)).toBe('waiting');
  });

  it('becomes the last plugin of the lexically first valid list and keeps its file mode', () => {
    writeFileSync(conf('05-broken.conflist'), '{"plugins": []}');
    writeFileSync(conf('10-a.conflist'), JSON.stringify({ ...bridge, disableCheck: true }));
    chmodSync(conf('10-a.conflist'), 0o644);
    writeFileSync(conf('20-b.conflist'), JSON.stringify(bridge));
    expect(installer.ensureConfig(0)).toBe('written');
    expect(read('10-a.conflist')).toEqual({
      ...bridge,
      disableCheck: true,
      plugins: [...bridge.plugins, plugin],
    });
    expect(statSync(conf('10-a.conflist')).mode & 0o777).toBe(0o644);
    expect(read('20-b.conflist')).toEqual(bridge);
    expect(installer.ensureConfig(0)).toBe('unchanged');
  });

  it('replaces an older entry of its own', () => {
    writeFileSync(
      conf('10-a.conflist'),
      JSON.stringify({ ...bridge, plugins: [{ type: 'istio-cni', old: true }, ...bridge.plugins] }),
    );
    installer.ensureConfig(0);
    expect(read('10-a.conflist')).toEqual({ ...bridge, plugins: [...bridge.plugins, plugin] });
  });

  it('turns a single configuration into a list', () => {
    writeFileSync(conf('10-a.conf'), JSON.stringify({ cniVersion: '0.3.1', name: 'net', type: 'bridge' }));
    installer.ensureConfig(0);
    expect(readdirSync(path.join(dir, 'net.d'))).toEqual(['10-a.conflist']);
    expect(
      parseNetworkConfig(readFileSync(conf('10-a.conflist'), 'utf8'), '').plugins.map((p) => p.type),
    ).toEqual(['bridge', 'istio-cni']);
  });

  it('comes back after somebody rewrote the file', () => {
    writeFileSync(conf('10-a.conflist'), JSON.stringify(bridge));
    installer.ensureConfig(0);
    writeFileSync(conf('10-a.conflist'), JSON.stringify(bridge));
    expect(installer.ensureConfig(1)).toBe('written');
  });

  it('leaves nothing of itself behind', () => {
    writeFileSync(conf('10-a.conflist'), JSON.stringify(bridge));
    installer.installProgram();
    installer.ensureConfig(0);
    expect(readdirSync(path.join(dir, 'bin')).sort()).toEqual(['.istio-cni', 'istio-cni']);
    installer.remove();
    expect(read('10-a.conflist')).toEqual(bridge);
    expect(readdirSync(path.join(dir, 'bin'))).toEqual([]);
  });
});
