import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** How the damages of `redirectsAndRestores` are told. */
const told: Readonly<Record<string, readonly unknown[]>> = {
  iptables: [
    'IPv4 nat ISTIO_OUTPUT lacks "-d 169.254.7.127/32 -p tcp -j ACCEPT"',
    expect.stringMatching(/^IPv4 nat ISTIO_PRERT lacks "-s [^"]*", "[^"]* -j REDIRECT --to-ports 15006"$/),
    'IPv4 nat OUTPUT has "-p tcp -j ACCEPT" before "-j ISTIO_OUTPUT"',
    'IPv4 mangle PREROUTING has "-j ISTIO_PRERT" 0 times, not once',
    'IPv6 routing rule 32764 for 0x111/0xfff is missing',
  ],
  nftables: [
    expect.stringMatching(
      /^table istio-ambient-nat lacks "chain istio-output: ip daddr .* redirect to :15001"$/,
    ),
    'table istio-ambient-nat should not have "chain output: meta l4proto tcp accept"',
    'table istio-ambient-mangle is missing',
    'IPv4 routing table 100 lacks "local default"',
  ],
};
const backends = ['iptables-nft', 'iptables-legacy', 'nftables'];

skipIf(Sandbox.unavailable, describe)('redirection in the kernel', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = Sandbox.start(new URL('./testing/redirection.scenario.js', import.meta.url));
  });
  afterAll(() => sandbox.stop());

  it.each(backends)('is written as %s itself takes it', async (name) => {
    expect(await sandbox.call('isAccepted', name)).toEqual({ pod: true, bypass: true, guardrails: true });
  });

  it.each(backends)(
    'is applied once, noticed when damaged, repaired and removed without residue by %s',
    async (name) => {
      expect(await sandbox.call('redirectsAndRestores', name)).toEqual({
        inForce: true,
        idempotent: true,
        told: told[name === 'nftables' ? name : 'iptables'],
        unrepaired: [],
        dnsLeft: false,
        left: '',
      });
    },
  );

  it.each([
    ['iptables-nft', 'nftables'],
    ['nftables', 'iptables-nft'],
    ['iptables-legacy', 'iptables-nft'],
  ])('by %s is taken over by an agent that uses %s', async (from, to) => {
    expect(await sandbox.call('takesOver', from, to)).toEqual({
      result: 'repaired',
      again: 'in-force',
      fromIsGone: true,
      left: '',
    });
  });

  it.each(backends)('takes down the guardrails that a killed agent left, with %s', async (name) => {
    expect(await sandbox.call('survivesGuardrails', name)).toEqual({
      noticed: true,
      guarded: true,
      lifted: true,
      left: '',
    });
  });

  it.each(backends)('keeps the set of probed addresses by pod with %s', async (name) => {
    expect(await sandbox.call('keepsProbeSet', name)).toEqual({
      installs: 'written in-force in-force written',
      afterTakeover: 'b=10.0.0.1 a=fd00::1',
      afterRestart: expect.stringMatching(/c=10\.0\.0\.3/),
      afterRetain: 'b=10.0.0.1',
      afterRepair: 'b=10.0.0.1',
      empty: '',
      left: '',
    });
  });

  it.each(backends)(
    'lets redirected connections end properly when a pod leaves the mesh, with %s',
    async (name) => {
      expect(await sandbox.call('letsConnectionsEnd', name)).toEqual({
        said: 'still here',
        freshIsRedirected: 'false',
        reset: 'ECONNRESET',
        left: '',
      });
    },
  );

  it('finds a pod’s namespace by cgroup or by name, if it owns the pod’s address, and notices when there is another', async () => {
    expect(await sandbox.call('findsByCgroup')).toEqual({
      byCgroup: true,
      strangerAddress: false,
      strangerUid: false,
      byName: true,
      byNameStranger: false,
      current: {
        keptByProcess: true,
        keptByName: true,
        keptByUs: true,
        withoutAddress: false,
        succeeded: false,
      },
    });
  });
});

skipIf(Sandbox.unavailable, describe)('traffic of a pod', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = Sandbox.start(new URL('./testing/traffic.scenario.js', import.meta.url));
  });
  afterAll(() => sandbox.stop());

  /** Of both families: POD, PEER and PROBE stand for their addresses. */
  const everywhere: Readonly<Record<string, string>> = {
    'application to peer': '15001 from POD for PEER:8080',
    'ztunnel to peer': 'peer from POD',
    'peer to application': '15006 from PEER for POD:8080',
    'peer to 15008': '15008 from PEER',
    'probe of the node': 'app from PROBE',
    'ztunnel as peer to application': 'app from PEER',
    'application to itself': 'app from POD',
    'application to loopback': 'app from LOOPBACK',
    'virtual machine to peer': '15006 from MACHINE for PEER:8080',
    'DNS over TCP': '15053 from POD for PEER:53',
    'DNS over UDP': '15053 from PEER:53',
    'DNS of ztunnel': 'peer from PEER:53',
    audit: 'redirected',
  };
  const addresses = {
    POD: ['10.9.0.1', 'fd09::1'],
    PEER: ['10.7.0.1', 'fd07::1'],
    PROBE: ['169.254.7.127', 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff'],
    LOOPBACK: ['127.0.0.1', '::1'],
    MACHINE: ['10.8.0.2', 'fd08::2'],
  };
  const table = (changes: Readonly<Record<string, string>>): Record<string, string> => {
    const both = Object.entries({ ...everywhere, ...changes }).flatMap(([title, text]) =>
      [0, 1].map((i): [string, string] => [
        `${title} v${i === 0 ? 4 : 6}`,
        Object.entries(addresses).reduce((t, [name, of]) => t.replaceAll(name, of[i] ?? ''), text),
      ]),
    );
    return { ...Object.fromEntries(both), listeners: 'seen' };
  };

  const cases: readonly (readonly [string, object, Readonly<Record<string, string>>])[] = [
    ['as it is by default', {}, {}],
    [
      'without DNS capture',
      { dnsCapture: false },
      {
        'DNS over TCP': '15001 from POD for PEER:53',
        'DNS over UDP': 'peer from PEER:53',
      },
    ],
    [
      'that bypasses ztunnel inbound',
      { bypassInbound: true },
      { 'peer to application': 'app from PEER', 'virtual machine to peer': 'peer from MACHINE' },
    ],
    [
      'with a virtual interface',
      { virtualInterfaces: ['net1'] },
      { 'virtual machine to peer': '15001 from MACHINE for PEER:8080' },
    ],
  ];

  it.each(backends.flatMap((name) => cases.map((c) => [name, ...c] as const)))(
    'goes where it should by %s: a pod %s',
    async (name, _title, rules, changes) => {
      expect(await sandbox.call('sendsTraffic', name, { ...rules })).toEqual(table(changes));
    },
  );

  it.each(backends)('is probed without ztunnel noticing, by %s', async (name) => {
    expect(await sandbox.call('probesUnseen', name)).toEqual({
      without: 'not-redirected',
      withRules: 'redirected redirected',
      accepted: 0,
      withoutListener: 'not-redirected',
      withoutRoute: 'no-route',
    });
  });
});
