import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { testContext } from '../testing/compile.ts';
import { compileCluster } from '../upstream/config/cluster-config.ts';
import { checkFields } from './check-fields.ts';

const TYPE = 'envoy.config.cluster.v3.Cluster';
const LB = 'envoy.extensions.load_balancing_policies';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function compile(json: object) {
  const bytes = envoyFromJson(TYPE, { name: 'c', ...json });
  checkFields(TYPE, bytes, { resource: 'c' });
  return compileCluster(bytes, testContext());
}

const address = (ip: string) => ({ socket_address: { address: ip, port_value: 80 } });
const hosts = (group: object, assignment: object = {}) => ({
  load_assignment: { cluster_name: 'c', endpoints: [group], ...assignment },
});
const host = (endpoint: object = {}, lb: object = {}) => ({
  lb_endpoints: [{ endpoint: { address: address('10.0.0.1'), ...endpoint }, ...lb }],
});
const policy = (type: string, config: object) => ({
  load_balancing_policy: {
    policies: [
      {
        typed_extension_config: {
          name: 'x',
          typed_config: { '@type': `type.googleapis.com/${LB}.${type}`, ...config },
        },
      },
    ],
  },
});
const httpOptions = (options: object) => ({
  typed_extension_protocol_options: {
    [HTTP_OPTIONS]: { '@type': `type.googleapis.com/${HTTP_OPTIONS}`, ...options },
  },
});
const internalSocket = (kind: object) => ({
  transport_socket: {
    name: 'x',
    typed_config: {
      '@type':
        'type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
      passthrough_metadata: [{ kind, name: 'ns' }],
      transport_socket: { name: 'envoy.transport_sockets.raw_buffer' },
    },
  },
});
const dns = (fields: object) => ({ type: 'STRICT_DNS', load_assignment: { cluster_name: 'c' }, ...fields });
const locality = { region: 'r', zone: 'z', sub_zone: 's' };
const budget = (retry_budget: object) => ({ circuit_breakers: { thresholds: [{ retry_budget }] } });
const weighted = { locality_lb_config: { locality_weighted_lb_config: {} } };

