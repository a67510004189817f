import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { HeaderMap, type RouteInfo, type StreamInfo } from '../engine/types.ts';
import { testConnection, testStream, testTls } from '../filters/testing/stream.ts';
import { decodeRouteTable } from '../http/route/route-table.ts';
import type { ChosenRoute } from '../http/route/route.ts';
import { compileValueMatcher } from '../matching/value-matcher.ts';
import { message, testContext } from '../testing/compile.ts';
import { checkFields } from './check-fields.ts';

const TYPE = 'envoy.config.route.v3.RouteConfiguration';

function table(config: object) {
  const bytes = envoyFromJson(TYPE, config);
  checkFields(TYPE, bytes, { resource: 'r' });
  return decodeRouteTable(bytes, testContext());
}

interface Request {
  readonly path?: string;
  readonly fields?: readonly (readonly [string, string])[];
  readonly info?: StreamInfo;
}

const requestOf = ({ path = '/', fields = [] }: Request): HeaderMap =>
  HeaderMap.request({ method: 'GET', path, authority: 'a.test', fields: [...fields] });

/** The route of a request by a table whose one virtual host has these routes. */
function find(o: {
  readonly routes: readonly object[];
  readonly host?: object;
  readonly table?: object;
  readonly request?: Request;
}): ChosenRoute | undefined {
  const routes = table({
    virtual_hosts: [{ name: 'v', domains: ['*'], routes: o.routes, ...o.host }],
    ...o.table,
  });
  const request = o.request ?? {};
  const found = routes.find(requestOf(request), request.info ?? testStream(), 0);
  return found.kind === 'route' ? found.route : undefined;
}

const to = (action: object = {}, more: object = {}): object => ({
  match: { prefix: '/' },
  route: { cluster: 'c', ...action },
  ...more,
});

function forwardOf(route: ChosenRoute | undefined) {
  const action = route?.route.action;
  return action?.kind === 'forward' ? action.forward : undefined;
}

const append = (key: string, value: string) => ({ header: { key, value } });

