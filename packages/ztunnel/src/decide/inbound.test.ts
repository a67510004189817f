import { describe, expect, it } from '@jest/globals';
import { decideInboundPlaintext, decideInboundTunnel, type InboundPlan } from './inbound.ts';
import { formatSocketAddress } from '../state/ip-address.ts';
import type { Service, Workload } from '../state/workload.ts';
import { at, gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const web = service('web', '10.1.0.1');
const local = workload('web-1', '10.0.0.2', inService(web, [[81, 8181]]));

function decide(
  authority: string,
  me: Workload = local,
  ...more: readonly (Workload | Service)[]
): InboundPlan {
  return decideInboundTunnel(
    { local: me, localIp: ip('10.0.0.2'), peerIp: ip('10.0.0.1'), authority, forwardedHost: undefined },
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

  it('refuses what it cannot do yet instead of leaving out the PROXY header', () => {
    expect(
      summary(decide('10.0.0.2:80', { ...local, applicationTunnel: { protocol: 'PROXY', port: 0 } })),
    ).toBe('503 WEFT1324');
  });

  it('shows the client to the application unless the client is the pod itself', () => {
    expect(decide('10.0.0.2:80')).toMatchObject({ bindSource: '10.0.0.1' });
    const hairpin = decideInboundTunnel(
      {
        local,
        localIp: ip('10.0.0.2'),
        peerIp: ip('10.0.0.2'),
        authority: '10.0.0.2:80',
        forwardedHost: undefined,
      },
      { store: storeOf(web, local), network: '', localhostAppTunnel: true },
    );
    expect(hairpin).toMatchObject({ kind: 'connect', bindSource: undefined });
  });

  it('names the service by the forwarded host if the pod is in it', () => {
    const plan = decideInboundTunnel(
      {
        local,
        localIp: ip('10.0.0.2'),
        peerIp: ip('10.0.0.1'),
        authority: '10.0.0.2:1',
        forwardedHost: web.hostname,
      },
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
