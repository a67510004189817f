import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** Two nodes with a ztunnel process each; pods `client` and `neighbour` on one, `server`, `second` and the uncaptured `outsider` on the other. */
skipIf(Sandbox.unavailable, describe)('ztunnel between pods', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/mesh.scenario.js', import.meta.url));
    await sandbox.call('start');
  }, 60_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });

  const hello = (server: string, seen: string): string => `${server} sees ${seen}\nhello`;

  it.each([
    ['on different nodes', 'client', 'server', '10.0.1.1'],
    ['on different nodes, the other way', 'server', 'client', '10.0.2.1'],
    ['on one node', 'client', 'neighbour', '10.0.1.1'],
  ])(
    'tunnels with mTLS between captured pods %s and shows the client to the server',
    async (_, from, to, ip) => {
      expect(await sandbox.call('exchange', from, to)).toEqual({
        answer: hello(to, ip),
        inbound: expect.stringMatching(
          new RegExp(
            `src\\.addr=${ip}:\\d+ .*src\\.identity="spiffe://cluster\\.local/ns/default/sa/${from}".*dst\\.addr=[\\d.]+:15008 dst\\.hbone_addr=[\\d.]+:8080 .*dst\\.identity="spiffe://cluster\\.local/ns/default/sa/${to}"`,
          ),
        ),
      });
    },
  );

  it('reaches pods that are not captured, and is reached by them, in plain TCP', async () => {
    expect(await sandbox.call('exchange', 'client', 'outsider')).toMatchObject({
      answer: hello('outsider', '10.0.1.1'),
    });
    expect(await sandbox.call('exchange', 'outsider', 'server')).toEqual({
      answer: hello('server', '10.0.2.2'),
      inbound: expect.not.stringContaining('identity'),
    });
  });

  it('balances fifty connections to a service address over its pods', async () => {
    const { answers, least } = (await sandbox.call('overVip')) as { answers: string[]; least: number }; // as the scenario returns it
    expect(answers).toEqual([hello('second', '10.0.1.1'), hello('server', '10.0.1.1')]);
    // Fewer than 8 of 50 would come once in millions of runs.
    expect(least).toBeGreaterThanOrEqual(8);
  });

  it('passes on that the application went away, as a reset', async () => {
    expect(await sandbox.call('serverShutdown')).toEqual({
      open: { before: 'second sees 10.0.1.1', after: 'ECONNRESET' },
      fresh: 'ECONNRESET',
    });
  });

  it('fetches the certificate of a pod on its node before anyone asks, and forgets it with the pod', async () => {
    expect(await sandbox.call('prefetch')).toEqual({ before: [], during: ['node-2'], after: [] });
  });

  it('does by IPv6 what it does by IPv4: finds destinations, tunnels, and shows clients', async () => {
    expect(await sandbox.call('byIpv6')).toEqual({
      tunnelled: hello('server', 'fd00::a00:101'),
      plain: hello('server', 'fd00::a00:202'),
      outwards: hello('outsider', 'fd00::a00:101'),
    });
  });

  it.each([
    ['the address of a pod', '10.0.2.1', 8080, '5 0 0 server sees 10.0.1.1\nhello'],
    ['the name of a service', 'web', 80, '5 0 0 (server|second) sees 10.0.1.1\nhello'],
  ])('serves SOCKS on the loopback of its pods, to %s', async (_, target, port, expected) => {
    expect(await sandbox.call('bySocks', target, port)).toMatch(new RegExp(`^${expected}`));
  });

  it('keeps every byte of large transfers both ways, with half-close', async () => {
    expect(await sandbox.call('bulk', 32)).toBe(true);
  });

  it('answers every one of 150 connections at once', async () => {
    expect(await sandbox.call('parallel', 150)).toBe(150);
  });

  it('cuts an open connection when a DENY policy arrives, and no other', async () => {
    expect(await sandbox.call('denyWhileOpen')).toEqual({
      denied: { before: 'server sees 10.0.1.1', after: 'ECONNRESET' },
      other: { before: 'server sees 10.0.1.2', after: 'open' },
      fresh: 'ECONNRESET',
      afterwards: hello('server', '10.0.1.1'),
    });
  });

  it('cuts an open connection when its workload starts to list a policy that denies it', async () => {
    expect(await sandbox.call('listedWhileOpen')).toEqual({
      before: 'server sees 10.0.1.1',
      after: 'ECONNRESET',
    });
  });

  it('refuses plaintext under STRICT, also where it is open already, and lets mTLS pass', async () => {
    expect(await sandbox.call('strict')).toEqual({
      plaintext: 'ECONNRESET',
      open: { before: 'server sees 10.0.2.2', after: 'ECONNRESET' },
      mtls: hello('server', '10.0.1.1'),
    });
  });

  it('holds connections for a listed policy that is not known, and denies when it does not come', async () => {
    const result = await sandbox.call('unknownPolicy');
    expect(result).toEqual({
      arrives: hello('server', '10.0.1.1'),
      never: 'ECONNRESET',
      waitedMs: expect.any(Number),
      open: { before: 'server sees 10.0.1.1', after: 'ECONNRESET' },
    });
    expect(result).toHaveProperty('waitedMs', expect.any(Number));
  }, 40_000);

  it('counts garbage on its ports and survives it', async () => {
    expect(await sandbox.call('garbage', 8)).toEqual(hello('server', '10.0.1.1'));
  }, 40_000);

  it('recovers its pods after it was killed, and tells meanwhile that it is not ready', async () => {
    expect(await sandbox.call('killAndRestart')).toEqual({
      during: 'ECONNRESET',
      unready: expect.not.stringMatching(/^ready/),
      after: hello('server', '10.0.1.1'),
      fromOld: hello('client', '10.0.2.1'),
    });
  }, 40_000);

  it('goes on with its pods after data threads have failed', async () => {
    const result = await sandbox.call('crashDataThreads');
    expect(result).toEqual({ lost: expect.any(Number), failed: [], ready: 200 });
    expect((result as { lost: number }).lost).toBeGreaterThanOrEqual(3); // as the scenario returns it
  }, 60_000);

  it('cuts connections of a pod that leaves the mesh, and takes it back', async () => {
    expect(await sandbox.call('removePod')).toEqual({
      open: { before: 'server sees 10.0.1.1', after: 'ECONNRESET' },
      readded: hello('server', '10.0.1.1'),
    });
  });

  it('lets connections end when it is told to stop, and cuts them at the deadline', async () => {
    const result = await sandbox.call('drain');
    const since = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
    const inbound = { pod: 'server', direction: 'inbound', dst: '10.0.2.1:8080', since };
    expect(result).toEqual({
      listed: { before: [inbound], during: [inbound] },
      finishes: 'last words',
      exit: '0',
      tookMs: expect.any(Number),
      stubborn: 'ECONNRESET',
      stubbornExit: '0',
    });
    expect((result as { tookMs: number }).tookMs).toBeLessThan(20_000); // the deadline is 30 s
  }, 40_000);

  it('hands a node over to a second proxy while connections come in', async () => {
    const { failed, old, exit } = (await sandbox.call('upgrade')) as {
      failed: string[];
      old: string;
      exit: string;
    }; // as the scenario returns it
    expect({ failed, old, exit }).toEqual({ failed: [], old: 'old', exit: '0' });
  }, 40_000);

  it('lets its metrics be scraped over HBONE', async () => {
    expect(await sandbox.call('scrape')).toEqual({ status: 'HTTP/1.1 200 OK', hbone: true });
  });

  it('gives back every descriptor', async () => {
    const { before, after, open } = (await sandbox.call('descriptors')) as {
      before: number;
      after: number;
      open: number;
    };
    expect(after).toBeLessThanOrEqual(before + 4);
    expect(open).toBe(0);
  });

  it('labels its metrics, lists certificates and connections', async () => {
    expect(await sandbox.call('observability')).toEqual({
      labels: expect.stringContaining(
        'reporter="source",source_workload="client",source_canonical_service="client",source_canonical_revision="latest",source_workload_namespace="default",source_principal="spiffe://cluster.local/ns/default/sa/client"',
      ),
      certificates: [
        'spiffe://cluster.local/ns/default/sa/client Available',
        'spiffe://cluster.local/ns/default/sa/neighbour Available',
        'spiffe://cluster.local/ns/istio-system/sa/ztunnel Available',
      ],
      connection: ['HBONE'],
      logging: '405',
      index: 200,
      heap: '{"snapshot":',
    });
  });

  it('goes on without its control plane, while a new one waits and says why', async () => {
    expect(await sandbox.call('withoutControlPlane')).toEqual({
      goesOn: hello('server', '10.0.1.1'),
      unready: 'not ready, pending: state manager, workload proxy manager\n',
    });
  }, 40_000);
});
