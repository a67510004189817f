import { expect, it } from '@jest/globals';
import { missingNames } from './missing-names.ts';
import type { Service, Workload } from '../state/workload.ts';
import { gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const web = service('web', '10.1.0.1');
const waypoint = service('waypoint', '10.1.0.9');
const named = { destination: { kind: 'hostname', key: waypoint.key }, hboneMtlsPort: 15008 } as const;
const remote = { ...inService(web), network: 'far', networkGateway: gatewayAt('10.0.0.8') };

it.each<[string, readonly (Workload | Service)[], string, readonly string[]]>([
  ['an address that nothing is known of', [], '10.1.0.1', ['/10.1.0.1']],
  ['a service', [web], '10.1.0.1', []],
  [
    'a service with a waypoint by address',
    [{ ...web, waypoint: gatewayAt('10.1.0.9') }],
    '10.1.0.1',
    ['/10.1.0.9'],
  ],
  ['a service with a waypoint by name', [{ ...web, waypoint: named }], '10.1.0.1', [waypoint.key]],
  ['a service whose waypoint is there', [{ ...web, waypoint: named }, waypoint], '10.1.0.1', []],
  [
    'a service with several waypoints',
    [
      {
        ...web,
        waypoint: named,
        weightedWaypoints: [
          { destination: named, weight: 1 },
          { destination: gatewayAt('10.1.0.9'), weight: 1 },
        ],
      },
    ],
    '10.1.0.1',
    [waypoint.key, '/10.1.0.9'],
  ],
  [
    'a service with an endpoint on another network',
    [web, workload('web-1', undefined, remote)],
    '10.1.0.1',
    ['/10.0.0.8'],
  ],
  [
    'a workload with a waypoint',
    [workload('web-1', '10.0.0.2', { waypoint: named })],
    '10.0.0.2',
    [waypoint.key],
  ],
])('names what is missing of %s', (_, records, destination, expected) => {
  expect(missingNames(storeOf(client, ...records), '', client, ip(destination))).toEqual(expected);
});
