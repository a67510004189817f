import type { SupportTable } from '../support.ts';

const DIFFERENTIAL = 'differential.kernel.test.ts';
const CASE = 'http/http1/header-key-format.test.ts';
const FIELDS = 'field-support/manager-fields.test.ts';
const LAYOUT = 'waypoint-layout.test.ts';
const MANAGER = 'http/manager/manager.test.ts';
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3';
const UUIDS = 'request ids are UUIDs, as in Envoy';
const NO_SPANS = 'no spans are made: there is no tracing provider';

/** The HTTP connection manager and the options of its codecs. */
export const httpConnectionManager: SupportTable = {
  [`${HCM}.HttpConnectionManager`]: {
    works: {
      [MANAGER]: `stat_prefix route_config http_filters upgrade_configs stream_idle_timeout request_timeout
        normalize_path common_http_protocol_options local_reply_config request_headers_timeout`,
      'proxy.test.ts': 'rds',
      [DIFFERENTIAL]: `http_protocol_options use_remote_address generate_request_id proxy_100_continue
        xff_num_trusted_hops via server_header_transformation always_set_request_id_in_response
        strip_matching_host_port strip_any_host_port`,
      [LAYOUT]:
        'http2_protocol_options server_name forward_client_cert_details set_current_client_cert_details',
      'filters/policy.test.ts': 'access_log merge_slashes path_with_escaped_slashes_action',
      [FIELDS]: `codec_type add_user_agent drain_timeout skip_xff_append internal_address_config
        max_request_headers_kb preserve_external_request_id stream_error_on_invalid_http_message
        strip_trailing_host_dot append_x_forwarded_port`,
    },
    only: { codec_type: ['HTTP1', 'HTTP2'] },
    ignored: {
      [NO_SPANS]: 'tracing',
      [UUIDS]: 'request_id_extension',
      'a connection waits one second, Envoy’s default, for its client to read the end':
        'delayed_close_timeout',
    },
  },
  [`${HCM}.HttpConnectionManager.Tracing`]: {
    ignored: {
      [NO_SPANS]: `client_sampling random_sampling overall_sampling verbose max_path_tag_length custom_tags
        spawn_upstream_span operation upstream_operation no_context_propagation`,
    },
  },
  [`${HCM}.RequestIDExtension`]: { ignored: { [UUIDS]: 'typed_config' } },
  'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig': {
    ignored: { 'nothing is sampled': 'pack_trace_reason use_request_id_for_trace_sampling' },
  },
  [`${HCM}.HttpConnectionManager.InternalAddressConfig`]: { works: { [FIELDS]: 'cidr_ranges' } },
  [`${HCM}.HttpConnectionManager.SetCurrentClientCertDetails`]: {
    works: { [LAYOUT]: 'subject dns uri', [FIELDS]: 'cert' },
  },
  [`${HCM}.HttpConnectionManager.UpgradeConfig`]: {
    works: { [MANAGER]: 'upgrade_type', [FIELDS]: 'enabled' },
  },
  [`${HCM}.LocalReplyConfig`]: { works: { [MANAGER]: 'mappers body_format' } },
  [`${HCM}.ResponseMapper`]: {
    works: { [MANAGER]: 'filter status_code body headers_to_add', [FIELDS]: 'body_format_override' },
  },
  [`${HCM}.Rds`]: { works: { 'proxy.test.ts': 'config_source route_config_name' } },
  [`${HCM}.HttpFilter`]: {
    works: { [MANAGER]: 'name typed_config', [FIELDS]: 'is_optional disabled' },
    open: 'typed_config',
  },
  'envoy.config.core.v3.HttpProtocolOptions': {
    works: {
      [MANAGER]: 'idle_timeout max_stream_duration',
      [DIFFERENTIAL]: 'max_headers_count headers_with_underscores_action max_requests_per_connection',
      [FIELDS]: 'max_connection_duration',
    },
  },
  'envoy.config.core.v3.Http1ProtocolOptions': {
    works: {
      [DIFFERENTIAL]: 'accept_http_10 default_host_for_http_10 enable_trailers',
      [FIELDS]: 'header_key_format allow_chunked_length',
    },
    ignored: {
      'absolute URLs are taken': 'allow_absolute_url',
      'there is one parser': 'use_balsa_parser',
    },
    only: { allow_absolute_url: ['true'] },
  },
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat': {
    works: { [FIELDS]: 'proper_case_words', [CASE]: 'stateful_formatter' },
  },
  'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig': {},
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords': {},
  'envoy.config.core.v3.Http2ProtocolOptions': {
    works: {
      [LAYOUT]: 'max_concurrent_streams',
      'upstream/hbone.test.ts': 'allow_connect',
      [FIELDS]: `initial_stream_window_size initial_connection_window_size
        override_stream_error_on_invalid_http_message connection_keepalive`,
    },
    ignored: { 'a hint for memory': 'hpack_table_size', 'there is one codec': 'use_oghttp2_codec' },
  },
  'envoy.config.core.v3.KeepaliveSettings': {
    works: { [FIELDS]: 'interval timeout' },
    ignored: { 'PINGs are sent at the interval itself': 'interval_jitter' },
  },
  'envoy.extensions.filters.http.router.v3.Router': {
    works: { [LAYOUT]: 'suppress_envoy_headers' },
    ignored: { [NO_SPANS]: 'start_child_span', 'statistics are always kept': 'dynamic_stats' },
    only: { dynamic_stats: ['true'] },
  },
};
