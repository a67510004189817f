import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** What ztunnel asks a control plane for, and what it does when that is replaced. */
skipIf(Sandbox.unavailable, describe)('ztunnel and its control plane', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/control-plane.scenario.js', import.meta.url));
    await sandbox.call('start');
  }, 60_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });
  const server = 'spiffe://cluster.local/ns/default/sa/server';

  it('knows on demand the workloads of its own node, and what its connections needed', async () => {
    const own = ['client', 'ztunnel-node-1'];
    expect(await sandbox.call('known')).toEqual(own);
    const tunnelled = { answer: 'server sees 10.0.1.1\nhello', identity: server };
    expect(await sandbox.call('onDemand', 'service')).toEqual(tunnelled);
    expect(await sandbox.call('known')).toEqual([...own, 'server'].sort());
    expect(await sandbox.call('onDemand', 'server')).toEqual(tunnelled);
    expect(await sandbox.call('onDemand', 'stranger')).toMatchObject({
      answer: 'stranger sees 10.0.1.1\nhello',
    });
  });

  it('follows its control plane to another root, for workloads and certificates', async () => {
    expect(await sandbox.call('otherRoot')).toEqual({
      answer: 'stranger sees 10.0.2.2\nhello',
      issued: true,
    });
  }, 40_000);

  it('opens nothing but the DNS proxy in pods without ENABLE_PROXY', async () => {
    const addresses = ['127.0.0.1:15053', '[::1]:15053'];
    expect(await sandbox.call('withoutProxy')).toEqual(
      ['tcp', 'udp'].flatMap((transport) => addresses.map((address) => `${transport} ${address}`)),
    );
  });
});
