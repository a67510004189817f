import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** A captured pod whose DNS is redirected, and a resolver in a namespace of its own. */
skipIf(Sandbox.unavailable, describe)('the DNS proxy of a pod', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/dns.scenario.js', import.meta.url));
    await sandbox.call('start');
  }, 60_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });

  const web = { rcode: 'NOERROR', aa: true, tc: false, count: 1, records: ['web A "10.96.0.1"'] };
  const about = (name: string, type = 'A') => ({ questions: [{ name, type }] });

  it.each(['udp', 'tcp'])('answers names of services over %s', async (transport) => {
    expect(await sandbox.call('ask', transport, about('web'))).toEqual(web);
    expect(await sandbox.call('askedOf', 'web')).toEqual([]);
  });

  it('listens on IPv6 too', async () => {
    expect(await sandbox.call('ask', 'udp', about('web'), '::1', 15_053)).toEqual(web);
  });

  it('serves the resolver of the C library: short and full names, and names outside', async () => {
    for (const name of ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local'])
      expect(await sandbox.call('getent', name)).toEqual(['10.96.0.1']);
    expect(await sandbox.call('getent', 'www.example.test')).toEqual(['192.0.2.80']);
  });

  it.each(['udp', 'tcp'])('forwards other names over %s, from the pod’s own address', async (transport) => {
    const name = `${transport}.unknown.test`;
    expect(await sandbox.call('ask', transport, about(name))).toMatchObject({
      rcode: 'NXDOMAIN',
      aa: false,
    });
    expect(await sandbox.call('askedOf', name)).toEqual([
      { name, from: '10.0.1.1', transport, hex: expect.any(String) },
    ]);
  });

  it('takes answers from its cache', async () => {
    for (let i = 0; i < 3; i++) await sandbox.call('ask', 'udp', about('www.example.test'));
    const asked = (await sandbox.call('askedOf', 'www.example.test')) as readonly { hex: string }[]; // as the scenario returns it
    const plain = asked.filter(({ hex }) => hex.startsWith('0007'));
    expect(plain).toHaveLength(1);
  });

  it('brings answers that do not fit into a datagram by TCP', async () => {
    expect(await sandbox.call('ask', 'udp', about('big.example.test'))).toMatchObject({
      tc: true,
      count: 0,
    });
    expect(await sandbox.call('ask', 'tcp', about('big.example.test'))).toMatchObject({
      tc: false,
      count: 200,
    });
    expect(await sandbox.call('getent', 'big.example.test')).toHaveLength(200);
  });

  it('forwards types and operations that it does not know, unchanged', async () => {
    expect(await sandbox.call('ask', 'udp', about('_http._tcp.web', 'SRV'))).toMatchObject({
      rcode: 'NXDOMAIN',
    });
    const update = '4711280000010000000000000474657374000006000100';
    expect(await sandbox.call('askBytes', update)).toBe(`4711a8${update.slice(6)}`);
    expect(await sandbox.call('askedOf', '')).toEqual([expect.objectContaining({ hex: update })]);
  });

  it('calls garbage a format error', async () => {
    expect(await sandbox.call('askBytes', '471101000001000000000000c00c00010001')).toBe(
      '471181810000000000000000',
    );
  });

  it('counts requests by type, protocol and who asks', async () => {
    const labels =
      '{request_query_type="srv",request_protocol="udp",source_canonical_service="client",source_canonical_revision="latest"}';
    expect(await sandbox.call('metrics')).toEqual(
      expect.arrayContaining([
        `istio_dns_requests_total${labels} 1`,
        `istio_dns_upstream_requests_total${labels} 1`,
        expect.stringMatching(/^istio_dns_upstream_request_duration_seconds_bucket\{le="5".* 1$/),
      ]),
    );
  });

  it('logs queries at debug', async () => {
    expect(await sandbox.call('log')).toMatch(
      /\tdebug\tdns\tquery\tsrc\.workload="client" src\.namespace="default" query="A" domain="web" result="success" endpoints=1/,
    );
  });

  it('and the proxy itself resolve the host name of an endpoint that has no address', async () => {
    expect(await sandbox.call('throughHostname')).toBe('resolver sees 10.0.1.1\nhello');
  });

  it('ends when the pod leaves the mesh, and returns with it', async () => {
    expect(await sandbox.call('leaveAndReturn')).toEqual({ away: 'ECONNREFUSED', back: web });
  });

  it('says so when no nameserver answers, and goes on with its own names', async () => {
    expect(await sandbox.call('withoutResolver')).toMatchObject({
      forwarded: { rcode: 'SERVFAIL', count: 0 },
      local: web,
    });
  }, 20_000);
});
