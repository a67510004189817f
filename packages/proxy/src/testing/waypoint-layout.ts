const type = (name: string) => `type.googleapis.com/${name}`;
const networkInput = (name: string) => ({
  name,
  typed_config: { '@type': type(`envoy.extensions.matching.common_inputs.network.v3.${name}`) },
});
const chainName = (value: string) => ({
  action: { name: value, typed_config: { '@type': type('google.protobuf.StringValue'), value } },
});
const sds = (name: string) => ({
  name,
  sds_config: {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
    initial_fetch_timeout: '0s',
    resource_api_version: 'V3',
  },
});
const originalDestination = {
  name: 'envoy.filters.listener.original_dst',
  typed_config: { '@type': type('envoy.extensions.filters.listener.original_dst.v3.OriginalDst') },
};
const httpInspector = {
  name: 'envoy.filters.listener.http_inspector',
  typed_config: { '@type': type('envoy.extensions.filters.listener.http_inspector.v3.HttpInspector') },
};
const router = {
  name: 'envoy.filters.http.router',
  typed_config: {
    '@type': type('envoy.extensions.filters.http.router.v3.Router'),
    suppress_envoy_headers: true,
  },
};

export interface LayoutEndpoint {
  /** `ip:port` of the workload; reached through its ztunnel. */
  readonly address: string;
  /** Whom the tunnel's other end has to be. */
  readonly identity?: string;
}

export interface LayoutService {
  readonly vip: string;
  readonly port: number;
  readonly host: string;
  readonly protocol: 'http' | 'tcp' | 'auto';
  readonly endpoints: readonly LayoutEndpoint[];
  /** HTTP filters before the router. */
  readonly httpFilters?: readonly object[];
  /** Network filters before tcp_proxy. */
  readonly networkFilters?: readonly object[];
  /** Fields of the route action. */
  readonly route?: object;
}

export interface Layout {
  readonly trustDomain: string;
  /** The port on which workloads' ztunnels take tunnels: 15008 in a mesh. */
  readonly ztunnelPort: number;
  readonly services: readonly LayoutService[];
}

/** The resources of a waypoint as Istio lays them out, as a static bootstrap in ProtoJSON. */
export function waypointBootstrap(layout: Layout): object {
  return {
    node: { id: 'waypoint~127.0.0.1~waypoint.shop~shop.svc.cluster.local', cluster: 'waypoint.shop' },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: {
          '@type': type('envoy.extensions.bootstrap.internal_listener.v3.InternalListener'),
          buffer_size_kb: 64,
        },
      },
    ],
    static_resources: {
      listeners: [connectTerminate(layout), mainInternal(layout), connectOriginate()],
      clusters: [
        mainInternalCluster(),
        connectOriginateCluster(layout),
        ...layout.services.flatMap(({ protocol, ...service }) =>
          (protocol === 'auto' ? (['http', 'tcp'] as const) : [protocol]).map((layer) =>
            serviceCluster({ ...service, protocol }, layer),
          ),
        ),
      ],
    },
  };
}

