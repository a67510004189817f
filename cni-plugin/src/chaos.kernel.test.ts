import { afterEach, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** On two idle processors, the longer run takes a minute. */
const SLOW_MACHINE_MS = 600_000;
const seed = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

skipIf(Sandbox.unavailable, describe)(
  `a node on which agent, ztunnel and plugin are killed at random (CHAOS_SEED=${seed})`,
  () => {
    let sandbox: Sandbox | undefined;
    afterEach(() => sandbox?.stop());

    it.each(['iptables-nft', 'nftables'])(
      'notices a sandbox made anew past the plugin though the former one’s namespace keeps the address, with %s',
      async (backend) => {
        sandbox = Sandbox.start(new URL('./testing/chaos.scenario.js', import.meta.url));
        expect(await sandbox.call('restartsPastPlugin', backend)).toEqual({
          before: '',
          after: '',
          held: '1 1',
          log: expect.stringContaining('fault="NamespaceReplaced"'),
        });
      },
      SLOW_MACHINE_MS,
    );

    it.each([
      ['iptables-nft', 100],
      ['nftables', 20],
    ])(
      'ends with every labelled pod captured, no other, and nothing leaked, with %s and %d pods',
      async (backend, pods) => {
        sandbox = Sandbox.start(new URL('./testing/chaos.scenario.js', import.meta.url));
        const result = await sandbox.call('chaos', seed, backend, pods);
        expect(result).toEqual({
          faults: [],
          probedAsWanted: true,
          heldAsWanted: true,
          heldAfter: '0 0',
          probesAfter: '',
          residue: '',
          pods,
          story: expect.any(String),
          log: '',
        });
      },
      SLOW_MACHINE_MS,
    );
  },
);
