import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox } from '@weft/linux/testing';

const reason = Sandbox.unavailable;
if (reason !== undefined) console.warn(`skipped: ${reason}`);

/** Two networks with a gateway between them, and pods that have a proxy of their own. */
(reason === undefined || process.env['CI'] === 'true' ? describe : describe.skip)(
  'ztunnel across networks and in dedicated mode',
  () => {
    let sandbox: Sandbox;
    beforeAll(async () => {
      sandbox = Sandbox.start(new URL('./testing/networks.scenario.js', import.meta.url));
      await sandbox.call('start');
    }, 60_000);
    afterAll(async () => {
      await sandbox.call('stop');
      await sandbox.stop();
    });

    it.each([['address'], ['service']])(
      'reaches a pod on another network by a tunnel inside a tunnel, its gateway found by %s',
      async (by) => {
        expect(await sandbox.call('acrossNetworks', by)).toEqual({
          answer: 'far sees 10.0.2.2\nhello',
          outbound: expect.stringMatching(
            /dst\.addr=10\.0\.2\.2:15008 dst\.hbone_addr=web\.default\.svc\.cluster\.local:80 .*dst\.identity="spiffe:\/\/cluster\.local\/ns\/default\/sa\/far"/,
          ),
          inbound: expect.stringContaining('src.identity="spiffe://cluster.local/ns/default/sa/client"'),
          labels: expect.stringMatching(
            /destination_workload="far",.*destination_principal="spiffe:\/\/cluster\.local\/ns\/default\/sa\/far"/,
          ),
        });
      },
    );

    it('believes nobody inside whom the service does not list', async () => {
      expect(await sandbox.call('withoutTheName')).toBe('ECONNRESET');
    });

    it('passes on what is addressed without a service: an address of the other network means nothing here', async () => {
      expect(await sandbox.call('directlyToOtherNetwork')).toContain('far sees 10.0.1.1');
    });

    it.each([
      ['another pod', 'own', 'other', 'other sees 10.0.3.1\nhello'],
      ['a pod of a shared proxy', 'own', 'client', 'client sees 10.0.3.1\nhello'],
    ])('tunnels from a dedicated proxy to %s', async (_, from, to, expected) => {
      expect(await sandbox.call('dedicated', from, to)).toBe(expected);
      await sandbox.call('identitySeen', to === 'client' ? 'node-1' : to, 'own');
    });

    it('tunnels from a shared proxy to a dedicated one', async () => {
      expect(await sandbox.call('dedicated', 'client', 'own')).toBe('own sees 10.0.1.1\nhello');
      await sandbox.call('identitySeen', 'own', 'client');
    });

    it('fetches nobody else’s certificate in dedicated mode', async () => {
      expect(await sandbox.call('certificates')).toEqual(['spiffe://cluster.local/ns/default/sa/own']);
    });
  },
);
