import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { ConfigInstaller, type InstallState } from './config-installer.ts';
import { Installation } from './installation.ts';
import { KubeconfigFile } from './kubeconfig-file.ts';

describe('an installation', () => {
  it('notices whoever rewrites the configuration, and leaves nothing when it is removed', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'installation-'));
    const [confDir, account] = [path.join(dir, 'net.d'), path.join(dir, 'account')];
    mkdirSync(account);
    writeFileSync(path.join(account, 'ca.crt'), 'ca');
    writeFileSync(path.join(account, 'token'), 'token');
    const kubeconfig = path.join(dir, 'istio-cni-kubeconfig');
    const conflist = path.join(confDir, '10-a.conflist');
    const original = JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'bridge' }] });

    let waiters: { state: InstallState; resolve: () => void }[] = [];
    const seen = (state: InstallState): Promise<void> =>
      new Promise((resolve) => waiters.push({ state, resolve }));
    const installation = new Installation({
      confDir,
      config: new ConfigInstaller({
        confDir,
        groupRead: false,
        plugin: { type: 'istio-cni' },
        chained: true,
        confName: undefined,
        ownFile: 'auto',
        ownFileName: '02-istio-cni.conflist',
        logger: silentLogger,
      }),
      kubeconfig: new KubeconfigFile({ path: kubeconfig, server: 'https://x', serviceAccountDir: account }),
      logger: silentLogger,
      onState: (state) => {
        for (const waiter of waiters) if (waiter.state === state) waiter.resolve();
        waiters = waiters.filter((waiter) => waiter.state !== state);
      },
    });
    const waiting = seen('waiting');
    installation.start();
    await waiting;
    for (let i = 0; i < 3; i++) {
      const written = seen('written');
      writeFileSync(conflist, original);
      await written;
      expect(readFileSync(conflist, 'utf8')).toContain('istio-cni');
    }
    expect(existsSync(kubeconfig)).toBe(true);
    installation.remove();
    expect(JSON.parse(readFileSync(conflist, 'utf8'))).toEqual(JSON.parse(original));
    expect(existsSync(kubeconfig)).toBe(false);
    rmSync(dir, { recursive: true });
  });
});