/** A Cluster's fields, and what the cluster is to do for them. */
const cases: readonly [string, object, object][] = [
  ['per_connection_buffer_limit_bytes', { per_connection_buffer_limit_bytes: 9 }, { bufferLimitBytes: 9 }],
  [
    'http_protocol_options',
    { http_protocol_options: { enable_trailers: true, allow_chunked_length: true } },
    { http: { protocol: 'http1', http1: { enableTrailers: true, allowChunkedLength: true } } },
  ],
  [
    'http_protocol_options.header_key_format',
    { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
    { http: { http1: { headerKeyFormat: 'proper-case' } } },
  ],
  [
    'protocol_selection',
    { protocol_selection: 'USE_DOWNSTREAM_PROTOCOL' },
    { http: { protocol: 'downstream' } },
  ],
  [
    'lb_subset_config',
    {
      lb_subset_config: {
        fallback_policy: 'DEFAULT_SUBSET',
        default_subset: { a: 'b' },
        subset_selectors: [{ keys: ['k'] }],
      },
    },
    {
      balancing: { subsets: { fallback: 'default', defaultSubset: { a: 'b' }, selectors: [new Set(['k'])] } },
    },
  ],
  [
    'ring_hash_lb_config',
    { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 8, maximum_ring_size: 16 } },
    { balancing: { policy: { kind: 'ring-hash', minimumRingSize: 8, maximumRingSize: 16 } } },
  ],
  [
    'least_request_lb_config',
    {
      lb_policy: 'LEAST_REQUEST',
      least_request_lb_config: { choice_count: 4, active_request_bias: { default_value: 2 } },
    },
    { balancing: { policy: { kind: 'least-request', choiceCount: 4, activeRequestBias: 2 } } },
  ],
  [
    'round_robin_lb_config',
    { round_robin_lb_config: {} },
    { balancing: { policy: { kind: 'round-robin' } } },
  ],
  [
    'common_lb_config.locality_weighted_lb_config',
    { common_lb_config: { locality_weighted_lb_config: {} } },
    { balancing: { localityWeighted: true } },
  ],
  [
    'common_lb_config.zone_aware_lb_config',
    { common_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true } } },
    { balancing: { failTrafficOnPanic: true } },
  ],
  [
    'common_lb_config.consistent_hashing_lb_config',
    {
      lb_policy: 'MAGLEV',
      common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } },
    },
    { balancing: { policy: { kind: 'maglev', useHostname: true } } },
  ],
  [
    'upstream_connection_options',
    { upstream_connection_options: { tcp_keepalive: { keepalive_time: 5 } } },
    { keepaliveTimeS: 5 },
  ],
  [
    'transport_socket_matches',
    {
      transport_socket_matches: [
        {
          name: 'm',
          match: { tunnel: 'http' },
          transport_socket: { name: 'envoy.transport_sockets.raw_buffer' },
        },
      ],
    },
    { socketMatches: [{ name: 'm', match: { tunnel: 'http' }, socket: { kind: 'raw' } }] },
  ],
  [
    'dns_refresh_rate',
    dns({ dns_refresh_rate: '7s', dns_failure_refresh_rate: { base_interval: '3s' } }),
    { discovery: { refreshMs: 7_000, failureRefreshMs: 3_000 } },
  ],
  [
    'dns_lookup_family',
    dns({ dns_lookup_family: 'V4_PREFERRED' }),
    { discovery: { family: 'v4-preferred' } },
  ],
  [
    'original_dst_lb_config.use_http_header',
    {
      type: 'ORIGINAL_DST',
      lb_policy: 'CLUSTER_PROVIDED',
      original_dst_lb_config: { use_http_header: true, http_header_name: 'x-to' },
    },
    { discovery: { originalDst: { header: 'x-to' } } },
  ],
  [
    'max_connection_pools',
    { circuit_breakers: { thresholds: [{ max_connection_pools: 3 }] } },
    { thresholds: { default: { maxConnectionPools: 3 } } },
  ],
  [
    'retry_budget',
    budget({ budget_percent: { value: 25 }, min_retry_concurrency: 7 }),
    { thresholds: { default: { retryBudget: { budgetPercent: 25, minRetryConcurrency: 7 } } } },
  ],
  [
    'outlier_detection',
    {
      outlier_detection: {
        interval: '1s',
        enforcing_consecutive_5xx: 2,
        enforcing_success_rate: 3,
        success_rate_minimum_hosts: 4,
        success_rate_request_volume: 5,
        success_rate_stdev_factor: 6,
        consecutive_gateway_failure: 7,
        enforcing_consecutive_gateway_failure: 8,
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: 9,
        enforcing_consecutive_local_origin_failure: 10,
        failure_percentage_threshold: 11,
        enforcing_failure_percentage: 12,
        failure_percentage_minimum_hosts: 13,
        failure_percentage_request_volume: 14,
        max_ejection_time: '15s',
        max_ejection_time_jitter: '16s',
        always_eject_one_host: true,
        enforcing_local_origin_success_rate: 0,
      },
    },
    {
      outlierDetection: {
        intervalMs: 1_000,
        enforcingConsecutive5xx: 2,
        enforcingSuccessRate: 3,
        successRateMinimumHosts: 4,
        successRateRequestVolume: 5,
        successRateStdevFactor: 6,
        consecutiveGatewayFailure: 7,
        enforcingConsecutiveGatewayFailure: 8,
        splitExternalLocalOriginErrors: true,
        consecutiveLocalOriginFailure: 9,
        enforcingConsecutiveLocalOriginFailure: 10,
        failurePercentageThreshold: 11,
        enforcingFailurePercentage: 12,
        failurePercentageMinimumHosts: 13,
        failurePercentageRequestVolume: 14,
        maxEjectionTimeMs: 15_000,
        maxEjectionTimeJitterMs: 16_000,
        alwaysEjectOneHost: true,
      },
    },
  ],
  [
    'load_assignment.policy',
    hosts(host(), {
      policy: {
        overprovisioning_factor: 200,
        drop_overloads: [{ category: 'x', drop_percentage: { numerator: 5, denominator: 'TEN_THOUSAND' } }],
      },
    }),
    { discovery: { endpoints: { overprovisioningPercent: 200, dropOverloads: [0.0005] } } },
  ],
  [
    'endpoints: locality, weight and priority',
    hosts({ ...host(), locality, load_balancing_weight: 3, priority: 1 }),
    {
      discovery: {
        endpoints: {
          specs: [{ locality: { region: 'r', zone: 'z', subZone: 's' }, localityWeight: 3, priority: 1 }],
        },
      },
    },
  ],
  [
    'endpoints: load_balancer_endpoints',
    hosts({ load_balancer_endpoints: host() }),
    { discovery: { endpoints: { specs: [{ address: { kind: 'ip', ip: '10.0.0.1', port: 80 } }] } } },
  ],
  [
    'lb_endpoints: health_status and load_balancing_weight',
    hosts(host({}, { health_status: 'DRAINING', load_balancing_weight: 4 })),
    { discovery: { endpoints: { specs: [{ health: 'draining', weight: 4 }] } } },
  ],
  [
    'endpoint: additional_addresses',
    hosts(host({ additional_addresses: [{ address: address('10.0.0.2') }] })),
    { discovery: { endpoints: { specs: [{ additionalAddresses: [{ ip: '10.0.0.2' }] }] } } },
  ],
  ['RoundRobin', policy('round_robin.v3.RoundRobin', weighted), { balancing: { localityWeighted: true } }],
  [
    'LeastRequest',
    policy('least_request.v3.LeastRequest', {
      ...weighted,
      choice_count: 3,
      active_request_bias: { default_value: 0.5 },
    }),
    { balancing: { localityWeighted: true, policy: { choiceCount: 3, activeRequestBias: 0.5 } } },
  ],
  ['Random', policy('random.v3.Random', weighted), { balancing: { localityWeighted: true } }],
  [
    'RingHash',
    policy('ring_hash.v3.RingHash', {
      minimum_ring_size: 8,
      maximum_ring_size: 16,
      consistent_hashing_lb_config: { use_hostname_for_hashing: true },
      locality_weighted_lb_config: {},
    }),
    {
      balancing: {
        localityWeighted: true,
        policy: { kind: 'ring-hash', minimumRingSize: 8, maximumRingSize: 16, useHostname: true },
      },
    },
  ],
  [
    'HttpProtocolOptions.upstream_http_protocol_options',
    httpOptions({
      explicit_http_config: { http_protocol_options: {} },
      upstream_http_protocol_options: { auto_sni: true, override_auto_sni_header: 'x-host' },
    }),
    { http: { autoSni: true, overrideAutoSniHeader: 'x-host' } },
  ],
  [
    'HttpProtocolOptions.use_downstream_protocol_config',
    httpOptions({
      use_downstream_protocol_config: {
        http_protocol_options: { enable_trailers: true },
        http2_protocol_options: { max_concurrent_streams: 9 },
      },
    }),
    {
      http: { protocol: 'downstream', http1: { enableTrailers: true }, http2: { maxConcurrentStreams: 9 } },
    },
  ],
  [
    'HttpProtocolOptions.auto_config',
    httpOptions({
      auto_config: {
        http_protocol_options: { enable_trailers: true },
        http2_protocol_options: { max_concurrent_streams: 9 },
      },
    }),
    { http: { protocol: 'alpn', http1: { enableTrailers: true }, http2: { maxConcurrentStreams: 9 } } },
  ],
  ...(['request', 'route', 'cluster'] as const).map((kind): [string, object, object] => [
    `passthrough metadata of the ${kind}`,
    internalSocket({ [kind]: {} }),
    { socket: { kind: 'internal', passthrough: [{ kind, namespace: 'ns' }] } },
  ]),
];

describe('a field of a cluster has its effect', () => {
  it.each(cases)('%s', (_, json, expected) => {
    expect(compile(json)).toMatchObject(expected);
  });

  it('or its resource is refused', () => {
    expect(() => compile({ connection_pool_per_downstream_connection: true })).toThrow(
      'c: connection_pool_per_downstream_connection: not supported',
    );
  });
});