describe('a field of a route has its effect', () => {
  it.each<[string, object, object]>([
    ['priority', { priority: 'HIGH' }, { priority: 'high' }],
    [
      'max_stream_duration.grpc_timeout_header_max',
      { max_stream_duration: { grpc_timeout_header_max: '3s' } },
      { grpcTimeoutHeaderMaxMs: 3_000 },
    ],
    [
      'retry_policy: hosts, request headers and back-off on request',
      {
        retry_policy: {
          retry_on: '5xx',
          retry_host_predicate: [
            {
              name: 'envoy.retry_host_predicates.previous_hosts',
              typed_config: {
                '@type':
                  'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
              },
            },
          ],
          rate_limited_retry_back_off: {
            reset_headers: [
              { name: 'retry-after', format: 'SECONDS' },
              { name: 'x-reset', format: 'UNIX_TIMESTAMP' },
            ],
            max_interval: '9s',
          },
        },
      },
      {
        retry: {
          avoidPreviousHosts: true,
          rateLimited: {
            headers: [
              { name: 'retry-after', format: 'seconds' },
              { name: 'x-reset', format: 'unix' },
            ],
            maxIntervalMs: 9_000,
          },
        },
      },
    ],
  ])('%s', (_, action, expected) => {
    expect(forwardOf(find({ routes: [to(action)] }))).toMatchObject(expected);
  });

  it('retry_policy.retriable_request_headers', () => {
    const retry_policy = { retriable_request_headers: [{ name: 'x-idempotent', present_match: true }] };
    const matches = forwardOf(find({ routes: [to({ retry_policy })] }))?.retry?.retriableRequestHeaders;
    expect(matches?.(requestOf({ fields: [['x-idempotent', '1']] }))).toBe(true);
    expect(matches?.(requestOf({}))).toBe(false);
  });

  it('retry_policy of the virtual host', () => {
    const route = find({ routes: [to()], host: { retry_policy: { retry_on: '5xx', num_retries: 7 } } });
    expect(forwardOf(route)?.retry).toMatchObject({ retries: 7 });
  });

  it('metadata_match of the route and of a weighted cluster', () => {
    const match = (key: string) => ({ filter_metadata: { 'envoy.lb': { [key]: 'x' } } });
    expect(find({ routes: [to({ metadata_match: match('a') })] })?.cluster?.metadataMatch).toEqual({
      a: 'x',
    });
    const weighted_clusters = { clusters: [{ name: 'd', weight: 1, metadata_match: match('b') }] };
    const route = find({
      routes: [{ match: { prefix: '/' }, route: { weighted_clusters, metadata_match: match('a') } }],
    });
    expect(route?.cluster?.metadataMatch).toEqual({ a: 'x', b: 'x' });
  });

  it('cluster_header, host_rewrite_literal and response_headers_to_remove of a weighted cluster', () => {
    const weighted_clusters = {
      clusters: [
        {
          cluster_header: 'x-to',
          weight: 1,
          host_rewrite_literal: 'b.test',
          response_headers_to_remove: ['x-drop'],
        },
      ],
    };
    const route = find({
      routes: [{ match: { prefix: '/' }, route: { weighted_clusters } }],
      request: { fields: [['x-to', 'elsewhere']] },
    });
    expect(route?.cluster).toMatchObject({ name: 'elsewhere', hostRewrite: 'b.test' });
    const headers = HeaderMap.response(200, { 'x-drop': '1' });
    route?.mutate('response', headers, testStream());
    expect(headers.has('x-drop')).toBe(false);
  });

  it('request_mirror_policies of the virtual host, of the table, and their fields', () => {
    const mirror = {
      cluster_header: 'x-mirror',
      runtime_fraction: { default_value: { numerator: 5, denominator: 'TEN_THOUSAND' } },
      disable_shadow_host_suffix_append: true,
    };
    const headers = requestOf({ fields: [['x-mirror', 'm']] });
    for (const place of [
      { host: { request_mirror_policies: [mirror] } },
      { table: { request_mirror_policies: [mirror] } },
    ]) {
      const [policy] = forwardOf(find({ routes: [to()], ...place }))?.mirrors ?? [];
      expect(policy).toMatchObject({ fraction: 0.0005, appendShadowSuffix: false });
      expect(policy?.cluster(headers)).toBe('m');
    }
  });

  it('metadata of route and virtual host; per_request_buffer_limit_bytes', () => {
    const metadata = { filter_metadata: { ns: { a: 1 } } };
    const route = find({
      routes: [to({}, { metadata, per_request_buffer_limit_bytes: 9 })],
      host: { metadata: { filter_metadata: { ns: { b: 2 } } } },
    });
    expect(route?.metadata.get('ns')).toEqual({ a: 1 });
    expect(route?.virtualHostMetadata.get('ns')).toEqual({ b: 2 });
    expect(route?.route.bufferLimitBytes).toBe(9);
  });

  it('max_direct_response_body_size_bytes', () => {
    const routes = [
      { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: '12345' } } },
    ];
    expect(find({ routes, table: { max_direct_response_body_size_bytes: 5 } })).toBeDefined();
    expect(() => find({ routes, table: { max_direct_response_body_size_bytes: 4 } })).toThrow(
      'exceeds 4 bytes',
    );
  });

  it('header changes of the table and of the virtual host, and who wins', () => {
    const route = (most_specific_header_mutations_wins: boolean) =>
      find({
        routes: [to({}, { response_headers_to_add: [{ ...append('x', 'route'), append: false }] })],
        host: { response_headers_to_remove: ['x-host-drop'] },
        table: {
          most_specific_header_mutations_wins,
          response_headers_to_add: [{ ...append('x', 'table'), append: false }],
          request_headers_to_remove: ['x-table-drop'],
        },
      });
    const response = HeaderMap.response(200, { 'x-host-drop': '1' });
    route(false)?.mutate('response', response, testStream());
    expect([response.getAll('x'), response.has('x-host-drop')]).toEqual([['table'], false]);
    route(true)?.mutate('response', response, testStream());
    expect(response.getAll('x')).toEqual(['route']);
    const request = requestOf({ fields: [['x-table-drop', '1']] });
    route(false)?.mutate('request', request, testStream());
    expect(request.has('x-table-drop')).toBe(false);
  });

  it('append: adds a value, or replaces', () => {
    const headers = HeaderMap.response(200, { x: 'old' });
    find({
      routes: [to({}, { response_headers_to_add: [{ ...append('x', 'new'), append: true }] })],
    })?.mutate('response', headers, testStream());
    expect(headers.getAll('x')).toEqual(['old', 'new']);
  });

  describe('typed_per_filter_config', () => {
    const fault = (status: number) => ({
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
      abort: { http_status: status, percentage: { numerator: 100 } },
    });
    const wrapped = (config: object) => ({
      '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig',
      ...config,
    });
    const at = (config: object) => ({ typed_per_filter_config: { f: config } });
    const statusOf = (route: RouteInfo | undefined): unknown => {
      const policy = route?.filterConfig('f');
      return typeof policy === 'object' && policy !== null && 'abort' in policy ? policy.abort : policy;
    };
    const weighted = { clusters: [{ name: 'd', weight: 1, ...at(fault(501)) }] };

    it.each<[string, Parameters<typeof find>[0], number]>([
      ['of the table', { routes: [to()], table: at(fault(504)) }, 504],
      ['of the virtual host', { routes: [to()], host: at(fault(503)), table: at(fault(504)) }, 503],
      [
        'of a weighted cluster',
        {
          routes: [{ match: { prefix: '/' }, route: { weighted_clusters: weighted }, ...at(fault(502)) }],
        },
        501,
      ],
      ['in a FilterConfig', { routes: [to({}, at(wrapped({ config: fault(505) })))] }, 505],
    ])('%s', (_, o, status) => {
      expect(statusOf(find(o))).toMatchObject({ reply: { status } });
    });

    it('FilterConfig.disabled takes the filter out', () => {
      expect(typeof statusOf(find({ routes: [to({}, at(wrapped({ disabled: true })))] }))).toBe('symbol');
    });

    it('FilterConfig.is_optional lets a type pass that nothing here knows', () => {
      const config = {
        '@type':
          'type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute',
      };
      expect(
        statusOf(find({ routes: [to({}, at(wrapped({ config, is_optional: true })))] })),
      ).toBeUndefined();
      expect(() => find({ routes: [to({}, at(wrapped({ config })))] })).toThrow(
        "Didn't find a registered implementation for type",
      );
    });
  });

  it.each([
    ['presented', { presented: true }, testTls({ peerCertificatePem: 'PEM', peerValidated: false }), true],
    ['presented', { presented: true }, testTls({}), false],
    ['validated', { validated: true }, testTls({ peerValidated: true }), true],
    ['validated', { validated: false }, testTls({ peerValidated: true }), false],
  ])('match.tls_context.%s: %j', (_, tls_context, tls, matches) => {
    const routes = [{ match: { prefix: '/', tls_context }, route: { cluster: 'c' } }];
    const info = testStream({ connection: testConnection({ tls }) });
    expect(find({ routes, request: { info } }) !== undefined).toBe(matches);
  });

  it.each([
    ['prefix_match', 'a', 'abc'],
    ['suffix_match', 'c', 'abc'],
    ['contains_match', 'b', 'abc'],
  ])('match.headers.%s', (matcher, text, value) => {
    const routes = [
      { match: { prefix: '/', headers: [{ name: 'x', [matcher]: text }] }, route: { cluster: 'c' } },
    ];
    expect(find({ routes, request: { fields: [['x', value]] } })).toBeDefined();
    expect(find({ routes, request: { fields: [['x', 'z']] } })).toBeUndefined();
  });

  it.each<[string, object, unknown, unknown]>([
    ['null_match', { null_match: {} }, null, 0],
    ['double_match.exact', { double_match: { exact: 1.5 } }, 1.5, 2],
    [
      'or_match',
      { or_match: { value_matchers: [{ bool_match: true }, { string_match: { exact: 'x' } }] } },
      'x',
      'y',
    ],
  ])('ValueMatcher.%s', (_, json, yes, no) => {
    const { ValueMatcher } = envoy.type.matcher.v3;
    const matches = compileValueMatcher(message(ValueMatcher, 'envoy.type.matcher.v3.ValueMatcher', json));
    expect([matches(yes as never), matches(no as never)]).toEqual([true, false]); // any plain data is a value
  });
});
