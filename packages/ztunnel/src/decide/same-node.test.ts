import { expect, it } from '@jest/globals';
import { decideOutbound } from './outbound.ts';
import { sameNodePod } from './same-node.ts';
import type { Service, Workload } from '../state/workload.ts';
import { podKey } from '../state/workload-store.ts';
import { at, gatewayAt, inService, ip, service, storeOf, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const server = workload('server', '10.0.0.2');
const web = service('web', '10.1.0.1');
const webPod = { ...server, ...inService(web) };
const waypoint = workload('waypoint', '10.0.0.9');
const gateway = workload('gateway', '10.0.0.8');

const cases: [string, string | undefined, readonly (Workload | Service)[], string?, string?][] = [
  ['a pod of this proxy', 'uid-server', [server]],
  ['a pod of this proxy behind a service', 'uid-server', [web, webPod], '10.1.0.1'],
  ['the pod itself', 'uid-client', [client], '10.0.0.1'],
  [
    'any pod of the proxy while it does not know its node',
    'uid-server',
    [{ ...server, node: 'x' }],
    '10.0.0.2',
    '',
  ],
  ['a pod that the agent has not handed over', undefined, [workload('unserved', '10.0.0.2')]],
  ['a pod of another node', undefined, [{ ...server, node: 'node-2' }]],
  ['a pod that is not captured', undefined, [{ ...server, protocol: 'TCP' }]],
  ['a pod that ends HBONE itself', undefined, [{ ...server, nativeTunnel: true }]],
  [
    'a pod with an application tunnel',
    undefined,
    [{ ...server, applicationTunnel: { protocol: 'PROXY', port: 0 } }],
  ],
  ['a pod with a waypoint', undefined, [{ ...server, waypoint: gatewayAt('10.0.0.9') }, waypoint]],
  [
    'a service with a waypoint',
    undefined,
    [{ ...web, waypoint: gatewayAt('10.0.0.9') }, webPod, waypoint],
    '10.1.0.1',
  ],
  [
    'a pod of another network',
    undefined,
    [web, { ...webPod, network: 'far', networkGateway: gatewayAt('10.0.0.8') }, gateway],
    '10.1.0.1',
  ],
  ['nothing that is known', undefined, [], '192.0.2.1'],
];

it.each(cases)('for %s the pod is %s', (_, expected, records, to = '10.0.0.2', nodeName = 'node-1') => {
  const plan = decideOutbound(
    { source: client, clientIp: ip('10.0.0.1'), destination: at(to, 80) },
    { store: storeOf(client, ...records), network: '', random: () => 0 },
  );
  if (plan.kind === 'resolve') throw new Error('not what a case is about');
  const served = new Map([client, server, waypoint, gateway].map((w) => [podKey(w), `uid-${w.name}`]));
  expect(sameNodePod(plan, { nodeName, podUidOf: (pod) => served.get(podKey(pod)) })).toBe(expected);
});
