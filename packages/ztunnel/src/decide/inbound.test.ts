import { describe, expect, it } from '@jest/globals';
import {
  decideInboundPlaintext,
  decideInboundTunnel,
  type InboundPlan,
  type TunnelRequest,
} from './inbound.ts';
import { formatSocketAddress } from '../state/ip-address.ts';
import { serviceKey, type Service, type Workload } from '../state/workload.ts';
import { at, gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const web = service('web', '10.1.0.1');
const local = workload('web-1', '10.0.0.2', inService(web, [[81, 8181]]));
const request: TunnelRequest = {
  local,
  localIp: ip('10.0.0.2'),
  peer: at('10.0.0.1', 40_000),
  peerIdentity: 'spiffe://cluster.local/ns/default/sa/client',
  authority: '10.0.0.2:80',
  forwardedHost: undefined,
};

function decide(
  authority: string,
  me: Workload = local,
  ...more: readonly (Workload | Service)[]
): InboundPlan {
  return decideInboundTunnel(
    { ...request, local: me, authority },
    { store: storeOf(web, me, ...more), network: '', localhostAppTunnel: true },
  );
}

function summary(plan: InboundPlan): string {
  return plan.kind === 'connect' ? formatSocketAddress(plan.upstream) : `${plan.status} ${plan.code}`;
}

const sandwich = gatewayAt('10.1.0.1');

describe('decideInboundTunnel', () => {
  it.each<[string, string, string]>([
    ['connects to the port that is asked for', '10.0.0.2:8080', '10.0.0.2:8080'],
    ['refuses the address of another pod', '10.0.0.7:8080', '400 WEFT1321'],
    ['refuses an address without a port', '10.0.0.2', '400 WEFT1320'],
    ['refuses port 0', '10.0.0.2:0', '400 WEFT1320'],
    ['refuses a port beyond 65535', '10.0.0.2:65536', '400 WEFT1320'],
    ['refuses a path', '10.0.0.2:80/x', '400 WEFT1320'],
    ['refuses user information', 'me@10.0.0.2:80', '400 WEFT1320'],
    ['refuses an empty authority', '', '400 WEFT1320'],
    ['refuses ports of the proxy', '10.0.0.2:15001', '503 WEFT1314'],
    ['maps a service port by the service', 'web.default.svc.cluster.local:80', '10.0.0.2:8080'],
    ['maps a service port by the endpoint', 'web.default.svc.cluster.local:81', '10.0.0.2:8181'],
    ['refuses a service port that nobody knows', 'web.default.svc.cluster.local:82', '503 WEFT1322'],
    ['refuses a service that nobody knows', 'nope.default.svc.cluster.local:80', '503 WEFT1322'],
  ])('%s', (_, authority, expected) => {
    expect(summary(decide(authority))).toBe(expected);
  });

  it('accepts an address that this pod is the waypoint of, by its service', () => {
    expect(summary(decide('10.0.0.7:8080', local, workload('b', '10.0.0.7', { waypoint: sandwich })))).toBe(
      '10.0.0.2:8080',
    );
  });

  it('accepts an address that this pod is the waypoint of, by its own address', () => {
    const behind = service('b', '10.1.0.7', { waypoint: gatewayAt('10.0.0.2') });
    expect(summary(decide('10.1.0.7:80', local, behind))).toBe('10.0.0.2:80');
  });

  it('accepts an address that this pod is the waypoint of, by its own host name', () => {
    const me = { ...local, hostname: 'gateway.example.com' };
    const destination = { kind: 'hostname', key: serviceKey('default', 'gateway.example.com') } as const;
    const behind = service('b', '10.1.0.7', { waypoint: { destination, hboneMtlsPort: 15_008 } });
    expect(summary(decide('10.1.0.7:80', me, behind))).toBe('10.0.0.2:80');
  });

  it('refuses an address whose waypoint is another', () => {
    const other = workload('w', '10.0.0.9');
    const behind = workload('b', '10.0.0.7', { waypoint: gatewayAt('10.0.0.9') });
    expect(summary(decide('10.0.0.7:80', local, other, behind))).toBe('400 WEFT1321');
  });

  it('lets an application tunnel override the port', () => {
    expect(
      summary(decide('10.0.0.7:80', { ...local, applicationTunnel: { protocol: 'NONE', port: 9000 } })),
    ).toBe('10.0.0.2:9000');
  });

  it('accepts any address for an application tunnel, whose end knows what it serves', () => {
    expect(
      summary(decide('10.9.9.9:80', { ...local, applicationTunnel: { protocol: 'NONE', port: 0 } })),
    ).toBe('10.0.0.2:80');
  });

  it('does not take a weighted waypoint for the single one that makes a sandwich', () => {
    const behind = service('b', '10.1.0.7', {
      weightedWaypoints: [{ destination: gatewayAt('10.0.0.2'), weight: 1 }],
    });
    expect(summary(decide('10.1.0.7:80', local, behind))).toBe('400 WEFT1321');
  });

  it('does not see a service that is private to another namespace', () => {
    const secret = service('secret', '10.1.0.8', { namespace: 'other', visibility: 'Namespace' });
    expect(summary(decide('secret.other.svc.cluster.local:80', local, secret))).toBe('503 WEFT1322');
  });

  it("takes the namesake in the pod's own namespace", () => {
    const shared = { hostname: 'shared.example.com', canonical: true };
    const other = service('x', '10.1.0.8', { ...shared, namespace: 'other', ports: new Map([[80, 1111]]) });
    const own = service('y', '10.1.0.9', { ...shared, canonical: false, ports: new Map([[80, 2222]]) });
    expect(summary(decide('shared.example.com:80', local, other, own))).toBe('10.0.0.2:2222');
  });

  it('maps a named port by the endpoint alone', () => {
    const named = service('named', '10.1.0.8', { ports: new Map([[80, 0]]) });
    const authority = 'named.default.svc.cluster.local:80';
    expect(summary(decide(authority, local, named))).toBe('503 WEFT1322');
    const me = workload('web-1', '10.0.0.2', inService(named, [[80, 7070]]));
    expect(summary(decide(authority, me, named))).toBe('10.0.0.2:7070');
  });

  describe('with an application tunnel of PROXY protocol', () => {
    const proxied: Workload = { ...local, applicationTunnel: { protocol: 'PROXY', port: 15088 } };
    const identity = request.peerIdentity;

    it('connects to the loopback and tells source, target and identity, while policy sees the pod', () => {
      expect(decide('10.9.9.9:80', proxied)).toMatchObject({
        upstream: at('127.0.0.1', 15088),
        bindSource: undefined,
        destination: at('10.0.0.2', 15088),
        proxyHeader: { source: request.peer, destination: at('10.9.9.9', 80), sourceIdentity: identity },
      });
    });

    it("connects to the pod's address from the client's without LOCALHOST_APP_TUNNEL", () => {
      const plan = decideInboundTunnel(
        { ...request, local: proxied },
        { store: storeOf(web, proxied), network: '', localhostAppTunnel: false },
      );
      expect(plan).toMatchObject({ upstream: at('10.0.0.2', 15088), bindSource: '10.0.0.1' });
    });

    it('keeps to the family of the pod', () => {
      const six: Workload = { ...proxied, addresses: [ip('2001:db8::2')] };
      const plan = decideInboundTunnel(
        { ...request, local: six, localIp: ip('2001:db8::2'), authority: '[2001:db8::2]:80' },
        { store: storeOf(web, six), network: '', localhostAppTunnel: true },
      );
      expect(plan).toMatchObject({ upstream: at('::1', 15088) });
    });

    it.each([
      [
        'of this network before others',
        [
          ['far', '10.7.0.1'],
          ['', '10.1.0.1'],
        ],
        '10.1.0.1',
      ],
      [
        'IPv4 before IPv6',
        [
          ['', '2001:db8::1'],
          ['', '10.1.0.1'],
        ],
        '10.1.0.1',
      ],
      ['of another network if there is no other', [['far', '10.7.0.1']], '10.7.0.1'],
    ])("names a service by its address %s, with the service's port", (_, vips, expected) => {
      const multi = service('multi', undefined, {
        vips: vips.map(([network = '', address = '']) => ({ network, ip: ip(address) })),
      });
      expect(decide('multi.default.svc.cluster.local:80', proxied, multi)).toMatchObject({
        proxyHeader: { destination: at(expected, 80) },
      });
    });

    it('refuses a service that has no address to name', () => {
      const headless = service('headless', undefined);
      expect(summary(decide('headless.default.svc.cluster.local:80', proxied, headless))).toBe(
        '503 WEFT1324',
      );
    });
  });

  it('shows the client to the application unless the client is the pod itself', () => {
    expect(decide('10.0.0.2:80')).toMatchObject({ bindSource: '10.0.0.1' });
    const hairpin = decideInboundTunnel(
      { ...request, peer: at('10.0.0.2', 40_000) },
      { store: storeOf(web, local), network: '', localhostAppTunnel: true },
    );
    expect(hairpin).toMatchObject({ kind: 'connect', bindSource: undefined });
  });

  it('names the service by the forwarded host if the pod is in it', () => {
    const plan = decideInboundTunnel(
      { ...request, authority: '10.0.0.2:1', forwardedHost: web.hostname },
      { store: storeOf(web, local), network: '', localhostAppTunnel: true },
    );
    expect(plan).toMatchObject({ service: { name: 'web' } });
    expect(decide('10.0.0.2:8080')).toMatchObject({ service: { name: 'web' } });
    expect(decide('10.0.0.2:1')).toMatchObject({ service: undefined });
  });
});

describe('decideInboundPlaintext', () => {
  const context = { store: storeOf(web, local), network: '', localhostAppTunnel: true };

  it('connects to the original destination from the address of the client', () => {
    const plan = decideInboundPlaintext(
      { local, peerIp: ip('10.0.0.1'), destination: at('10.0.0.2', 8080) },
      context,
    );
    expect(plan).toMatchObject({ kind: 'connect', upstream: at('10.0.0.2', 8080), bindSource: '10.0.0.1' });
  });

  it('refuses ports of the proxy', () => {
    const plan = decideInboundPlaintext(
      { local, peerIp: ip('10.0.0.1'), destination: at('10.0.0.2', 15006) },
      context,
    );
    expect(plan).toMatchObject({ kind: 'refuse', code: 'WEFT1314' });
  });
});
