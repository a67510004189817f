import { describe, expect, it } from '@jest/globals';
import { decideOutbound, type OutboundPlan } from './outbound.ts';
import { formatSocketAddress } from '../state/ip-address.ts';
import type { Service, Workload } from '../state/workload.ts';
import { at, gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const server = workload('server', '10.0.0.2');
const plain = workload('plain', '10.0.0.3', { protocol: 'TCP' });
const web = service('web', '10.1.0.1');
const webPod = workload('web-1', '10.0.0.4', inService(web));
const waypointService = service('waypoint', '10.1.0.9', { ports: new Map([[15008, 15008]]) });
const waypointPod = workload('waypoint-1', '10.0.0.9', inService(waypointService));
const behindWaypoint = { waypoint: gatewayAt('10.1.0.9') };

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
      return `tunnel ${formatSocketAddress(made.upstream)} for ${made.authority} as ${made.acceptableIdentities
        .map((identity) => identity.replace('spiffe://cluster.local/ns/', ''))
        .join()}`;
    case 'refuse':
      return `refuse ${made.code}`;
  }
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
      'refuses other networks instead of leaking to them',
      [web, { ...webPod, network: 'far' }],
      '10.1.0.1',
      80,
      'refuse WEFT1312',
    ],
    [
      'refuses endpoints that have only a host name',
      [web, workload('web-1', undefined, { ...inService(web), hostname: 'db.example.com' })],
      '10.1.0.1',
      80,
      'refuse WEFT1319',
    ],
    ['refuses proxy ports on loopback', [], '127.0.0.1', 15001, 'refuse WEFT1314'],
    ['lets proxy ports of other hosts pass', [], '192.0.2.1', 15001, 'tcp 192.0.2.1:15001'],
  ])('%s', (_, records, to, port, expected) => {
    expect(summary(plan(records, to, port))).toBe(expected);
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
