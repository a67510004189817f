import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import Long from 'long';
import { any, assignment, createTestEngine } from '../testing/engine.ts';

type ClusterMessage = envoy.config.cluster.v3.Cluster.$Properties;
const { DiscoveryType, LbPolicy } = envoy.config.cluster.v3.Cluster;
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function compile(message: object) {
  const test = createTestEngine();
  // Partial messages: what is left out is what is tested.
  const { cluster } = test.cluster(message as ClusterMessage);
  const { config } = cluster;
  cluster.close();
  return { config };
}

function tls(context: object) {
  const type = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
  const typedConfig = any(envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, type, context);
  return { name: 'tls', configType: 'typedConfig', typedConfig };
}

describe('a cluster resource', () => {
  it('has Envoy’s defaults', () => {
    const { config } = compile({ name: 'a', loadAssignment: assignment(80) });
    expect(config).toMatchObject({
      name: 'a',
      statName: 'a',
      connectTimeoutMs: 5_000,
      bufferLimitBytes: 1_048_576,
      balancing: { policy: { kind: 'round-robin' }, panicPercent: 50, localityWeighted: false },
      thresholds: { default: { maxConnections: 1024, maxRetries: 3 } },
      outlierDetection: undefined,
      socket: { kind: 'raw' },
      http: { protocol: 'http1', idleTimeoutMs: 3_600_000, maxRequestsPerConnection: 0 },
    });
  });

  it('takes thresholds by priority, outlier detection, and the name for statistics', () => {
    const { config } = compile({
      name: 'a',
      altStatName: 'a;',
      circuitBreakers: { thresholds: [{ priority: 1, maxRequests: { value: 7 }, retryBudget: {} }] },
      outlierDetection: {
        consecutive_5xx: { value: 2 },
        baseEjectionTime: { seconds: Long.fromNumber(400) },
      },
    });
    expect(config.statName).toBe('a;');
    expect(config.thresholds.default.maxRequests).toBe(1024);
    expect(config.thresholds.high).toMatchObject({
      maxRequests: 7,
      retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
    });
    expect(config.outlierDetection).toMatchObject({ consecutive5xx: 2, maxEjectionTimeMs: 400_000 });
  });

  it('takes the first load balancing policy of the list that it knows', () => {
    const policy = (typedConfig: object) => ({ typedExtensionConfig: { name: 'x', typedConfig } });
    const { LeastRequest } = envoy.extensions.load_balancing_policies.least_request.v3;
    const type = 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest';
    const { config } = compile({
      name: 'a',
      loadBalancingPolicy: {
        policies: [
          policy({ type_url: 'type.googleapis.com/unknown.Policy' }),
          policy(any(LeastRequest, type, { choiceCount: { value: 5 } })),
        ],
      },
    });
    expect(config.balancing.policy).toEqual({ kind: 'least-request', choiceCount: 5, activeRequestBias: 1 });
  });

  it.each<[string, object, string]>([
    ['no name', {}, 'name: is required'],
    [
      'an unknown transport socket',
      {
        name: 'a',
        transportSocket: {
          name: 'x',
          configType: 'typedConfig',
          typedConfig: { type_url: 'type.googleapis.com/x.Y' },
        },
      },
      'a: transport_socket.typed_config: no transport socket of type type.googleapis.com/x.Y is registered',
    ],
    [
      'EDS without a source',
      { name: 'a', type: DiscoveryType.EDS },
      'a: eds_cluster_config.eds_config: is required',
    ],
    [
      'ORIGINAL_DST with a balancer',
      { name: 'a', type: DiscoveryType.ORIGINAL_DST },
      'a: lb_policy: ORIGINAL_DST needs CLUSTER_PROVIDED',
    ],
    [
      'CLUSTER_PROVIDED by nobody',
      { name: 'a', lbPolicy: LbPolicy.CLUSTER_PROVIDED },
      'a: lb_policy: CLUSTER_PROVIDED is for ORIGINAL_DST clusters',
    ],
    [
      'an aggregate cluster',
      { name: 'a', clusterDiscoveryType: 'clusterType', clusterType: { name: 'envoy.clusters.aggregate' } },
      'a: cluster_type: cluster type envoy.clusters.aggregate is not supported',
    ],
    [
      'a Maglev table that is not prime',
      {
        name: 'a',
        lbPolicy: LbPolicy.MAGLEV,
        maglevLbConfig: { tableSize: { value: Long.fromNumber(100) } },
      },
      'a: maglev_lb_config.table_size: must be prime',
    ],
    [
      'SAN matchers that trust nobody',
      {
        name: 'a',
        transportSocket: tls({
          commonTlsContext: {
            validationContextType: 'validationContext',
            validationContext: {
              matchTypedSubjectAltNames: [{ sanType: 3, matcher: { matchPattern: 'exact', exact: 'x' } }],
            },
          },
        }),
      },
      'a: transport_socket.typed_config.common_tls_context.validation_context: SAN matchers need trusted_ca',
    ],
    [
      'a TLS minimum above the client’s default maximum',
      {
        name: 'a',
        transportSocket: tls({ commonTlsContext: { tlsParams: { tlsMinimumProtocolVersion: 4 } } }),
      },
      'a: transport_socket.typed_config.common_tls_context.tls_params: the minimum is above the maximum (client default TLSv1_2)',
    ],
    [
      'HTTP/3',
      {
        name: 'a',
        typedExtensionProtocolOptions: {
          [HTTP_OPTIONS]: any(envoy.extensions.upstreams.http.v3.HttpProtocolOptions, HTTP_OPTIONS, {
            explicitHttpConfig: { http3ProtocolOptions: {} },
          }),
        },
      },
      `a: typed_extension_protocol_options[${HTTP_OPTIONS}].explicit_http_config: HTTP/3 is not supported`,
    ],
    [
      'a host that is a name',
      {
        name: 'a',
        loadAssignment: {
          endpoints: [
            {
              lbEndpoints: [
                { endpoint: { address: { socketAddress: { address: 'b.example', portValue: 1 } } } },
              ],
            },
          ],
        },
      },
      'a: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "b.example" is not an IP address',
    ],
  ])('is rejected for %s, with the place in the message', (_, message, text) => {
    expect(() => compile(message)).toThrow(text);
  });
});
