import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { LogLevels } from '@weft/telemetry';
import { StatsStore } from '../stats/index.ts';
import { adminRoutes } from './admin.ts';
import type { AdminSources, ResourceKind, ResourceStatus } from './sources.ts';

const TYPES: Readonly<Record<ResourceKind, string>> = {
  bootstrap: 'envoy.config.bootstrap.v3.Bootstrap',
  cluster: 'envoy.config.cluster.v3.Cluster',
  listener: 'envoy.config.listener.v3.Listener',
  route: 'envoy.config.route.v3.RouteConfiguration',
  secret: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  endpoint: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
};
function resource(kind: ResourceKind, json: object, parts: Partial<ResourceStatus> = {}): ResourceStatus {
  const name = String(Reflect.get(json, 'name'));
  const typeUrl = `type.googleapis.com/${TYPES[kind]}`;
  return {
    kind,
    name,
    state: 'active',
    typeUrl,
    bytes: envoyFromJson(TYPES[kind], json),
    versionInfo: 'v1',
    lastUpdatedMs: 0,
    ...parts,
  };
}

function admin(parts: Partial<AdminSources> = {}) {
  const calls: string[] = [];
  const stats = new StatsStore();
  const logLevels = new LogLevels();
  const routes = adminRoutes({
    state: () => 'LIVE',
    node: { id: 'n', cluster: 'c', metadata: {} },
    version: '1',
    startTimeMs: 0,
    stats,
    logLevels,
    resources: () => [],
    clusters: () => [],
    listeners: () => [{ name: 'l', address: { kind: 'ip', ip: '::1', port: 80 } }],
    certificates: () => [],
    drainListeners: (o) => void calls.push(`drain ${JSON.stringify(o)}`),
    failHealthChecks: (failing) => void calls.push(`fail ${failing}`),
    reopenLogs: () => void calls.push('reopen'),
    quit: () => void calls.push('quit'),
    ...parts,
  });
  const ask = async (target: string, method = 'GET') => {
    const url = new URL(target, 'http://admin');
    const answer = await routes[url.pathname]?.({ method, url, headers: {}, remoteAddress: '', body: '' });
    return { status: answer?.status ?? 200, body: typeof answer?.body === 'string' ? answer.body : '' };
  };
  return { ask, calls, stats, logLevels };
}

describe('pages', () => {
  it.each([
    ['LIVE', 200],
    ['INITIALIZING', 503],
    ['DRAINING', 503],
  ] as const)('ready while %s is %i', async (state, status) => {
    expect(await admin({ state: () => state }).ask('/ready')).toEqual({ status, body: `${state}\n` });
  });

  it('list listeners and statistics', async () => {
    const { ask, stats } = admin();
    stats.scope('cluster.a').counter('upstream_rq_total').add();
    stats.counter('server.zero');
    expect((await ask('/listeners')).body).toBe('l::[::1]:80\n');
    expect((await ask('/stats?usedonly')).body).toBe('cluster.a.upstream_rq_total: 1\n');
    expect((await ask('/stats?filter=zero')).body).toBe('server.zero: 0\n');
    expect((await ask('/stats?filter=%28')).status).toBe(400);
    expect((await ask('/stats/prometheus?filter=rq_total')).body).toContain('{envoy_cluster_name="a"} 1\n');
    expect((await ask('/stats?format=prometheus')).body).toContain('# TYPE envoy_server_zero counter');
  });

  it.each([
    '/quitquitquit',
    '/drain_listeners?graceful',
    '/healthcheck/fail',
    '/reopen_logs',
    '/reset_counters',
    '/logging?level=debug',
  ])('%s changes nothing by GET', async (target) => {
    const { ask, calls } = admin();
    expect((await ask(target)).status).toBe(405);
    expect(calls).toEqual([]);
  });

  it('that act, by POST', async () => {
    const { ask, calls, logLevels } = admin();
    for (const target of [
      '/drain_listeners?graceful&inboundonly',
      '/healthcheck/fail',
      '/healthcheck/ok',
      '/reopen_logs',
      '/quitquitquit',
    ]) {
      expect((await ask(target, 'POST')).body).toBe('OK\n');
    }
    expect(calls).toEqual([
      'drain {"graceful":true,"inboundOnly":true}',
      'fail true',
      'fail false',
      'reopen',
      'quit',
    ]);
    await ask('/logging?level=warning', 'POST');
    const { body } = await ask('/logging?paths=rbac:debug', 'POST');
    expect(body).toBe('active loggers:\n  rbac: debug\n  default: warn\n');
    expect(logLevels.toString()).toBe('rbac=debug,warn');
    expect((await ask('/logging?level=loud', 'POST')).status).toBe(400);
  });
});

