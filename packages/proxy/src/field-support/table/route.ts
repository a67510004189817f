import type { SupportTable } from '../support.ts';

const DIFFERENTIAL = 'differential.kernel.test.ts';
const FIELDS = 'field-support/route-fields.test.ts';
const HASH = 'field-support/hash-policy-fields.test.ts';
const MANAGER = 'http/manager/manager.test.ts';
const MATCHING = 'matching/matching.test.ts';
const RETRIES = 'http/router/retries.test.ts';
const ROUTE = 'http/route/route.test.ts';
const NO_SPANS = 'no spans are made: there is no tracing provider';

/** Route tables and matchers of requests. */
export const route: SupportTable = {
  'envoy.config.route.v3.RouteConfiguration': {
    works: {
      [ROUTE]: 'name virtual_hosts ignore_port_in_host_matching',
      [DIFFERENTIAL]: 'response_headers_to_remove request_headers_to_add',
      [FIELDS]: `response_headers_to_add request_headers_to_remove most_specific_header_mutations_wins
        max_direct_response_body_size_bytes request_mirror_policies typed_per_filter_config`,
    },
    ignored: {
      'read by nobody': 'metadata',
      'routes to clusters that are not there are accepted, as it asks': 'validate_clusters',
    },
    only: { validate_clusters: ['false'] },
    open: 'typed_per_filter_config',
  },
  'envoy.config.route.v3.VirtualHost': {
    works: {
      [ROUTE]: 'name domains routes',
      [MANAGER]:
        'require_tls request_headers_to_add include_request_attempt_count include_attempt_count_in_response',
      [DIFFERENTIAL]: 'response_headers_to_add request_headers_to_remove',
      [FIELDS]:
        'response_headers_to_remove typed_per_filter_config retry_policy request_mirror_policies metadata',
    },
    open: 'typed_per_filter_config',
  },
  'envoy.config.route.v3.Route': {
    works: {
      [ROUTE]: `match route direct_response request_headers_to_add response_headers_to_add
        request_headers_to_remove typed_per_filter_config name`,
      [MANAGER]: 'redirect',
      [DIFFERENTIAL]: 'response_headers_to_remove',
      [FIELDS]: 'metadata per_request_buffer_limit_bytes',
    },
    ignored: { [NO_SPANS]: 'decorator tracing' },
    open: 'typed_per_filter_config',
  },
  'envoy.config.route.v3.FilterConfig': {
    works: { [FIELDS]: 'config is_optional disabled' },
    open: 'config',
  },
  'envoy.config.route.v3.RouteMatch': {
    works: {
      [ROUTE]: `prefix path case_sensitive headers query_parameters grpc safe_regex dynamic_metadata
        path_separated_prefix`,
      [MANAGER]: 'connect_matcher',
      [DIFFERENTIAL]: 'runtime_fraction path_match_policy',
      [FIELDS]: 'tls_context',
    },
  },
  'envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions': {},
  'envoy.config.route.v3.RouteMatch.ConnectMatcher': {},
  'envoy.config.route.v3.RouteMatch.TlsContextMatchOptions': {
    works: { [FIELDS]: 'presented validated' },
  },
  'envoy.config.route.v3.RouteAction': {
    works: {
      [ROUTE]: 'cluster weighted_clusters',
      [DIFFERENTIAL]: 'cluster_header host_rewrite_path_regex path_rewrite_policy',
      [MANAGER]: `prefix_rewrite host_rewrite_literal auto_host_rewrite timeout retry_policy
        cluster_not_found_response_code max_grpc_timeout idle_timeout upgrade_configs host_rewrite_header
        request_mirror_policies regex_rewrite max_stream_duration append_x_forwarded_host`,
      [FIELDS]: 'metadata_match priority hash_policy',
    },
  },
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy': {
    works: {
      [MANAGER]: 'cluster',
      [FIELDS]: 'runtime_fraction cluster_header disable_shadow_host_suffix_append',
    },
    ignored: { [NO_SPANS]: 'trace_sampled' },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig': {
    works: { [MANAGER]: 'upgrade_type enabled connect_config' },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig': {},
  'envoy.config.route.v3.RouteAction.MaxStreamDuration': {
    works: { [MANAGER]: 'max_stream_duration', [FIELDS]: 'grpc_timeout_header_max' },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy': {
    works: { [HASH]: 'header cookie connection_properties query_parameter filter_state terminal' },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': { works: { [HASH]: 'header_name regex_rewrite' } },
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': { works: { [HASH]: 'name ttl path' } },
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': { works: { [HASH]: 'source_ip' } },
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': { works: { [HASH]: 'name' } },
  'envoy.config.route.v3.RouteAction.HashPolicy.FilterState': { works: { [HASH]: 'key' } },
  'envoy.config.route.v3.WeightedCluster': { works: { [ROUTE]: 'clusters' } },
  'envoy.config.route.v3.WeightedCluster.ClusterWeight': {
    works: {
      [ROUTE]: 'name weight',
      [MANAGER]: 'request_headers_to_add',
      [DIFFERENTIAL]: 'response_headers_to_add request_headers_to_remove',
      [FIELDS]: `metadata_match response_headers_to_remove typed_per_filter_config host_rewrite_literal
        cluster_header`,
    },
    open: 'typed_per_filter_config',
  },
  'envoy.config.route.v3.RetryPolicy': {
    works: {
      [MANAGER]: `retry_on num_retries per_try_timeout host_selection_retry_max_attempts
        retriable_status_codes retry_back_off retriable_headers per_try_idle_timeout`,
      [RETRIES]: 'retry_priority',
      [FIELDS]: 'retry_host_predicate retriable_request_headers rate_limited_retry_back_off',
    },
  },
  'envoy.config.route.v3.RetryPolicy.RetryBackOff': { works: { [MANAGER]: 'base_interval max_interval' } },
  'envoy.config.route.v3.RetryPolicy.RetryPriority': {
    works: { [RETRIES]: 'typed_config' },
    ignored: { 'names are for the reader: what counts is the type': 'name' },
  },
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': {
    works: { [RETRIES]: 'update_frequency' },
  },
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate': {
    works: { [FIELDS]: 'name' },
    ignored: { 'the name says which': 'typed_config' },
    only: { name: ['envoy.retry_host_predicates.previous_hosts'] },
  },
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': {},
  'envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff': {
    works: { [FIELDS]: 'reset_headers max_interval' },
  },
  'envoy.config.route.v3.RetryPolicy.ResetHeader': { works: { [FIELDS]: 'name format' } },
  'envoy.config.route.v3.RedirectAction': {
    works: {
      [MANAGER]: `host_redirect path_redirect response_code https_redirect prefix_rewrite strip_query
        port_redirect`,
      [DIFFERENTIAL]: 'scheme_redirect regex_rewrite',
    },
  },
  'envoy.config.route.v3.DirectResponseAction': { works: { [ROUTE]: 'status body' } },
  'envoy.config.route.v3.HeaderMatcher': {
    works: {
      [ROUTE]: 'name invert_match string_match',
      [MATCHING]: 'exact_match range_match present_match safe_regex_match treat_missing_header_as_empty',
      [FIELDS]: 'prefix_match suffix_match contains_match',
    },
  },
  'envoy.config.route.v3.QueryParameterMatcher': {
    works: { [ROUTE]: 'name string_match', [MATCHING]: 'present_match' },
  },
  'envoy.type.matcher.v3.StringMatcher': {
    works: {
      'upstream/config/cluster-config.test.ts': 'exact',
      [MATCHING]: 'prefix suffix safe_regex ignore_case contains',
    },
  },
  'envoy.type.matcher.v3.RegexMatcher': {
    works: { [ROUTE]: 'regex' },
    ignored: { 'every regular expression is RE2': 'google_re2' },
  },
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': { works: { [MANAGER]: 'pattern substitution' } },
  'envoy.type.matcher.v3.PathMatcher': { works: { [MATCHING]: 'path' } },
  'envoy.type.matcher.v3.MetadataMatcher': {
    works: { [ROUTE]: 'filter path value', [MATCHING]: 'invert' },
  },
  'envoy.type.matcher.v3.MetadataMatcher.PathSegment': { works: { [ROUTE]: 'key' } },
  'envoy.type.matcher.v3.ValueMatcher': {
    works: {
      [ROUTE]: 'string_match',
      [MATCHING]: 'double_match bool_match present_match list_match',
      [FIELDS]: 'null_match or_match',
    },
  },
  'envoy.type.matcher.v3.ValueMatcher.NullMatch': {},
  'envoy.type.matcher.v3.OrMatcher': { works: { [FIELDS]: 'value_matchers' } },
  'envoy.type.matcher.v3.ListMatcher': { works: { [MATCHING]: 'one_of' } },
  'envoy.type.matcher.v3.DoubleMatcher': { works: { [MATCHING]: 'range', [FIELDS]: 'exact' } },
  'envoy.type.matcher.v3.FilterStateMatcher': {
    works: { 'filters/rbac/rbac.test.ts': 'key string_match' },
  },
  'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig': {
    works: { 'filters/rbac/rbac.test.ts': 'path_template' },
  },
  'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig': {
    works: { [DIFFERENTIAL]: 'path_template_rewrite' },
  },
};
