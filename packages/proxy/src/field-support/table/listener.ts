import type { SupportTable } from '../support.ts';

const FIELDS = 'field-support/listener-fields.test.ts';
const LAYOUT = 'waypoint-layout.test.ts';
const MATCHER = 'network/matcher-tree.test.ts';

/** Listeners, the choice among their filter chains, and listener filters. */
export const listener: SupportTable = {
  'envoy.config.listener.v3.Listener': {
    works: {
      [LAYOUT]: 'name address filter_chains listener_filters internal_listener filter_chain_matcher',
      [FIELDS]: `additional_addresses stat_prefix use_original_dst default_filter_chain
        per_connection_buffer_limit_bytes listener_filters_timeout continue_on_listener_filters_timeout
        traffic_direction access_log tcp_backlog_size bind_to_port`,
    },
    ignored: {
      'read by nobody': 'metadata',
      'keep-alive of accepted connections is the kernel’s': 'socket_options',
      'one thread accepts': `connection_balance_config enable_reuse_port reuse_port
        max_connections_to_accept_per_socket_event`,
      'there is no overload manager and no limit of all listeners together':
        'bypass_overload_manager ignore_global_conn_limit',
      'a hint to the kernel': 'tcp_fast_open_queue_length',
      'changes of the listener and /drain_listeners drain it, failing health checks never do': 'drain_type',
    },
    only: { drain_type: ['MODIFY_ONLY'] },
  },
  'envoy.config.listener.v3.AdditionalAddress': { works: { [FIELDS]: 'address' } },
  'envoy.config.listener.v3.Listener.InternalListenerConfig': {},
  'envoy.config.listener.v3.FilterChain': {
    works: {
      'proxy.test.ts': 'filter_chain_match',
      [LAYOUT]: 'filters transport_socket name',
      [FIELDS]: 'transport_socket_connect_timeout',
    },
    ignored: { 'read by nobody': 'metadata' },
  },
  'envoy.config.listener.v3.Filter': {
    works: { 'proxy.test.ts': 'name', [LAYOUT]: 'typed_config' },
    open: 'typed_config',
  },
  'envoy.config.listener.v3.FilterChainMatch': {
    works: {
      'network/filter-chain-match.test.ts':
        'prefix_ranges destination_port transport_protocol application_protocols server_names source_type',
      [FIELDS]: 'source_prefix_ranges source_ports direct_source_prefix_ranges',
    },
  },
  'envoy.config.listener.v3.ListenerFilter': {
    works: { [LAYOUT]: 'typed_config filter_disabled', [FIELDS]: 'name' },
    open: 'typed_config',
  },
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate': {
    works: { [LAYOUT]: 'or_match destination_port_range', [FIELDS]: 'and_match not_match any_match' },
  },
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet': { works: { [LAYOUT]: 'rules' } },
  'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': {},
  'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': {},
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': {
    ignored: { 'a hint for memory': 'initial_read_buffer_size' },
  },
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol': {
    works: { [FIELDS]: 'allow_requests_without_proxy_protocol' },
  },
  'xds.type.matcher.v3.Matcher': { works: { [MATCHER]: 'matcher_list matcher_tree on_no_match' } },
  'xds.type.matcher.v3.Matcher.OnMatch': { works: { [MATCHER]: 'matcher action' } },
  'xds.type.matcher.v3.Matcher.MatcherList': { works: { [MATCHER]: 'matchers' } },
  'xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher': { works: { [MATCHER]: 'predicate on_match' } },
  'xds.type.matcher.v3.Matcher.MatcherList.Predicate': {
    works: { [MATCHER]: 'single_predicate and_matcher not_matcher', [FIELDS]: 'or_matcher' },
  },
  'xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList': { works: { [MATCHER]: 'predicate' } },
  'xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate': {
    works: { [MATCHER]: 'input value_match' },
  },
  'xds.type.matcher.v3.Matcher.MatcherTree': {
    works: { [MATCHER]: 'input exact_match_map custom_match', [FIELDS]: 'prefix_match_map' },
  },
  'xds.type.matcher.v3.Matcher.MatcherTree.MatchMap': { works: { [MATCHER]: 'map' } },
  'xds.type.matcher.v3.StringMatcher': {
    works: { [MATCHER]: 'exact prefix', [FIELDS]: 'suffix contains ignore_case' },
  },
  'xds.type.matcher.v3.IPMatcher': { works: { [MATCHER]: 'range_matchers' } },
  'xds.type.matcher.v3.IPMatcher.IPRangeMatcher': { works: { [MATCHER]: 'ranges on_match exclusive' } },
  'envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.SourcePortInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.ServerNameInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.TransportProtocolInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput': {},
  'envoy.extensions.matching.common_inputs.network.v3.FilterStateInput': { works: { [MATCHER]: 'key' } },
};