function connectTerminate({ trustDomain }: Layout): object {
  const shared = (key: string, format: string, factory?: string) => ({
    object_key: key,
    ...(factory === undefined ? {} : { factory_key: factory }),
    format_string: { text_format_source: { inline_string: format }, omit_empty_values: true },
    shared_with_upstream: 'ONCE',
  });
  return {
    name: 'connect_terminate',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        name: 'default',
        transport_socket: {
          name: 'tls',
          typed_config: {
            '@type': type('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
            require_client_certificate: true,
            common_tls_context: tlsContext(trustDomain),
          },
        },
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type(
                'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              ),
              stat_prefix: 'connect_terminate',
              route_config: {
                name: 'default',
                virtual_hosts: [
                  {
                    name: 'default',
                    domains: ['*'],
                    routes: [
                      {
                        name: 'default',
                        match: { connect_matcher: {} },
                        route: {
                          cluster: 'main_internal',
                          upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                        },
                      },
                    ],
                  },
                ],
              },
              http_filters: [
                {
                  name: 'connect_authority',
                  typed_config: {
                    '@type': type('envoy.extensions.filters.http.set_filter_state.v3.Config'),
                    on_request_headers: [
                      shared('envoy.filters.listener.original_dst.local_ip', '%REQ(:AUTHORITY)%'),
                      shared('io.istio.connect_authority', '%REQ(:AUTHORITY)%', 'envoy.string'),
                      shared(
                        'envoy.filters.listener.original_dst.remote_ip',
                        '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%',
                      ),
                      shared('io.istio.peer_principal', '%DOWNSTREAM_PEER_URI_SAN%', 'envoy.string'),
                      shared('io.istio.local_principal', '%DOWNSTREAM_LOCAL_URI_SAN%', 'envoy.string'),
                    ],
                  },
                },
                router,
              ],
              http2_protocol_options: { allow_connect: true, max_concurrent_streams: 100 },
              stream_idle_timeout: '0s',
              forward_client_cert_details: 'APPEND_FORWARD',
              set_current_client_cert_details: { subject: true, uri: true, dns: true },
              upgrade_configs: [{ upgrade_type: 'CONNECT' }],
              server_name: 'istio-envoy',
            },
          },
        ],
      },
    ],
  };
}

function mainInternal({ services }: Layout): object {
  const byAddress = groupByAddress(services);
  return {
    name: 'main_internal',
    internal_listener: {},
    listener_filters: [originalDestination, httpInspectorFor(services)],
    filter_chain_matcher: {
      matcher_tree: {
        input: networkInput('DestinationIPInput'),
        custom_match: {
          name: 'ip',
          typed_config: {
            '@type': type('xds.type.matcher.v3.IPMatcher'),
            range_matchers: [...byAddress].map(([vip, ofAddress]) => ({
              ranges: [{ address_prefix: vip, prefix_len: 32 }],
              on_match: {
                matcher: {
                  matcher_tree: {
                    input: networkInput('DestinationPortInput'),
                    exact_match_map: {
                      map: Object.fromEntries(ofAddress.map((service) => [service.port, onMatch(service)])),
                    },
                  },
                },
              },
            })),
          },
        },
      },
    },
    filter_chains: services.flatMap((service) => [
      ...(service.protocol === 'tcp' ? [] : [httpChain(service)]),
      ...(service.protocol === 'http' ? [] : [tcpChain(service)]),
    ]),
  };
}

function groupByAddress(services: readonly LayoutService[]): Map<string, LayoutService[]> {
  const groups = new Map<string, LayoutService[]>();
  for (const service of services) groups.set(service.vip, [...(groups.get(service.vip) ?? []), service]);
  return groups;
}

/** Off where the protocol is declared: a silent client must not wait. */
function httpInspectorFor(services: readonly LayoutService[]): object {
  const declared = services.filter(({ protocol }) => protocol !== 'auto').map(({ port }) => port);
  if (declared.length === 0) return httpInspector;
  const rules = declared.map((port) => ({ destination_port_range: { start: port, end: port + 1 } }));
  return {
    ...httpInspector,
    filter_disabled: rules.length === 1 ? rules[0] : { or_match: { rules } },
  };
}

function onMatch(service: LayoutService): object {
  if (service.protocol !== 'auto') return chainName(clusterName(service, service.protocol));
  const http = chainName(clusterName(service, 'http'));
  return {
    matcher: {
      matcher_tree: {
        input: networkInput('ApplicationProtocolInput'),
        exact_match_map: { map: { "'h2c'": http, "'http/1.1'": http } },
      },
      on_no_match: chainName(clusterName(service, 'tcp')),
    },
  };
}

export function clusterName({ port, host }: LayoutService, layer: 'http' | 'tcp'): string {
  return `inbound-vip|${port}|${layer}|${host}`;
}

