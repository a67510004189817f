import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { checkFields } from './check-fields.ts';

/** What Istio's control plane sets in the resources of waypoints and gateways beside names, routes and endpoints. */
const any = (type: string, config: object = {}) => ({ '@type': `type.googleapis.com/${type}`, ...config });
const extension = (name: string, config: object = {}) => ({
  name,
  typed_config: any(`envoy.extensions.${name}`, config),
});

const accessLog = {
  name: 'envoy.access_loggers.file',
  filter: { response_flag_filter: { flags: ['NR'] } },
  typed_config: any('envoy.extensions.access_loggers.file.v3.FileAccessLog', {
    path: '/dev/stdout',
    log_format: {
      text_format_source: { inline_string: '[%START_TIME%] "%REQ_WITHOUT_QUERY(:PATH)%"\n' },
      formatters: [
        { name: 'a', typed_config: any('envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery') },
        { name: 'b', typed_config: any('envoy.extensions.formatter.metadata.v3.Metadata') },
      ],
    },
  }),
};

const manager = extension('filters.network.http_connection_manager.v3.HttpConnectionManager', {
  stat_prefix: 'outbound_0.0.0.0_80',
  route_config: { name: 'r', validate_clusters: false, virtual_hosts: [] },
  use_remote_address: false,
  server_name: 'istio-envoy',
  server_header_transformation: 'PASS_THROUGH',
  forward_client_cert_details: 'APPEND_FORWARD',
  set_current_client_cert_details: { subject: true, dns: true, uri: true },
  upgrade_configs: [{ upgrade_type: 'websocket' }],
  stream_idle_timeout: '0s',
  delayed_close_timeout: '1s',
  proxy_100_continue: true,
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
  request_id_extension: {
    typed_config: any('envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', {
      use_request_id_for_trace_sampling: true,
    }),
  },
  tracing: {
    client_sampling: { value: 100 },
    random_sampling: { value: 1 },
    overall_sampling: { value: 100 },
    custom_tags: [{ tag: 'istio.mesh_id', literal: { value: 'm' } }],
  },
  access_log: [accessLog],
  http_filters: [
    extension('filters.http.grpc_stats.v3.FilterConfig', {
      emit_filter_state: true,
      stats_for_all_methods: false,
    }),
    extension('filters.http.fault.v3.HTTPFault'),
    extension('filters.http.cors.v3.Cors'),
    {
      name: 'istio.stats',
      typed_config: any('udpa.type.v1.TypedStruct', {
        type_url: 'type.googleapis.com/stats.PluginConfig',
        value: { reporter: 'SERVER_GATEWAY', disable_host_header_fallback: true },
      }),
    },
    extension('filters.http.router.v3.Router', { start_child_span: true, suppress_envoy_headers: false }),
  ],
});

const listener = {
  name: '0.0.0.0_80',
  address: { socket_address: { address: '0.0.0.0', port_value: 80 } },
  traffic_direction: 'OUTBOUND',
  continue_on_listener_filters_timeout: true,
  listener_filters_timeout: '0s',
  bind_to_port: true,
  enable_reuse_port: true,
  per_connection_buffer_limit_bytes: 32_768,
  connection_balance_config: { exact_balance: {} },
  max_connections_to_accept_per_socket_event: 1,
  metadata: { filter_metadata: { istio: { a: 'b' } } },
  access_log: [accessLog],
  filter_chains: [
    {
      name: 'c',
      metadata: { filter_metadata: { istio: {} } },
      transport_socket_connect_timeout: '15s',
      filters: [manager],
    },
  ],
};

const cluster = {
  name: 'outbound|80||a.test',
  alt_stat_name: 'outbound|80||a.test;',
  type: 'STRICT_DNS',
  connect_timeout: '10s',
  lb_policy: 'LEAST_REQUEST',
  dns_lookup_family: 'V4_ONLY',
  dns_refresh_rate: '60s',
  respect_dns_ttl: true,
  metadata: { filter_metadata: { istio: { services: [{ host: 'a.test', name: 'a', namespace: 'n' }] } } },
  circuit_breakers: {
    thresholds: [
      {
        max_connections: 4_294_967_295,
        max_pending_requests: 4_294_967_295,
        max_requests: 4_294_967_295,
        max_retries: 4_294_967_295,
        track_remaining: true,
      },
    ],
  },
  outlier_detection: {
    interval: '10s',
    base_ejection_time: '30s',
    consecutive_5xx: 7,
    enforcing_consecutive_5xx: 100,
    enforcing_success_rate: 0,
    split_external_local_origin_errors: true,
    consecutive_local_origin_failure: 3,
    enforcing_consecutive_local_origin_failure: 100,
    enforcing_local_origin_success_rate: 0,
    max_ejection_percent: 50,
  },
  common_lb_config: { healthy_panic_threshold: { value: 0 }, locality_weighted_lb_config: {} },
  upstream_connection_options: {
    tcp_keepalive: { keepalive_probes: 3, keepalive_time: 60, keepalive_interval: 5 },
  },
  transport_socket_matches: [
    {
      name: 'hbone',
      match: { tunnel: 'http' },
      transport_socket: extension('transport_sockets.internal_upstream.v3.InternalUpstreamTransport', {
        passthrough_metadata: [{ kind: { host: {} }, name: 'istio' }],
        transport_socket: extension('transport_sockets.raw_buffer.v3.RawBuffer'),
      }),
    },
    {
      name: 'tlsMode-disabled',
      match: {},
      transport_socket: extension('transport_sockets.raw_buffer.v3.RawBuffer'),
    },
  ],
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions': any(
      'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions',
      { idle_timeout: '60s' },
    ),
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any(
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      {
        common_http_protocol_options: { idle_timeout: '3600s', max_requests_per_connection: 10 },
        use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
      },
    ),
  },
};

describe('what Istio’s control plane sends is accepted', () => {
  it.each([
    ['a listener', 'envoy.config.listener.v3.Listener', listener],
    ['a cluster', 'envoy.config.cluster.v3.Cluster', cluster],
  ])('%s', (_, type, json) => {
    const unknown: string[] = [];
    const onUnknown = (_resource: string, path: string): void => void unknown.push(path);
    expect(() => checkFields(type, envoyFromJson(type, json), { resource: 'r', onUnknown })).not.toThrow();
    expect(unknown).toEqual([]);
  });
});
