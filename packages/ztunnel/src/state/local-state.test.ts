import { describe, expect, it } from '@jest/globals';
import { applyLocalState } from './local-state.ts';
import { MeshState } from './mesh-state.ts';
import { decideOutbound } from '../decide/outbound.ts';
import { at, ip } from '../testing/records.ts';

const text = `
workloads:
- name: client
  namespace: default
  serviceAccount: client
  workloadIps: [10.0.0.1]
  protocol: HBONE
  node: local
- uid: cluster1//v1/Pod/default/server
  name: server
  namespace: default
  workloadIps: ["10.0.0.2", "2001:db8::2"]
  protocol: HBONE
  waypoint: { destination: default/waypoint.default.svc.cluster.local, hboneMtlsPort: 15008 }
  applicationTunnel: { protocol: PROXY, port: 9000 }
  status: Healthy
  locality: { region: r1 }
  capacity: 2
  services: { default/web.example.com: { 80: 8080 } }
services:
- name: web
  namespace: default
  hostname: web.example.com
  vips: ["/10.1.0.1"]
  cidrVips: [{ network: far, cidr: 10.2.0.0/16 }]
  ports: { 80: 8080 }
  subjectAltNames: [spiffe://cluster.local/ns/default/sa/web]
  loadBalancer: { routingPreferences: [Network, Region], mode: Failover, healthPolicy: AllowAll }
  ipFamilies: Dual
policies:
- name: deny
  namespace: default
  scope: Namespace
  action: Deny
  rules:
  - - - principals: [{ Exact: cluster.local/ns/default/sa/client }]
        notDestinationPorts: [8080]
      - sourceIps: [10.0.0.0/8]
`;

describe('local state', () => {
  const load = (yaml: string): MeshState => {
    const state = new MeshState();
    applyLocalState(state, 'LOCAL_XDS', yaml);
    return state;
  };

  it('is decided by as what a control plane tells', () => {
    const { workloads } = load(text);
    const source = workloads.workloadAt('', ip('10.0.0.1'));
    if (source === undefined) throw new TypeError('no client');
    expect(
      decideOutbound(
        { source, clientIp: ip('10.0.0.1'), destination: at('10.1.0.1', 80) },
        { store: workloads, network: '', random: () => 0 },
      ),
    ).toMatchObject({
      kind: 'tunnel',
      upstream: at('10.0.0.2', 15008),
      acceptableIdentities: [
        'spiffe://cluster.local/ns/default/sa/web',
        'spiffe://cluster.local/ns/default/sa/default',
      ],
    });
    expect(workloads.serviceAt('far', ip('10.2.3.4'), 'default')?.name).toBe('web');
    expect(workloads.workloadAt('', ip('2001:db8::2'))).toMatchObject({
      uid: 'cluster1//v1/Pod/default/server',
      applicationTunnel: { protocol: 'PROXY', port: 9000 },
      waypoint: { destination: { kind: 'hostname', key: 'default/waypoint.default.svc.cluster.local' } },
      capacity: 2,
      locality: { region: 'r1', zone: '' },
    });
  });

  it('holds policies with all of their rules', () => {
    const [policy] = load(text).policies.all();
    expect(policy).toMatchObject({
      key: 'default/deny',
      scope: 'Namespace',
      action: 'Deny',
      rules: [
        {
          clauses: [
            {
              matches: [
                {
                  principals: [{ kind: 'exact', value: 'cluster.local/ns/default/sa/client' }],
                  notDestinationPorts: [8080],
                },
                { principals: [] },
              ],
            },
          ],
        },
      ],
    });
  });

  it('may be empty', () => {
    expect(load('').workloads.sizes).toEqual({ workloads: 0, services: 0 });
  });

  it.each([
    ['[', /LOCAL_XDS is not YAML/],
    ['workloads: 1', /LOCAL_XDS\.workloads: expected a list/],
    ['workloads: [{ protocol: UDP }]', /LOCAL_XDS\.workloads\[0\]\.protocol: expected one of TCP, HBONE/],
    ['workloads: [{ workloadIps: [nonsense] }]', /workloadIps\[0\]: expected an IP address/],
    ['services: [{ vips: [10.0.0.1] }]', /vips\[0\]: expected network\/address/],
    ['services: [{ ports: { 80: 70000 } }]', /ports\.80: expected a whole number/],
    ['policies: [{ rules: [[[{ paths: [a] }]]] }]', /paths: expected no such field/],
  ])('is refused with the place of the error: %s', (yaml, message) => {
    expect(() => load(yaml)).toThrow(message);
  });
});
