import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createMetricsRegistry, silentLogger, WeftError, type MetricsRegistry } from '@weft/telemetry';
import { Demand } from '@weft/xds';
import { ConnectionController } from './connection-controller.ts';
import { ConnectionTable } from './connection-table.ts';
import { PolicyGate } from './policy-gate.ts';
import type { Order, OutboundQuestion, TunnelQuestion } from '../data/messages.ts';
import { OnDemandDnsMetric } from '../dns/dns-metrics.ts';
import type { HostnameResolver } from '../dns/hostname-resolver.ts';
import { MeshState } from '../state/mesh-state.ts';
import type { Service, Workload } from '../state/workload.ts';
import { AccessLog } from '../telemetry/access-log.ts';
import { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { at, inService, ip, policy, service, workload } from '../testing/records.ts';

let state: MeshState;
let connections: ConnectionTable;
let controller: ConnectionController;
let orders: Map<number, Order>;
let registry: MetricsRegistry;
let demand: Demand;
let demanded: string[];
/** What the control plane makes of a name that is asked for; undefined while it says nothing. */
let answer: (name: string) => 'present' | 'absent' | undefined;
let resolve: HostnameResolver['resolve'];

beforeEach(() => {
  state = new MeshState();
  orders = new Map();
  const metrics = new ZtunnelMetrics(createMetricsRegistry(), {
    istioVersion: 'test',
    pods: () => undefined,
  });
  const log = new AccessLog(silentLogger);
  registry = createMetricsRegistry();
  demand = new Demand();
  demanded = [];
  answer = () => 'absent';
  demand.watch({
    subscribe: (name) => {
      demanded.push(name);
      const found = answer(name);
      if (found !== undefined) demand.told(name, found);
    },
    unsubscribe: () => undefined,
  });
  connections = new ConnectionTable(metrics, log);
  const gate = new PolicyGate({
    state,
    connections,
    logger: silentLogger,
    logAtInfo: false,
    unknownPolicy: 'deny',
    cut: () => undefined,
  });
  controller = new ConnectionController({
    state,
    network: '',
    nodeName: 'node-1',
    localhostAppTunnel: true,
    socks5: false,
    responseBaggage: true,
    podOf: (uid) => ({ name: uid, namespace: 'default', serviceAccount: uid }),
    podUidOf: ({ name }) => (name === 'server' ? 'uid of server' : undefined),
    connections,
    gate,
    metrics,
    log,
    order: (id, order) => orders.set(id, order),
    hostnames: { resolve: (hostname) => resolve(hostname) },
    onDemandDns: new OnDemandDnsMetric(registry),
    demand,
  });
});

const web = service('web', '10.1.0.1');
const client = workload('client', '10.0.0.1');
const server = workload('server', '10.0.0.2', { ...inService(web), node: 'node-2' });

function tell(...records: readonly (Workload | Service)[]): void {
  state.applyAddresses(
    records.map((r) => ('uid' in r ? { kind: 'workload', workload: r } : { kind: 'service', service: r })),
  );
}

const outbound: OutboundQuestion = {
  kind: 'outbound',
  connection: 1,
  podUid: 'client',
  peer: at('10.0.0.1', 4000),
  destination: at('10.1.0.1', 80),
};
const tunnel: TunnelQuestion = {
  kind: 'inbound-tunnel',
  connection: 2,
  podUid: 'client',
  peer: at('10.0.0.2', 5000),
  localIp: ip('10.0.0.1'),
  peerIdentity: 'spiffe://cluster.local/ns/default/sa/server',
  authority: '10.0.0.1:8080',
  headers: [],
};

describe('ConnectionController', () => {
  it('orders a tunnel with the headers that describe the client', async () => {
    tell(client, server, web);
    await controller.onQuestion(outbound);
    expect(orders.get(1)).toEqual({
      kind: 'tunnel',
      upstream: at('10.0.0.2', 15_008),
      authority: '10.0.0.2:8080',
      identity: 'spiffe://cluster.local/ns/default/sa/client',
      acceptableIdentities: ['spiffe://cluster.local/ns/default/sa/server'],
      sourceIp: '10.0.0.1',
      headers: [
        [
          'baggage',
          'k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=client,service.name=client,service.version=latest',
        ],
        ['forwarded', 'for="10.0.0.1:4000";host=web.default.svc.cluster.local'],
        ['traceparent', expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)],
      ],
    });
    expect([...connections.all()]).toHaveLength(1);
  });

  it('answers once the pod is known, and not at all when its client is gone by then', async () => {
    const first = controller.onQuestion(outbound);
    const second = controller.onQuestion({ ...outbound, connection: 3 });
    controller.onClosed({ kind: 'closed', connection: 3, received: 0, sent: 0 });
    tell(client, server, web);
    await Promise.all([first, second]);
    expect([...orders.keys()]).toEqual([1]);
    expect([...connections.all()].map(({ id }) => id)).toEqual([1]);
  });

  it('names the pod of this node that the tunnel would end in, and lists both ends as local when it did not', async () => {
    const neighbour = { ...server, node: 'node-1' };
    tell(client, neighbour, web);
    await controller.onQuestion(outbound);
    expect(orders.get(1)).toMatchObject({
      kind: 'tunnel',
      sameNode: { podUid: 'uid of server', sourceIps: ['10.0.0.1'] },
    });
    expect([...connections.all()].map(({ protocol }) => protocol)).toEqual(['HBONE']);
    await controller.onQuestion({ ...tunnel, relayOf: outbound.connection });
    expect([...connections.all()].map(({ protocol }) => protocol)).toEqual(['LOCAL', 'LOCAL']);
  });

  it('connects a tunnel from the address of its client and describes the destination in return', async () => {
    tell(client, server);
    await controller.onQuestion(tunnel);
    expect(orders.get(2)).toMatchObject({
      kind: 'connect',
      upstream: at('10.0.0.1', 8080),
      bindSource: '10.0.0.2',
      responseHeaders: [['baggage', expect.stringContaining('service.name=client')]],
    });
  });

  it.each([
    ['401 for a denied tunnel', true, '10.0.0.1:8080', 401],
    ['400 for the address of another pod', false, '10.0.0.9:8080', 400],
    ['503 for a port of the proxy', false, '10.0.0.1:15006', 503],
  ])('refuses with %s and forgets it', async (_, isDenied, authority, status) => {
    tell(client, server);
    if (isDenied) state.applyPolicies([{ kind: 'policy', policy: policy('default/deny') }]);
    await controller.onQuestion({ ...tunnel, authority });
    expect(orders.get(2)).toEqual({ kind: 'refuse', status });
    expect([...connections.all()]).toEqual([]);
  });

  it('ignores what a peer says of its address when it comes through a gateway', async () => {
    tell(client, server);
    await controller.onQuestion({
      ...tunnel,
      headers: [
        ['x-forwarded-network', 'far'],
        ['baggage', 'k8s.deployment.name=remote'],
      ],
    });
    const [connection] = connections.all();
    expect(connection?.series?.labels.source_workload).toBe('remote');
  });
});