function httpChain(service: LayoutService): object {
  const name = clusterName(service, 'http');
  return {
    name,
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: {
          '@type': type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
          stat_prefix: name,
          normalize_path: true,
          stream_idle_timeout: '0s',
          upgrade_configs: [{ upgrade_type: 'websocket' }],
          route_config: {
            name,
            virtual_hosts: [
              {
                name: `inbound|http|${service.port}`,
                domains: ['*'],
                routes: [
                  {
                    name: 'default',
                    match: { prefix: '/' },
                    route: { cluster: name, timeout: '0s', max_grpc_timeout: '0s', ...service.route },
                  },
                ],
              },
            ],
          },
          http_filters: [...(service.httpFilters ?? []), router],
        },
      },
    ],
  };
}

function tcpChain(service: LayoutService): object {
  const name = clusterName(service, 'tcp');
  return {
    name,
    filters: [
      ...(service.networkFilters ?? []),
      {
        name: 'envoy.filters.network.tcp_proxy',
        typed_config: {
          '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
          stat_prefix: name,
          cluster: name,
        },
      },
    ],
  };
}

function connectOriginate(): object {
  return {
    name: 'connect_originate',
    internal_listener: {},
    listener_filters: [originalDestination],
    filter_chains: [
      {
        filters: [
          {
            name: 'expected_identity',
            typed_config: {
              '@type': type('envoy.extensions.filters.network.set_filter_state.v3.Config'),
              on_new_connection: [
                {
                  object_key: 'envoy.network.upstream_subject_alt_names',
                  format_string: {
                    text_format_source: { inline_string: '%DYNAMIC_METADATA(weft.dev:identity)%' },
                    omit_empty_values: true,
                  },
                  skip_if_empty: true,
                  shared_with_upstream: 'ONCE',
                },
              ],
            },
          },
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
              stat_prefix: 'connect_originate',
              cluster: 'connect_originate',
              tunneling_config: { hostname: '%DOWNSTREAM_LOCAL_ADDRESS%' },
            },
          },
        ],
      },
    ],
  };
}

const internalUpstream = (metadata: readonly string[]) => ({
  name: 'envoy.transport_sockets.internal_upstream',
  typed_config: {
    '@type': type('envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport'),
    passthrough_metadata: metadata.map((name) => ({ kind: { host: {} }, name })),
    transport_socket: {
      name: 'envoy.transport_sockets.raw_buffer',
      typed_config: { '@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer') },
    },
  },
});

function mainInternalCluster(): object {
  return {
    name: 'main_internal',
    type: 'STATIC',
    load_assignment: {
      cluster_name: 'main_internal',
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: {
                address: {
                  envoy_internal_address: { server_listener_name: 'main_internal', endpoint_id: 'x' },
                },
              },
            },
          ],
        },
      ],
    },
    transport_socket: internalUpstream([]),
  };
}

function serviceCluster(service: LayoutService, layer: 'http' | 'tcp'): object {
  const name = clusterName(service, layer);
  return {
    name,
    type: 'STATIC',
    connect_timeout: '10s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: service.endpoints.map(({ address, identity }) => ({
            endpoint: {
              address: {
                envoy_internal_address: { server_listener_name: 'connect_originate', endpoint_id: address },
              },
            },
            metadata: {
              filter_metadata: {
                'envoy.filters.listener.original_dst': { local: address },
                ...(identity === undefined ? {} : { 'weft.dev': { identity } }),
              },
            },
          })),
        },
      ],
    },
    transport_socket: internalUpstream(['envoy.filters.listener.original_dst', 'istio', 'weft.dev']),
  };
}

function connectOriginateCluster({ trustDomain, ztunnelPort }: Layout): object {
  return {
    name: 'connect_originate',
    type: 'ORIGINAL_DST',
    lb_policy: 'CLUSTER_PROVIDED',
    cleanup_interval: '60s',
    original_dst_lb_config: { upstream_port_override: ztunnelPort },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
        explicit_http_config: {
          http2_protocol_options: { allow_connect: true, max_concurrent_streams: 100 },
        },
      },
    },
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        common_tls_context: tlsContext(trustDomain),
      },
    },
  };
}

function tlsContext(trustDomain: string): object {
  return {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    alpn_protocols: ['h2'],
    tls_certificate_sds_secret_configs: [sds('default')],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: `spiffe://${trustDomain}/` } }],
      },
      validation_context_sds_secret_config: sds('ROOTCA'),
    },
  };
}
