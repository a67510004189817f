import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** As the scenario returns it. */
type SocketState = {
  readonly what: string;
  readonly address: string;
  readonly hasKeepalive: boolean;
  readonly mark: string;
};

/** Two networks with a gateway between them, and pods that have a proxy of their own. */
skipIf(Sandbox.unavailable, describe)('ztunnel across networks and in dedicated mode', () => {
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

  it('marks all its sockets, listens where it should, and keeps the connections of applications alive', async () => {
    const { client, own } = (await sandbox.call('sockets')) as {
      client: SocketState[];
      own: SocketState[];
    }; // as the scenario returns it
    const find = (states: readonly SocketState[], what: string): object =>
      states.find((state) => state.what === what) ?? { missing: what };
    const mark = '0x539';
    for (const port of [15_001, 15_006, 15_008]) {
      expect(find(client, `listen ${port}`)).toMatchObject({ address: '*', mark });
      // IPV6_ENABLED=false
      expect(find(own, `listen ${port}`)).toMatchObject({ address: '0.0.0.0', mark });
    }
    expect(
      client
        .filter(({ what }) => what === 'listen 15053')
        .map(({ address }) => address)
        .sort(),
    ).toEqual(['127.0.0.1', '[::1]']);
    expect(find(client, 'listen 15080')).toEqual({ missing: 'listen 15080' });
    expect(find(client, 'accepted 15001')).toMatchObject({ hasKeepalive: true, mark });
    expect(find(client, 'to 15008')).toMatchObject({ hasKeepalive: true, mark });
    expect(find(own, 'accepted 15008')).toMatchObject({ hasKeepalive: false, mark });
    expect(own.find(({ what, mark: m }) => what === 'to 8080' && m === mark)).toMatchObject({
      hasKeepalive: true,
    });
  });

  it('raises its limit of open files to the hard one', async () => {
    const [soft, hard] = (await sandbox.call('fileLimits')) as string[]; // as the scenario returns it
    expect(soft).toBe(hard);
  });

  it('fetches nobody else’s certificate in dedicated mode', async () => {
    expect(await sandbox.call('certificates')).toEqual(['spiffe://cluster.local/ns/default/sa/own']);
  });
});
