import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

const reason =
  Sandbox.unavailable ??
  (existsSync('/usr/lib/cni/bridge') || existsSync('/opt/cni/bin/bridge')
    ? undefined
    : 'the reference plugins (containernetworking-plugins) are not installed');

skipIf(reason, describe)('after the reference plugins, in a list that it put itself into, the plugin', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = Sandbox.start(new URL('./testing/reference-plugins.scenario.js', import.meta.url));
  });
  afterAll(() => sandbox.stop());

  it.each(['0.3.1', '0.4.0', '1.0.0'])(
    'passes on their result by CNI %s, and lets the pod be checked and deleted, twice',
    async (version) => {
      const address = expect.objectContaining({
        address: '10.9.0.2/24',
        gateway: '10.9.0.1',
        interface: 2,
      });
      expect(await sandbox.call('chain', version, 'yes')).toEqual({
        added: expect.objectContaining({ cniVersion: version, ips: [address] }),
        failed: null,
        asked: [{ namespace: 'the pod’s', addresses: ['10.9.0.2'] }],
        checked: version === '0.3.1' ? 'not in this version' : '0,0,0',
        deleted: [0, 0, 0, 0, 0, 0],
        linksLeft: 0,
      });
    },
    30_000,
  );

  it('has the runtime try again later when the agent refuses, and nothing stays', async () => {
    expect(await sandbox.call('chain', '1.0.0', 'no')).toMatchObject({
      failed: 'istio-cni 11',
      deleted: [0, 0, 0, 0, 0, 0],
      linksLeft: 0,
    });
  }, 30_000);
});