describe('an endpoint with a host name and no address', () => {
  const db = workload('db', undefined, { ...inService(web), hostname: 'db.example.com' });
  const ask = async (): Promise<Order | undefined> => {
    tell(web, client, db);
    await controller.onQuestion(outbound);
    return orders.get(outbound.connection);
  };

  it('is reached at one of the addresses of its name, of the family that the client chose', async () => {
    resolve = () => Promise.resolve([ip('2001:db8::5'), ip('192.0.2.5')]);
    expect(await ask()).toMatchObject({
      kind: 'tunnel',
      upstream: at('192.0.2.5', 15008),
      authority: '192.0.2.5:8080',
    });
    expect(await registry.metrics()).toMatch(
      /istio_on_demand_dns_total\{source_workload="client",.*hostname="db.example.com"\} 1\n/,
    );
  });

  it('is refused when its name has no address', async () => {
    resolve = () => Promise.reject(new WeftError('WEFT1319', 'db.example.com has no address'));
    expect(await ask()).toEqual({ kind: 'refuse', status: 503 });
  });

  it('is forgotten when the client goes away while its name is being resolved', async () => {
    let answer = (): void => undefined;
    resolve = () => new Promise((done) => (answer = () => done([ip('192.0.2.5')])));
    const asked = ask();
    await new Promise((done) => setImmediate(done));
    controller.onClosed({ kind: 'closed', connection: outbound.connection, received: 0, sent: 0 });
    answer();
    expect(await asked).toBeUndefined();
    expect([...connections.all()]).toEqual([]);
  });
});

describe('on demand', () => {
  const waypoint = service('waypoint', undefined, { ports: new Map([[15008, 15008]]) });
  const waypointPod = workload('waypoint-1', '10.0.0.9', inService(waypoint));
  const named = { destination: { kind: 'hostname', key: waypoint.key }, hboneMtlsPort: 15008 } as const;

  it('asks for the destination and what that refers to, and decides when all of it is there', async () => {
    tell(client);
    answer = (name) => {
      if (name === '/10.1.0.1') tell({ ...web, waypoint: named }, server);
      if (name === waypoint.key) tell(waypoint, waypointPod);
      return 'present';
    };
    await controller.onQuestion(outbound);
    expect(demanded).toEqual(['/10.1.0.1', waypoint.key]);
    expect(orders.get(outbound.connection)).toMatchObject({
      kind: 'tunnel',
      upstream: at('10.0.0.9', 15008),
    });
  });

  it('passes on what the control plane knows nothing of', async () => {
    tell(client);
    await controller.onQuestion({ ...outbound, destination: at('192.0.2.1', 443) });
    expect(demanded).toEqual(['/192.0.2.1']);
    expect(orders.get(outbound.connection)).toEqual({ kind: 'connect', upstream: at('192.0.2.1', 443) });
  });

  it('asks for nothing that it knows', async () => {
    tell(client, web, server);
    await controller.onQuestion(outbound);
    expect(demanded).toEqual([]);
  });

  it('decides by what it has when the control plane says nothing', async () => {
    jest.useFakeTimers();
    try {
      tell(client);
      answer = () => undefined;
      const asked = controller.onQuestion(outbound);
      await jest.advanceTimersByTimeAsync(5_000);
      await asked;
      expect(orders.get(outbound.connection)).toMatchObject({ kind: 'connect' });
    } finally {
      jest.useRealTimers();
    }
  });
});
