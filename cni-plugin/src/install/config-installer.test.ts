import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger, type Logger } from '@weft/telemetry';
import { ConfigInstaller, type ConfigInstallerOptions, type InstallState } from './config-installer.ts';

const SECONDS = 300;
const own = '02-istio-cni.conflist';
const list = (type: string): string =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [{ type }] });

describe('the installer of the CNI configuration', () => {
  let dir: string;
  const file = (name: string): string => path.join(dir, name);
  const isInForce = (): boolean => {
    const [first = ''] = readdirSync(dir)
      .filter((name) => name.endsWith('.conflist'))
      .sort();
    return readFileSync(file(first), 'utf8').includes('"istio-cni"');
  };
  const installer = (o: Partial<ConfigInstallerOptions> = {}): ConfigInstaller =>
    new ConfigInstaller({
      confDir: dir,
      groupRead: false,
      plugin: { type: 'istio-cni', name: 'istio-cni' },
      chained: true,
      confName: undefined,
      ownFile: 'auto',
      ownFileName: own,
      logger: silentLogger,
      ...o,
    });

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'install-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it.each([
    ['keeps the mode of a file', 0o644, false, 0o644],
    ['lets the group read when told to', 0o600, true, 0o640],
  ])('%s', (_what, mode, groupRead, expected) => {
    writeFileSync(file('10-a.conflist'), list('bridge'));
    chmodSync(file('10-a.conflist'), mode);
    expect(installer({ groupRead }).ensure(0)).toBe('written');
    expect(statSync(file('10-a.conflist')).mode & 0o777).toBe(expected);
    expect(readdirSync(dir)).toEqual(['10-a.conflist']);
  });

  it('makes a file of its own that only its owner reads', () => {
    writeFileSync(file('05-cilium.conflist'), list('cilium-cni'));
    expect(installer().ensure(0)).toBe('written');
    expect(statSync(file(own)).mode & 0o777).toBe(0o600);
  });

  it('waits where there is no folder, and has nothing to remove', () => {
    const i = installer({ confDir: file('net.d') });
    expect(i.ensure(0)).toBe('waiting');
    i.remove();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('leaves the configuration as it found it', () => {
    writeFileSync(file('10-a.conflist'), list('bridge'));
    const i = installer();
    i.ensure(0);
    i.remove();
    expect(JSON.parse(readFileSync(file('10-a.conflist'), 'utf8'))).toEqual(JSON.parse(list('bridge')));
  });

  describe('beside a CNI that', () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message: string) => warnings.push(message) } as never;
    /** Minutes of such a CNI, which looks every second; the share of seconds in which the plugin was in force. */
    const live = (
      i: ConfigInstaller,
      act: () => void,
    ): { inForce: number; states: Set<InstallState>; writes: number } => {
      const states = new Set<InstallState>();
      let [inForce, writes] = [0, 0];
      warnings.length = 0;
      for (let second = 0; second < SECONDS; second++) {
        act();
        const state = i.ensure(second * 1_000);
        states.add(state);
        if (state === 'written') writes++;
        if (isInForce()) inForce++;
      }
      return { inForce: inForce / SECONDS, states, writes };
    };

    it('rewrites its own file all the time is escaped by a file of our own', () => {
      const i = installer({ logger });
      const rewrite = (): void => writeFileSync(file('10-a.conflist'), list('bridge'));
      const { inForce, writes } = live(i, rewrite);
      expect(inForce).toBe(1);
      expect(writes).toBeLessThan(15);
      expect(warnings).toHaveLength(1);
      rewrite();
      expect(installer().ensure(0)).toBe('unchanged'); // the next agent knows
    });

    it('wants to be the only one is told of, and not fought at every turn', () => {
      const i = installer({ logger });
      const { states, writes } = live(i, () => {
        // As Cilium does with cni.exclusive.
        for (const name of readdirSync(dir))
          if (name !== '05-cilium.conflist' && !name.endsWith('.cilium_bak'))
            renameSync(file(name), file(`${name}.cilium_bak`));
        writeFileSync(file('05-cilium.conflist'), list('cilium-cni'));
      });
      expect(states).toEqual(new Set(['written', 'throttled']));
      expect(writes).toBeLessThan(40);
      expect(warnings.length).toBeGreaterThan(0);
      expect(warnings[0]).toContain('cni.exclusive');
      expect(i.ensure(1_000_000)).toBe('unchanged');
      expect(isInForce()).toBe(true);
    });

    it('rewrites its file when it starts, as at a reboot, never has it without the plugin in force', () => {
      const i = installer({ logger });
      writeFileSync(file('10-calico.conflist'), list('calico'));
      i.ensure(0);
      writeFileSync(file('10-calico.conflist'), list('calico')); // and no agent is there
      expect(isInForce()).toBe(true);
    });
  });
});
