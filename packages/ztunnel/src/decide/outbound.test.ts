import { describe, expect, it } from '@jest/globals';
import { decideOutbound, pickAddress, type OutboundPlan } from './outbound.ts';
import { Cidr, formatSocketAddress, ipBytes } from '../state/ip-address.ts';
import {
  serviceKey,
  type GatewayAddress,
  type Service,
  type ServiceKey,
  type Workload,
} from '../state/workload.ts';
import { at, gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const server = workload('server', '10.0.0.2');
const plain = workload('plain', '10.0.0.3', { protocol: 'TCP' });
const web = service('web', '10.1.0.1');
const webPod = workload('web-1', '10.0.0.4', inService(web));
const waypointService = service('waypoint', '10.1.0.9', { ports: new Map([[15008, 15008]]) });
const waypointPod = workload('waypoint-1', '10.0.0.9', inService(waypointService));
const eastWest = workload('east-west', '10.0.0.8');
const eastWestService = service('east-west', '10.1.0.8', {
  ports: new Map([[15008, 15008]]),
  subjectAltNames: ['spiffe://cluster.local/ns/gw/sa/gw'],
});
const withSans = { ...web, subjectAltNames: ['spiffe://cluster.local/ns/far/sa/web'] };
const behindWaypoint = { waypoint: gatewayAt('10.1.0.9') };

function gatewayNamed(key: ServiceKey, hboneMtlsPort = 15008): GatewayAddress {
  return { destination: { kind: 'hostname', key }, hboneMtlsPort };
}

function cidr(address: string, length: number): { network: string; cidr: Cidr } {
  return { network: '', cidr: new Cidr(ipBytes(ip(address)), length) };
}

function plan(
  records: readonly (Workload | Service)[],
  to: string,
  port: number,
  from = client,
): OutboundPlan {
  const clientIp = from.addresses[0] ?? ip('10.0.0.1');
  return decideOutbound(
    { source: from, clientIp, destination: at(to, port) },
    { store: storeOf(client, ...records), network: '', random: () => 0 },
  );
}

function summary(made: OutboundPlan): string {
  switch (made.kind) {
    case 'tcp':
      return `tcp ${formatSocketAddress(made.upstream)}`;
    case 'tunnel':
      return (
        `tunnel ${formatSocketAddress(made.upstream)} for ${made.authority} as ${names(made.acceptableIdentities)}` +
        (made.innerIdentities === undefined ? '' : ` inside as ${names(made.innerIdentities)}`)
      );
    case 'refuse':
      return `refuse ${made.code}`;
    case 'resolve':
      return `resolve ${made.hostname} preferring IPv${made.preferredFamily}: ${summary(made.at(ip('192.0.2.99')))}`;
  }
}

function names(identities: readonly string[]): string {
  return identities.map((identity) => identity.replace('spiffe://cluster.local/ns/', '')).join();
}

describe('decideOutbound', () => {
  it.each<[string, readonly (Workload | Service)[], string, number, string]>([
    ['passes on what the mesh does not know', [], '192.0.2.1', 443, 'tcp 192.0.2.1:443'],
    [
      'tunnels to a captured pod',
      [server],
      '10.0.0.2',
      80,
      'tunnel 10.0.0.2:15008 for 10.0.0.2:80 as default/sa/server',
    ],
    ['connects plainly to a pod that is not captured', [plain], '10.0.0.3', 80, 'tcp 10.0.0.3:80'],
    [
      'translates a service port to that of its pod',
      [web, webPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as default/sa/web-1',
    ],
    [
      'takes the port mapping of the endpoint before that of the service',
      [web, workload('web-1', '10.0.0.4', inService(web, [[80, 9090]]))],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:9090 as default/sa/web-1',
    ],
    [
      "accepts the service's additional identities",
      [{ ...web, subjectAltNames: ['spiffe://cluster.local/ns/x/sa/y'] }, webPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as x/sa/y,default/sa/web-1',
    ],
    ['refuses a service without endpoints', [web], '10.1.0.1', 80, 'refuse WEFT1311'],
    ['refuses a port that the service does not have', [web, webPod], '10.1.0.1', 81, 'refuse WEFT1311'],
    [
      'leaves out endpoints that are not healthy',
      [web, { ...webPod, isHealthy: false }],
      '10.1.0.1',
      80,
      'refuse WEFT1311',
    ],
    [
      'uses endpoints that are not healthy where the service allows all',
      [
        { ...web, loadBalancer: { mode: 'Standard', routingPreferences: [], healthPolicy: 'AllowAll' } },
        { ...webPod, isHealthy: false },
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as default/sa/web-1',
    ],
    [
      'goes to the original destination of a passthrough service',
      [{ ...web, loadBalancer: { mode: 'Passthrough', routingPreferences: [], healthPolicy: 'AllowAll' } }],
      '10.1.0.1',
      80,
      'tcp 10.1.0.1:80',
    ],
    [
      'does not see services that are private to another namespace',
      [{ ...service('web', '10.1.0.1', { namespace: 'other' }), visibility: 'Namespace' }],
      '10.1.0.1',
      80,
      'tcp 10.1.0.1:80',
    ],
    [
      "goes to a service's waypoint with the address that was dialled",
      [{ ...web, ...behindWaypoint }, webPod, waypointService, waypointPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'refuses when the waypoint has no pod',
      [{ ...web, ...behindWaypoint }, webPod, waypointService],
      '10.1.0.1',
      80,
      'refuse WEFT1313',
    ],
    [
      'says so when a service that requires its waypoint has none with a pod',
      [{ ...web, ...behindWaypoint, requiresWaypoint: true }, webPod, waypointService],
      '10.1.0.1',
      80,
      'refuse WEFT1317',
    ],
    [
      'never goes around a required waypoint, even if none was named',
      [{ ...web, requiresWaypoint: true }, webPod],
      '10.1.0.1',
      80,
      'refuse WEFT1317',
    ],
    [
      'goes to the waypoint of a workload that is addressed directly',
      [{ ...server, ...behindWaypoint }, waypointService, waypointPod],
      '10.0.0.2',
      80,
      'tunnel 10.0.0.9:15008 for 10.0.0.2:80 as default/sa/waypoint-1',
    ],
    [
      "ignores a workload's waypoint when a service is addressed",
      [web, { ...webPod, ...behindWaypoint }, waypointService, waypointPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as default/sa/web-1',
    ],
    [
      'takes a weighted waypoint before the single one',
      [
        {
          ...web,
          waypoint: gatewayAt('10.1.0.250'),
          weightedWaypoints: [{ destination: gatewayAt('10.1.0.9'), weight: 1 }],
        },
        webPod,
        waypointService,
        waypointPod,
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'prefers an address of its own to a range of addresses',
      [service('all', undefined, { cidrVips: [cidr('10.1.0.0', 8)] }), web, webPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as default/sa/web-1',
    ],
    [
      'takes the longest of the ranges',
      [
        service('wide', undefined, { cidrVips: [cidr('10.1.0.0', 8)] }),
        { ...web, vips: [], cidrVips: [cidr('10.1.0.0', 24)] },
        webPod,
      ],
      '10.1.0.77',
      80,
      'tunnel 10.0.0.4:15008 for 10.0.0.4:8080 as default/sa/web-1',
    ],
    [
      'resolves a waypoint by the host name of its service',
      [{ ...web, waypoint: gatewayNamed(waypointService.key) }, webPod, waypointService, waypointPod],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'resolves a waypoint by the host name of a workload',
      [
        { ...web, waypoint: gatewayNamed(serviceKey('default', 'wp.example.com'), 15009) },
        workload('wp', '10.0.0.9', { hostname: 'wp.example.com' }),
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15009 for 10.1.0.1:80 as default/sa/wp',
    ],
    [
      'resolves a waypoint by the address of a workload',
      [
        { ...web, waypoint: gatewayAt('10.0.0.9', 15009) },
        { ...waypointPod, services: new Map() },
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15009 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'accepts the identities that the service of a waypoint lists',
      [
        { ...web, ...behindWaypoint },
        { ...waypointService, subjectAltNames: ['spiffe://cluster.local/ns/x/sa/y'] },
        waypointPod,
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as x/sa/y,default/sa/waypoint-1',
    ],
    [
      'needs no port of the waypoint service where its pod has an application tunnel',
      [
        { ...web, ...behindWaypoint },
        { ...waypointService, ports: new Map() },
        { ...waypointPod, applicationTunnel: { protocol: 'PROXY', port: 15088 } },
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'falls back to the single waypoint when all weights are zero',
      [
        {
          ...web,
          ...behindWaypoint,
          weightedWaypoints: [{ destination: gatewayAt('10.1.0.250'), weight: 0 }],
        },
        waypointService,
        waypointPod,
      ],
      '10.1.0.1',
      80,
      'tunnel 10.0.0.9:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    [
      'refuses an endpoint on another network that has no gateway',
      [web, { ...webPod, network: 'far' }],
      '10.1.0.1',
      80,
      'refuse WEFT1312',
    ],
    [
      'reaches an endpoint on another network through its gateway, found by address, with the names of the service',
      [withSans, { ...webPod, network: 'far', networkGateway: gatewayAt('10.0.0.8') }, eastWest],
      '10.1.0.1',
      80,
      `tunnel 10.0.0.8:15008 for ${web.hostname}:80 as default/sa/east-west inside as far/sa/web`,
    ],
    [
      'reaches an endpoint on another network through its gateway, found by service',
      [
        withSans,
        { ...webPod, addresses: [], network: 'far', networkGateway: gatewayNamed(eastWestService.key) },
        eastWestService,
        { ...eastWest, ...inService(eastWestService) },
      ],
      '10.1.0.1',
      80,
      `tunnel 10.0.0.8:15008 for ${web.hostname}:80 as gw/sa/gw,default/sa/east-west inside as far/sa/web`,
    ],
    [
      'accepts nobody inside where the service lists nobody',
      [web, { ...webPod, network: 'far', networkGateway: gatewayAt('10.0.0.8') }, eastWest],
      '10.1.0.1',
      80,
      `tunnel 10.0.0.8:15008 for ${web.hostname}:80 as default/sa/east-west inside as `,
    ],
    [
      'refuses a gateway that is not known',
      [withSans, { ...webPod, network: 'far', networkGateway: gatewayAt('10.0.0.8') }],
      '10.1.0.1',
      80,
      'refuse WEFT1312',
    ],
    [
      'asks the gateway for a port that its service has',
      [
        withSans,
        { ...webPod, network: 'far', networkGateway: gatewayNamed(eastWestService.key) },
        { ...eastWestService, ports: new Map() },
        {
          ...eastWest,
          ...inService(eastWestService),
          applicationTunnel: { protocol: 'NONE', port: 1 },
        },
      ],
      '10.1.0.1',
      80,
      'refuse WEFT1312',
    ],
    [
      'reaches a waypoint on another network through its gateway, with the names of the waypoint',
      [
        { ...withSans, ...behindWaypoint },
        { ...waypointService, subjectAltNames: ['spiffe://cluster.local/ns/far/sa/waypoint'] },
        { ...waypointPod, addresses: [], network: 'far', networkGateway: gatewayAt('10.0.0.8') },
        eastWest,
      ],
      '10.1.0.1',
      80,
      `tunnel 10.0.0.8:15008 for ${web.hostname}:80 as default/sa/east-west inside as far/sa/waypoint`,
    ],
    [
      'refuses a workload on another network that is addressed directly, as only a name means the same there',
      [{ ...server, ...behindWaypoint }, waypointService, { ...waypointPod, network: 'far' }],
      '10.0.0.2',
      80,
      'refuse WEFT1312',
    ],
    [
      'has the host name of an endpoint resolved that has nothing else',
      [web, workload('web-1', undefined, { ...inService(web), hostname: 'db.example.com' })],
      '10.1.0.1',
      80,
      'resolve db.example.com preferring IPv4: tunnel 192.0.2.99:15008 for 192.0.2.99:8080 as default/sa/web-1',
    ],
    [
      'has the host name of a waypoint resolved, and keeps the authority',
      [
        { ...web, waypoint: gatewayAt('10.1.0.9') },
        waypointService,
        { ...waypointPod, addresses: [], hostname: 'waypoint.example.com' },
      ],
      '10.1.0.1',
      80,
      'resolve waypoint.example.com preferring IPv4: tunnel 192.0.2.99:15008 for 10.1.0.1:80 as default/sa/waypoint-1',
    ],
    ['refuses proxy ports on loopback', [], '127.0.0.1', 15001, 'refuse WEFT1314'],
    ['lets proxy ports of other hosts pass', [], '192.0.2.1', 15001, 'tcp 192.0.2.1:15001'],
  ])('%s', (_, records, to, port, expected) => {
    expect(summary(plan(records, to, port))).toBe(expected);
  });

  it('refuses the SOCKS port on loopback where pods have one', () => {
    const toSocks = { source: client, clientIp: ip('10.0.0.1'), destination: at('127.0.0.1', 15080) };
    const context = { store: storeOf(client), network: '', random: () => 0 };
    expect(summary(decideOutbound(toSocks, context))).toBe('tcp 127.0.0.1:15080');
    expect(summary(decideOutbound(toSocks, { ...context, socks5: true }))).toBe('refuse WEFT1314');
  });

  it("sends a waypoint's own traffic directly to the workload behind it", () => {
    const made = plan(
      [{ ...server, ...behindWaypoint }, waypointService, waypointPod],
      '10.0.0.2',
      80,
      waypointPod,
    );
    expect(summary(made)).toBe('tunnel 10.0.0.2:15008 for 10.0.0.2:80 as default/sa/server');
  });

  it('prefers the pod when a workload and a service have one address, unless only the service can be used', () => {
    const clash = service('clash', '10.0.0.2', { waypoint: gatewayAt('10.1.0.9') });
    // The first look finds the workload, hence no service waypoint; the second finds the service.
    expect(summary(plan([server, clash, waypointService, waypointPod], '10.0.0.2', 80))).toBe(
      'refuse WEFT1311',
    );
  });
});

it.each<[string, string[], 4 | 6, number, string | undefined]>([
  ['of the preferred family', ['2001:db8::1', '192.0.2.1'], 4, 0, '192.0.2.1'],
  ['of the other family if there is none', ['2001:db8::1'], 4, 0, '2001:db8::1'],
  ['at random', ['192.0.2.1', '192.0.2.2', '2001:db8::1'], 4, 0.9, '192.0.2.2'],
  ['not at all where there is none', [], 4, 0, undefined],
])('picks an address of a name %s', (_, addresses, family, random, expected) => {
  expect(
    pickAddress(
      addresses.map((a) => ip(a)),
      family,
      () => random,
    ),
  ).toBe(expected);
});
