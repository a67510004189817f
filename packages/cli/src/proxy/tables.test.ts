import { describe, expect, it } from '@jest/globals';
import { readClusters, readConfigDump } from './admin-dump.ts';
import { clusterTable, clustersOf, parseClusterName } from './cluster-table.ts';
import { endpointTable, endpointsOf } from './endpoint-table.ts';
import { listenerTable, listenersOf } from './listener-table.ts';
import { routeTable, routesOf } from './route-table.ts';
import { secretTable, secretsOf } from './secret-table.ts';

const type = (name: string): string => `type.googleapis.com/${name}`;

const network = (name: string): string => type(`envoy.extensions.matching.common_inputs.network.v3.${name}`);
const chainName = (name: string): object => ({
  action: { name, typedConfig: { '@type': type('google.protobuf.StringValue'), value: name } },
});

/** As Envoy writes it, in the names of the .proto files, with an extension that we don't have. */
const dump = readConfigDump({
  configs: [
    { '@type': type('envoy.admin.v3.BootstrapConfigDump'), bootstrap: { node: { id: 'x' } } },
    {
      '@type': type('envoy.admin.v3.ClustersConfigDump'),
      dynamic_active_clusters: [
        {
          cluster: {
            '@type': type('envoy.config.cluster.v3.Cluster'),
            name: 'inbound-vip|80|http|web.shop.svc.cluster.local',
            type: 'EDS',
          },
        },
        { cluster: { '@type': type('envoy.config.cluster.v3.Cluster'), name: 'encap' } },
      ],
    },
    {
      '@type': type('envoy.admin.v3.ListenersConfigDump'),
      dynamic_listeners: [
        {
          name: 'main_internal',
          active_state: {
            listener: {
              '@type': type('envoy.config.listener.v3.Listener'),
              name: 'main_internal',
              filter_chains: [
                {
                  name: 'inbound-vip|80|http|web.shop.svc.cluster.local',
                  filters: [
                    { name: 'x', typed_config: { '@type': type('unheard.of.Filter'), what: 1 } },
                    {
                      name: 'hcm',
                      typed_config: {
                        '@type': type(
                          'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                        ),
                        route_config: {
                          virtual_hosts: [
                            { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/api' } }] },
                          ],
                        },
                      },
                    },
                  ],
                },
                {
                  name: 'direct-tcp',
                  filters: [
                    {
                      name: 'tcp',
                      typed_config: {
                        '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
                        cluster: 'encap',
                      },
                    },
                  ],
                },
              ],
              filter_chain_matcher: {
                matcher_tree: {
                  input: { name: 'ip', typed_config: { '@type': network('DestinationIPInput') } },
                  custom_match: {
                    name: 'ip',
                    typed_config: {
                      '@type': type('xds.type.matcher.v3.IPMatcher'),
                      range_matchers: [
                        {
                          ranges: [{ address_prefix: '10.96.0.9', prefix_len: 32 }],
                          on_match: {
                            matcher: {
                              matcher_tree: {
                                input: {
                                  name: 'port',
                                  typed_config: { '@type': network('DestinationPortInput') },
                                },
                                exact_match_map: {
                                  map: { 80: chainName('inbound-vip|80|http|web.shop.svc.cluster.local') },
                                },
                              },
                            },
                          },
                        },
                      ],
                    },
                  },
                },
                on_no_match: chainName('direct-tcp'),
              },
            },
          },
        },
      ],
    },
    {
      '@type': type('envoy.admin.v3.RoutesConfigDump'),
      static_route_configs: [
        {
          route_config: {
            '@type': type('envoy.config.route.v3.RouteConfiguration'),
            name: 'inbound-vip|80|http|web',
            virtual_hosts: [
              { name: 'inbound|http|80', domains: ['*'], routes: [{ match: { path: '/exact' } }] },
            ],
          },
        },
      ],
    },
    {
      '@type': type('envoy.admin.v3.SecretsConfigDump'),
      dynamic_warming_secrets: [
        {
          name: 'default',
          secret: { '@type': type('envoy.extensions.transport_sockets.tls.v3.Secret'), name: 'default' },
        },
      ],
    },
  ],
});

describe('proxy-config', () => {
  it('takes the name of a cluster apart', () => {
    expect(parseClusterName('outbound|80|v1|a.b')).toEqual({
      direction: 'outbound',
      port: '80',
      subset: 'v1',
      host: 'a.b',
    });
    expect(parseClusterName('encap').host).toBe('encap');
  });

  it('lists clusters, filtered', () => {
    expect(clusterTable(clustersOf(dump.clusters, {})).split('\n').length).toBe(4);
    const [, row] = clusterTable(clustersOf(dump.clusters, { port: 80 })).split('\n');
    expect(row?.split(/ {2,}/)).toEqual(['web.shop.svc.cluster.local', '80', 'http', 'inbound-vip', 'EDS']);
  });

  it('shows each way through the matcher of a listener to its chain, past filters it does not know', () => {
    const rows = listenerTable(listenersOf(dump.listeners, {})).trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split(/ {2,}/))).toEqual([
      [
        'main_internal',
        'inbound-vip|80|http|web.shop.svc.cluster.local',
        'ip=10.96.0.9/32 -> port=80',
        'Inline Route: /api*',
      ],
      ['main_internal', 'direct-tcp', 'ANY', 'Cluster: encap'],
    ]);
  });

  it('lists routes and secrets', () => {
    expect(routeTable(routesOf(dump.routes, undefined))).toContain('/exact');
    expect(secretTable(secretsOf(dump.secrets), new Date())).toMatch(/default +CA +WARMING +false/);
  });

  it('lists endpoints with their health, those behind the tunnel as well', () => {
    const clusters = readClusters({
      cluster_statuses: [
        {
          name: 'web',
          host_statuses: [
            { address: { socket_address: { address: '10.0.0.1', port_value: 80 } }, health_status: {} },
            {
              address: {
                envoy_internal_address: {
                  server_listener_name: 'connect_originate',
                  endpoint_id: '10.0.0.2:80',
                },
              },
              health_status: { eds_health_status: 'UNHEALTHY', failed_outlier_check: true },
            },
          ],
        },
      ],
    });
    const rows = endpointTable(endpointsOf(clusters, {})).trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split(/ {2,}/))).toEqual([
      ['10.0.0.1:80', 'HEALTHY', 'OK', 'web'],
      ['envoy://connect_originate/10.0.0.2:80', 'UNHEALTHY', 'FAILED', 'web'],
    ]);
    expect(endpointsOf(clusters, { status: 'healthy' }).length).toBe(1);
  });
});

it.each([{ workloads: [], services: [] }, [], null, 'text'])('refuses another program’s dump: %j', (json) => {
  expect(() => readConfigDump(json)).toThrow(expect.objectContaining({ code: 'WEFT1910' }));
});
