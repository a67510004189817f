import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** Waypoints of all kinds, and peers that speak HBONE without being a ztunnel, some with bad intentions. */
skipIf(Sandbox.unavailable, describe)('ztunnel and waypoints', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/waypoint.scenario.js', import.meta.url));
    await sandbox.call('start');
  }, 60_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });

  it.each([
    ['the address of its service', 'vip', '10.96.0.1:80'],
    ['the host name of its service', 'hostname', '10.96.0.3:80'],
    ['the host name of a workload', 'workload', '10.96.0.4:80'],
  ])("goes to a service's waypoint by %s, asking for what was dialled", async (_, by, authority) => {
    expect(await sandbox.call('throughServiceWaypoint', by)).toBe(
      `waypoint got ${authority} from client\nhello`,
    );
  });

  it("goes to a workload's waypoint, and lets the waypoint itself through to the workload", async () => {
    expect(await sandbox.call('throughWorkloadWaypoint')).toEqual({
      client: 'waypoint got 10.0.2.1:8080 from client\nhello',
      waypoint: 'server sees 10.0.2.2\n',
    });
  });

  it('serves a waypoint without HBONE of its own, on the port of its application tunnel', async () => {
    const hello = Buffer.from('hello').toString('hex');
    expect(await sandbox.call('sandwich', 'plain')).toBe(`10.0.1.1 10.0.2.4 ${hello}`);
  });

  it('tells such a waypoint client, target and identity by PROXY protocol, on its loopback', async () => {
    const told = (await sandbox.call('sandwich', 'proxied')) as string; // as the scenario returns it
    const [from, to, bytes = ''] = told.split(' ');
    expect([from, to]).toEqual(['127.0.0.1', '127.0.0.1']);
    const identity = Buffer.from('spiffe://cluster.local/ns/default/sa/client');
    const tlv = Buffer.concat([Buffer.from([0xd0, 0, identity.length]), identity]).toString('hex');
    const clientAndVip = '0a000101' + '0a600006';
    expect(bytes).toMatch(
      new RegExp(
        `^0d0a0d0a000d0a515549540a2111${(12 + 3 + identity.length).toString(16).padStart(4, '0')}` +
          `${clientAndVip}[0-9a-f]{4}0050${tlv}${Buffer.from('hello').toString('hex')}$`,
      ),
    );
  });

  it.each([
    ['answers for its own address', '10.0.2.1:8080', 'server sees 10.0.2.3\n'],
    ['answers for a service by name', 'web.default.svc.cluster.local:80', 'server sees 10.0.2.3\n'],
    ['answers for a named port', 'named.default.svc.cluster.local:80', 'server sees 10.0.2.3\n'],
    ['refuses the address of another pod', '10.0.1.1:8080', 400],
    ['refuses what is no authority', '10.0.2.1', 400],
    ['refuses a service that nobody knows', 'nope.default.svc.cluster.local:80', 503],
    ['refuses a port that the service does not have', 'web.default.svc.cluster.local:81', 503],
    ['refuses its own outbound port', '10.0.2.1:15001', 503],
    ['refuses its own inbound port', '10.0.2.1:15006', 503],
    ['refuses its own HBONE port', '10.0.2.1:15008', 503],
    ['tells that nobody listens', '10.0.2.1:9', 503],
  ])('%s to a CONNECT', async (_, authority, expected) => {
    expect(await sandbox.call('ask', authority)).toBe(expected);
  });

  it('refuses a client of another trust domain', async () => {
    expect(await sandbox.call('askAsStranger')).toMatch(/^WEFT12(01|07|09)$/);
  });

  it('resets connections to its own ports that come from no proxy', async () => {
    const ended = (await sandbox.call('proxyPorts')) as Record<string, string>; // as the scenario returns it
    for (const [way, how] of Object.entries(ended))
      expect(`${way}: ${how}`).toMatch(/: (ECONNRESET|ECONNREFUSED)$/);
  });

  it('compresses its metrics for a scraper that takes gzip', async () => {
    expect(await sandbox.call('metricsCompression')).toEqual({ encoding: 'gzip', sameText: true });
  });
});
