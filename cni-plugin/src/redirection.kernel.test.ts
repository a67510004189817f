import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox } from '@weft/linux/testing';

const reason = Sandbox.unavailable;
if (reason !== undefined) console.warn(`skipped: ${reason}`);

(reason === undefined || process.env['CI'] === 'true' ? describe : describe.skip)(
  'redirection in the kernel',
  () => {
    let sandbox: Sandbox;
    beforeAll(() => {
      sandbox = Sandbox.start(new URL('./testing/redirection.scenario.js', import.meta.url));
    });
    afterAll(() => sandbox.stop());

    it.each(['iptables-nft', 'iptables-legacy'])(
      'is applied once, noticed when damaged, repaired and removed without residue by %s',
      async (variant) => {
        expect(await sandbox.call('redirectsAndRestores', variant)).toEqual({
          lines: '36',
          inForce: true,
          idempotent: true,
          noticed: true,
          repaired: true,
          left: '',
        });
      },
    );

    it.each(['iptables-nft', 'iptables-legacy'])(
      'keeps the set of probed addresses by pod with %s',
      async (variant) => {
        expect(await sandbox.call('keepsProbeSet', variant)).toEqual({
          afterTakeover: '10.0.0.1 comment "b"',
          afterRestart: expect.stringMatching(/10\.0\.0\.3 comment "c"/),
          afterRetain: '10.0.0.1 comment "b"',
          empty: '',
          jumps: '1',
          left: '',
        });
      },
    );

    it.each(['iptables-nft', 'iptables-legacy'])(
      'lets redirected connections end properly when a pod leaves the mesh, with %s',
      async (variant) => {
        expect(await sandbox.call('letsConnectionsEnd', variant)).toEqual({
          said: 'still here',
          freshIsRedirected: 'false',
          reset: 'ECONNRESET',
          left: '',
        });
      },
    );

    it('finds a pod’s namespace by cgroup or by name, and only if it owns the pod’s address', async () => {
      expect(await sandbox.call('findsByCgroup')).toEqual({
        byCgroup: true,
        strangerAddress: false,
        strangerUid: false,
        byName: true,
        byNameStranger: false,
      });
    });
  },
);
