import type { SupportTable } from '../support.ts';

const AUTHZ = 'filters/ext-authz/ext-authz.test.ts';
const DIFFERENTIAL = 'differential.kernel.test.ts';
const FIELDS = 'field-support/filter-fields.test.ts';
const HTTP = 'envoy.extensions.filters.http';
const JWT = 'filters/jwt-authn/jwt-authn.test.ts';
const JWT_FIELDS = 'field-support/jwt-fields.test.ts';
const LAYOUT = 'waypoint-layout.test.ts';
const LIMIT = 'filters/local-rate-limit.test.ts';
const NETWORK = 'envoy.extensions.filters.network';
const PEER = 'filters/istio/peer-metadata.test.ts';
const RBAC = 'filters/rbac/rbac.test.ts';
const DYNAMIC = 'upstream/discovery/dynamic-forward.test.ts';
const SMALL = 'filters/small-filters.test.ts';
const TELEMETRY = 'field-support/telemetry-fields.test.ts';
const TCP = 'network/tcp-proxy/tcp-proxy.test.ts';

/** HTTP filters and network filters, but for the connection manager and the router. */
export const filters: SupportTable = {
  [`${NETWORK}.tcp_proxy.v3.TcpProxy`]: {
    works: {
      [TCP]: `stat_prefix cluster max_connect_attempts idle_timeout weighted_clusters tunneling_config
        max_downstream_connection_duration hash_policy`,
      [FIELDS]: 'metadata_match',
      [TELEMETRY]: 'access_log',
    },
  },
  'envoy.type.v3.HashPolicy': { works: { [TCP]: 'source_ip filter_state' } },
  'envoy.type.v3.HashPolicy.SourceIp': {},
  'envoy.type.v3.HashPolicy.FilterState': { works: { [TCP]: 'key' } },
  [`${NETWORK}.tcp_proxy.v3.TcpProxy.WeightedCluster`]: { works: { [TCP]: 'clusters' } },
  [`${NETWORK}.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight`]: {
    works: { [TCP]: 'name weight', [FIELDS]: 'metadata_match' },
  },
  [`${NETWORK}.tcp_proxy.v3.TcpProxy.TunnelingConfig`]: {
    works: { [TCP]: 'hostname headers_to_add', [FIELDS]: 'use_post propagate_response_headers' },
  },
  [`${NETWORK}.rbac.v3.RBAC`]: {
    works: { [RBAC]: 'rules stat_prefix', [FIELDS]: 'shadow_rules shadow_rules_stat_prefix' },
  },
  [`${NETWORK}.set_filter_state.v3.Config`]: { works: { [LAYOUT]: 'on_new_connection' } },
  'envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue': {
    works: {
      [SMALL]: 'object_key format_string shared_with_upstream factory_key',
      [LAYOUT]: 'skip_if_empty',
      [FIELDS]: 'read_only',
    },
  },
  [`${HTTP}.set_filter_state.v3.Config`]: { works: { [SMALL]: 'on_request_headers' } },
  [`${HTTP}.dynamic_forward_proxy.v3.FilterConfig`]: {
    ignored: { 'the cluster looks names up': 'dns_cache_config' },
  },
  [`${NETWORK}.sni_dynamic_forward_proxy.v3.FilterConfig`]: {
    works: { [DYNAMIC]: 'port_value' },
    ignored: { 'the cluster looks names up': 'dns_cache_config' },
  },

  [`${HTTP}.rbac.v3.RBAC`]: {
    works: { [RBAC]: 'rules shadow_rules shadow_rules_stat_prefix', [FIELDS]: 'rules_stat_prefix' },
  },
  [`${HTTP}.rbac.v3.RBACPerRoute`]: { works: { [RBAC]: 'rbac' } },
  'envoy.config.rbac.v3.RBAC': { works: { [RBAC]: 'action policies' } },
  'envoy.config.rbac.v3.Policy': { works: { [RBAC]: 'permissions principals' } },
  'envoy.config.rbac.v3.Permission': {
    works: {
      [RBAC]: `and_rules or_rules any header destination_ip destination_port not_rule requested_server_name
        url_path destination_port_range uri_template`,
      [FIELDS]: 'metadata',
    },
  },
  'envoy.config.rbac.v3.Permission.Set': { works: { [RBAC]: 'rules' } },
  'envoy.config.rbac.v3.Principal': {
    works: {
      [RBAC]: 'any authenticated header metadata not_id direct_remote_ip remote_ip filter_state',
      [DIFFERENTIAL]: 'and_ids',
      [FIELDS]: 'or_ids source_ip url_path',
    },
  },
  'envoy.config.rbac.v3.Principal.Set': { works: { [DIFFERENTIAL]: 'ids' } },
  'envoy.config.rbac.v3.Principal.Authenticated': { works: { [RBAC]: 'principal_name' } },

  [`${HTTP}.jwt_authn.v3.JwtAuthentication`]: {
    works: {
      [JWT]: 'providers rules bypass_cors_preflight strip_failure_response',
      [FIELDS]: 'requirement_map',
    },
  },
  [`${HTTP}.jwt_authn.v3.PerRouteConfig`]: { works: { [FIELDS]: 'disabled requirement_name' } },
  [`${HTTP}.jwt_authn.v3.JwtProvider`]: {
    works: {
      [JWT]: `issuer audiences remote_jwks local_jwks forward from_headers forward_payload_header
        payload_in_metadata from_cookies claim_to_headers clear_route_cache normalize_payload_in_metadata
        subjects require_expiration`,
      [JWT_FIELDS]: `from_params clock_skew_seconds pad_forward_payload_header header_in_metadata
        failed_status_in_metadata max_lifetime`,
    },
    ignored: { 'every token is verified anew': 'jwt_cache_config' },
  },
  [`${HTTP}.jwt_authn.v3.JwtProvider.NormalizePayload`]: { works: { [JWT]: 'space_delimited_claims' } },
  [`${HTTP}.jwt_authn.v3.RemoteJwks`]: {
    works: { [JWT]: 'http_uri', [JWT_FIELDS]: 'cache_duration async_fetch retry_policy' },
  },
  [`${HTTP}.jwt_authn.v3.JwksAsyncFetch`]: {
    works: { [JWT_FIELDS]: 'fast_listener failed_refetch_duration' },
  },
  'envoy.config.core.v3.RetryPolicy': { works: { [JWT_FIELDS]: 'retry_back_off num_retries' } },
  'envoy.config.core.v3.BackoffStrategy': { works: { [JWT_FIELDS]: 'base_interval max_interval' } },
  [`${HTTP}.jwt_authn.v3.JwtHeader`]: { works: { [JWT]: 'name value_prefix' } },
  [`${HTTP}.jwt_authn.v3.JwtClaimToHeader`]: { works: { [JWT]: 'header_name claim_name' } },
  [`${HTTP}.jwt_authn.v3.RequirementRule`]: {
    works: { [JWT]: 'match requires', [FIELDS]: 'requirement_name' },
  },
  [`${HTTP}.jwt_authn.v3.JwtRequirement`]: {
    works: {
      [JWT]: 'provider_name provider_and_audiences requires_any allow_missing_or_failed allow_missing',
      [FIELDS]: 'requires_all',
    },
  },
  [`${HTTP}.jwt_authn.v3.ProviderWithAudiences`]: { works: { [JWT]: 'provider_name audiences' } },
  [`${HTTP}.jwt_authn.v3.JwtRequirementOrList`]: { works: { [JWT]: 'requirements' } },
  [`${HTTP}.jwt_authn.v3.JwtRequirementAndList`]: { works: { [FIELDS]: 'requirements' } },

  [`${HTTP}.ext_authz.v3.ExtAuthz`]: {
    works: {
      [AUTHZ]: `grpc_service http_service failure_mode_allow failure_mode_allow_header_add with_request_body
        clear_route_cache status_on_error metadata_context_namespaces filter_enabled deny_at_disable
        filter_enabled_metadata include_peer_certificate include_tls_session stat_prefix allowed_headers
        disallowed_headers`,
    },
    ignored: {
      'there is one version': 'transport_api_version',
      'what a service wants is always checked': 'validate_mutations',
    },
    only: { transport_api_version: ['V3'] },
  },
  [`${HTTP}.ext_authz.v3.ExtAuthzPerRoute`]: { works: { [AUTHZ]: 'disabled check_settings' } },
  [`${HTTP}.ext_authz.v3.CheckSettings`]: {
    works: { [AUTHZ]: 'context_extensions disable_request_body_buffering with_request_body' },
  },
  [`${HTTP}.ext_authz.v3.BufferSettings`]: {
    works: { [AUTHZ]: 'max_request_bytes allow_partial_message pack_as_bytes' },
  },
  [`${HTTP}.ext_authz.v3.HttpService`]: {
    works: { [AUTHZ]: 'server_uri path_prefix authorization_request authorization_response' },
  },
  [`${HTTP}.ext_authz.v3.AuthorizationRequest`]: { works: { [AUTHZ]: 'allowed_headers headers_to_add' } },
  [`${HTTP}.ext_authz.v3.AuthorizationResponse`]: {
    works: {
      [AUTHZ]: `allowed_upstream_headers allowed_client_headers allowed_upstream_headers_to_append
        allowed_client_headers_on_success dynamic_metadata_from_headers`,
    },
  },
  'envoy.config.core.v3.RuntimeFeatureFlag': {
    works: { [AUTHZ]: 'default_value' },
    ignored: { 'the default holds: nothing sets runtime keys': 'runtime_key' },
  },
  'envoy.type.matcher.v3.ListStringMatcher': { works: { [AUTHZ]: 'patterns' } },

  [`${HTTP}.cors.v3.Cors`]: {},
  [`${HTTP}.cors.v3.CorsPolicy`]: {
    works: {
      [SMALL]: `allow_origin_string_match allow_methods expose_headers max_age allow_credentials
        forward_not_matching_preflights`,
      [DIFFERENTIAL]: 'allow_headers',
      [FIELDS]: 'filter_enabled shadow_enabled allow_private_network_access',
    },
  },
  [`${HTTP}.fault.v3.HTTPFault`]: {
    works: { [SMALL]: 'delay abort headers max_active_faults', [FIELDS]: 'upstream_cluster' },
    ignored: { 'faults are not counted by downstream cluster': 'disable_downstream_cluster_stats' },
  },
  [`${HTTP}.fault.v3.FaultAbort`]: {
    works: { [SMALL]: 'http_status percentage', [DIFFERENTIAL]: 'grpc_status' },
  },
  'envoy.extensions.filters.common.fault.v3.FaultDelay': { works: { [SMALL]: 'fixed_delay percentage' } },
  [`${HTTP}.local_ratelimit.v3.LocalRateLimit`]: {
    works: {
      [LIMIT]: `stat_prefix status token_bucket filter_enabled filter_enforced
        request_headers_to_add_when_not_enforced response_headers_to_add
        local_rate_limit_per_downstream_connection rate_limited_as_resource_exhausted
        enable_x_ratelimit_headers`,
    },
    ignored: {
      'there are no descriptors that could do without it': 'always_consume_default_token_bucket',
    },
    only: { always_consume_default_token_bucket: ['true'] },
  },
  'envoy.type.v3.HttpStatus': { works: { [LIMIT]: 'code' } },
  'envoy.type.v3.TokenBucket': { works: { [LIMIT]: 'max_tokens tokens_per_fill fill_interval' } },
  [`${HTTP}.grpc_stats.v3.FilterConfig`]: {
    works: { [SMALL]: 'emit_filter_state', [TELEMETRY]: 'stats_for_all_methods' },
  },
  [`${HTTP}.header_mutation.v3.HeaderMutation`]: { works: { [SMALL]: 'mutations' } },
  [`${HTTP}.header_mutation.v3.HeaderMutationPerRoute`]: { works: { [FIELDS]: 'mutations' } },
  [`${HTTP}.header_mutation.v3.Mutations`]: {
    works: { [SMALL]: 'request_mutations', [FIELDS]: 'response_mutations' },
  },
  'envoy.config.common.mutation_rules.v3.HeaderMutation': { works: { [SMALL]: 'remove append' } },

  'io.istio.http.peer_metadata.Config': {
    works: {
      [SMALL]: 'downstream_discovery shared_with_upstream',
      [TELEMETRY]: 'upstream_discovery',
      [PEER]: 'downstream_propagation upstream_propagation',
    },
  },
  'io.istio.http.peer_metadata.Config.DiscoveryMethod': {
    works: { [SMALL]: 'baggage workload_discovery', [PEER]: 'istio_headers' },
  },
  'io.istio.http.peer_metadata.Config.PropagationMethod': { works: { [PEER]: 'istio_headers baggage' } },
  'io.istio.http.peer_metadata.Config.IstioHeaders': { works: { [PEER]: 'skip_external_clusters' } },
  'io.istio.http.peer_metadata.Config.Baggage': {},
  'io.istio.http.peer_metadata.Config.WorkloadDiscovery': {},
  'stats.PluginConfig': {
    works: {
      [SMALL]: 'metrics reporter',
      [TELEMETRY]: 'disable_host_header_fallback tcp_reporting_duration',
    },
    ignored: {
      'peers are looked up, not kept': 'max_peer_cache_size',
      'metrics have labels, not names made of them': 'stat_prefix field_separator value_separator',
      'series are kept as long as the process': 'rotation_interval graceful_deletion_interval',
    },
    only: { rotation_interval: ['0s'] },
  },
  'stats.MetricConfig': { works: { [SMALL]: 'dimensions name tags_to_remove drop' } },
};
