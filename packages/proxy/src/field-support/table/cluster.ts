import type { SupportTable } from '../support.ts';

const CLUSTER = 'upstream/cluster.test.ts';
const CONFIG = 'upstream/config/cluster-config.test.ts';
const FIELDS = 'field-support/cluster-fields.test.ts';
const SLOW = 'upstream/slow-start.test.ts';
const HBONE = 'upstream/hbone.test.ts';
const DYNAMIC = 'upstream/discovery/dynamic-forward.test.ts';
const NO_HEALTH_CHECKS = 'hosts are not checked actively';

/** Clusters and their hosts. */
export const cluster: SupportTable = {
  'envoy.config.cluster.v3.Cluster': {
    works: {
      [CONFIG]: `name type lb_policy circuit_breakers outlier_detection transport_socket alt_stat_name
        load_assignment typed_extension_protocol_options load_balancing_policy maglev_lb_config`,
      [CLUSTER]: `eds_cluster_config connect_timeout max_requests_per_connection common_lb_config
        common_http_protocol_options original_dst_lb_config`,
      [DYNAMIC]: 'cluster_type',
      [HBONE]: 'http2_protocol_options cleanup_interval upstream_http_protocol_options',
      'filters/policy.test.ts': 'metadata',
      'upstream/connect/tcp.test.ts': 'upstream_bind_config',
      [FIELDS]: `per_connection_buffer_limit_bytes http_protocol_options lb_subset_config ring_hash_lb_config
        protocol_selection upstream_connection_options least_request_lb_config transport_socket_matches
        round_robin_lb_config dns_refresh_rate dns_failure_refresh_rate dns_lookup_family`,
    },
    ignored: {
      'the system’s resolver does not tell how long a name holds; dns_refresh_rate decides':
        'respect_dns_ttl',
      'a cluster serves once it is warm': 'wait_for_warm_on_init',
      'connections are made when they are needed': 'preconnect_policy',
      [NO_HEALTH_CHECKS]: 'ignore_health_on_host_removal',
    },
    only: { wait_for_warm_on_init: ['true'] },
  },
  'envoy.config.cluster.v3.Cluster.CustomClusterType': {
    works: { [DYNAMIC]: 'typed_config' },
    ignored: { 'the type of typed_config counts': 'name' },
  },
  'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig': {
    works: { [DYNAMIC]: 'dns_cache_config' },
    ignored: {
      'whom TLS expects is what transport_socket and protocol options say': 'allow_insecure_cluster_options',
    },
  },
  'envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig': {
    works: { [DYNAMIC]: 'dns_lookup_family max_hosts host_ttl' },
    ignored: {
      'each connection looks the name up, so there is nothing to share or to refresh':
        'name dns_refresh_rate dns_min_refresh_rate',
    },
  },
  'envoy.config.cluster.v3.Cluster.EdsClusterConfig': { works: { [CLUSTER]: 'eds_config service_name' } },
  'envoy.config.cluster.v3.Cluster.RefreshRate': {
    works: { [FIELDS]: 'base_interval' },
    ignored: { 'retries keep the base interval': 'max_interval' },
  },
  'envoy.config.cluster.v3.Cluster.TransportSocketMatch': {
    works: { [FIELDS]: 'name match transport_socket' },
  },
  'envoy.config.cluster.v3.Cluster.RoundRobinLbConfig': { works: { [SLOW]: 'slow_start_config' } },
  'envoy.config.cluster.v3.Cluster.SlowStartConfig': {
    works: { [SLOW]: 'slow_start_window aggression min_weight_percent' },
  },
  'envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig': {
    works: { [SLOW]: 'slow_start_window aggression min_weight_percent' },
  },
  'envoy.config.cluster.v3.Cluster.LeastRequestLbConfig': {
    works: { [FIELDS]: 'choice_count active_request_bias', [SLOW]: 'slow_start_config' },
  },
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig': {
    works: { [FIELDS]: 'minimum_ring_size maximum_ring_size' },
  },
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig': { works: { [CONFIG]: 'table_size' } },
  'envoy.config.cluster.v3.Cluster.OriginalDstLbConfig': {
    works: { [CLUSTER]: 'upstream_port_override metadata_key', [FIELDS]: 'use_http_header http_header_name' },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig': {
    works: {
      [CLUSTER]: 'healthy_panic_threshold',
      [FIELDS]: 'zone_aware_lb_config locality_weighted_lb_config consistent_hashing_lb_config',
    },
    ignored: {
      'changes are taken one by one': 'update_merge_window',
      [NO_HEALTH_CHECKS]: 'ignore_new_hosts_until_first_hc',
    },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig': {
    works: { [FIELDS]: 'fail_traffic_on_panic' },
    ignored: {
      'as in Envoy, zones count with a local_cluster_name only': 'routing_enabled min_cluster_size',
    },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig': {},
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig': {
    works: { [FIELDS]: 'use_hostname_for_hashing' },
  },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig': {
    works: { [FIELDS]: 'fallback_policy default_subset subset_selectors' },
  },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector': { works: { [FIELDS]: 'keys' } },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': { works: { [FIELDS]: 'tcp_keepalive' } },
  'envoy.config.cluster.v3.LoadBalancingPolicy': { works: { [CONFIG]: 'policies' } },
  'envoy.config.cluster.v3.LoadBalancingPolicy.Policy': {
    works: { [CONFIG]: 'typed_extension_config' },
    open: 'typed_extension_config',
  },
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': {
    works: { [FIELDS]: 'locality_lb_config', [SLOW]: 'slow_start_config' },
  },
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
    works: {
      [CONFIG]: 'choice_count',
      [FIELDS]: 'active_request_bias locality_lb_config',
      [SLOW]: 'slow_start_config',
    },
  },
  'envoy.extensions.load_balancing_policies.random.v3.Random': { works: { [FIELDS]: 'locality_lb_config' } },
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash': {
    works: {
      [FIELDS]:
        'minimum_ring_size maximum_ring_size consistent_hashing_lb_config locality_weighted_lb_config',
    },
    only: { hash_function: ['XX_HASH'] },
    ignored: { 'the only one': 'hash_function' },
  },
  'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided': {},
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig': {
    works: { [FIELDS]: 'locality_weighted_lb_config' },
  },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig': {},
  'envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig': {
    works: { [FIELDS]: 'use_hostname_for_hashing' },
  },
  'envoy.config.cluster.v3.CircuitBreakers': { works: { [CONFIG]: 'thresholds' } },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': {
    works: {
      [CONFIG]: 'priority max_requests retry_budget',
      [CLUSTER]: 'max_connections max_pending_requests',
      'differential.kernel.test.ts': 'max_retries',
      [FIELDS]: 'max_connection_pools',
    },
    ignored: { 'it adds statistics of what is left of the limits, which are not kept': 'track_remaining' },
  },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget': {
    works: { [FIELDS]: 'budget_percent min_retry_concurrency' },
  },
  'envoy.config.cluster.v3.OutlierDetection': {
    works: {
      [CONFIG]: 'consecutive_5xx base_ejection_time',
      [CLUSTER]: 'max_ejection_percent',
      [FIELDS]: `interval enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts
        success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure
        enforcing_consecutive_gateway_failure split_external_local_origin_errors
        consecutive_local_origin_failure enforcing_consecutive_local_origin_failure
        failure_percentage_threshold enforcing_failure_percentage failure_percentage_minimum_hosts
        failure_percentage_request_volume max_ejection_time max_ejection_time_jitter always_eject_one_host`,
    },
    ignored: {
      'rates of local errors eject no host, as 0 asks':
        'enforcing_local_origin_success_rate enforcing_failure_percentage_local_origin',
      [NO_HEALTH_CHECKS]: 'successful_active_health_check_uneject_host',
    },
    only: {
      enforcing_local_origin_success_rate: ['0'],
      enforcing_failure_percentage_local_origin: ['0'],
    },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': {
    works: { [CONFIG]: 'endpoints', 'proxy.test.ts': 'cluster_name', [FIELDS]: 'policy' },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy': {
    works: { [FIELDS]: 'overprovisioning_factor drop_overloads' },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload': {
    works: { [FIELDS]: 'drop_percentage' },
    ignored: { 'categories are for reports, which are not made': 'category' },
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints': {
    works: {
      [CONFIG]: 'lb_endpoints',
      [FIELDS]: 'locality load_balancing_weight priority load_balancer_endpoints',
    },
    ignored: { 'read by nobody': 'metadata', 'no policy asks for it': 'proximity' },
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints.LbEndpointList': { works: { [FIELDS]: 'lb_endpoints' } },
  'envoy.config.endpoint.v3.LbEndpoint': {
    works: { [CONFIG]: 'endpoint', [HBONE]: 'metadata', [FIELDS]: 'health_status load_balancing_weight' },
  },
  'envoy.config.endpoint.v3.Endpoint': {
    works: {
      [CONFIG]: 'address',
      'differential.kernel.test.ts': 'hostname',
      [FIELDS]: 'additional_addresses',
    },
    ignored: { [NO_HEALTH_CHECKS]: 'health_check_config' },
  },
  'envoy.config.endpoint.v3.Endpoint.AdditionalAddress': { works: { [FIELDS]: 'address' } },
  'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions': {
    ignored: { 'connections are made for those that use them: none is ever idle': 'idle_timeout' },
  },
  'envoy.config.core.v3.UpstreamHttpProtocolOptions': {
    works: { [HBONE]: 'auto_sni auto_san_validation', [FIELDS]: 'override_auto_sni_header' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    works: {
      [CONFIG]: 'explicit_http_config',
      [CLUSTER]: 'auto_config',
      'differential.kernel.test.ts': 'common_http_protocol_options',
      [FIELDS]: 'upstream_http_protocol_options use_downstream_protocol_config',
    },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig': {
    works: {
      'differential.kernel.test.ts': 'http_protocol_options',
      [CLUSTER]: 'http2_protocol_options',
    },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig': {
    works: { [FIELDS]: 'http_protocol_options http2_protocol_options' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig': {
    works: { [FIELDS]: 'http_protocol_options http2_protocol_options' },
  },
};