describe('clusters', () => {
  const limits = { maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4 };
  const clusters = () => [
    {
      name: 'a',
      addedViaApi: true,
      circuitBreakers: { default: limits, high: limits },
      hosts: [
        {
          address: { kind: 'internal', listener: 'connect_originate', endpointId: '10.0.0.1:80' } as const,
          hostname: '',
          stats: { cx_active: 1, rq_total: 2 },
          healthFlags: ['/failed_outlier_check'],
          weight: 1,
          priority: 0,
          locality: { region: 'r', zone: 'z', subZone: '' },
          successRate: -1,
        },
      ],
    },
  ];
  it('as text and as JSON', async () => {
    const { ask } = admin({ clusters });
    const { body } = await ask('/clusters');
    expect(body).toContain('a::default_priority::max_requests::3\n');
    expect(body).toContain('a::envoy://connect_originate/10.0.0.1:80::health_flags::/failed_outlier_check\n');
    expect(JSON.parse((await ask('/clusters?format=json')).body)).toMatchObject({
      cluster_statuses: [
        {
          name: 'a',
          host_statuses: [
            {
              address: { envoy_internal_address: { server_listener_name: 'connect_originate' } },
              stats: [
                { name: 'cx_active', value: '1', type: 'GAUGE' },
                { name: 'rq_total', value: '2', type: 'COUNTER' },
              ],
              health_status: { failed_outlier_check: true },
            },
          ],
        },
      ],
    });
  });
});

describe('config_dump', () => {
  const KEY = '-----BEGIN PRIVATE KEY-----';
  const secret = {
    name: 's',
    tls_certificate: { private_key: { inline_string: KEY }, certificate_chain: { inline_string: 'chain' } },
  };
  const resources = () => [
    resource('cluster', { name: 'c1' }),
    resource('cluster', { name: 'c0' }, { state: 'static', versionInfo: '' }),
    resource('listener', { name: 'l1' }),
    resource('listener', { name: 'l1' }, { state: 'warming', versionInfo: 'v2' }),
    resource('listener', { name: 'l2' }, { state: 'rejected', error: 'l2: filter_chains: no' }),
    resource('secret', secret),
    resource('endpoint', { cluster_name: 'c1' }),
  ];
  const dump = async (query = '') =>
    JSON.parse((await admin({ resources }).ask(`/config_dump${query}`)).body);

  it('has a section of each kind, with its type', async () => {
    const { configs } = await dump();
    expect(configs.map((c: { '@type': string }) => c['@type'].split('.').at(-1))).toEqual([
      'ClustersConfigDump',
      'ListenersConfigDump',
      'ScopedRoutesConfigDump',
      'RoutesConfigDump',
      'SecretsConfigDump',
      'EcdsConfigDump',
    ]);
    expect(configs[0]).toMatchObject({
      version_info: 'v1',
      static_clusters: [
        { cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'c0' } },
      ],
      dynamic_active_clusters: [{ version_info: 'v1', cluster: { name: 'c1' }, client_status: 'ACKED' }],
    });
    expect(configs[1].dynamic_listeners).toMatchObject([
      {
        name: 'l1',
        active_state: { version_info: 'v1' },
        warming_state: { version_info: 'v2' },
        client_status: 'ACKED',
      },
      { name: 'l2', client_status: 'NACKED', error_state: { details: 'l2: filter_chains: no' } },
    ]);
  });

  it('never shows a private key, and shows the chain', async () => {
    const text = JSON.stringify(await dump());
    expect(text).not.toContain('PRIVATE KEY');
    expect(text).not.toContain(Buffer.from(KEY).toString('base64'));
    expect(text).toContain('chain');
  });

  it('selects by resource and name, and shows endpoints on request', async () => {
    expect(await dump('?resource=dynamic_active_clusters')).toMatchObject({
      configs: [{ cluster: { name: 'c1' } }],
    });
    expect((await dump('?name_regex=%5Ec0&resource=static_clusters')).configs).toHaveLength(1);
    expect((await dump('?include_eds')).configs.at(-1)).toMatchObject({
      dynamic_endpoint_configs: [{ endpoint_config: { clusterName: 'c1' } }],
    });
  });
});
