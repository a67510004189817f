import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { ConfigError, HeaderMap } from '../../engine/types.ts';
import { createConnectionInfo, createTcpStreamInfo } from '../../network/connection-info.ts';
import { testContext } from '../../testing/compile.ts';
import { parseGrpcTimeout } from '../router/timeouts.ts';
import { decodeRouteTable } from './route-table.ts';
import { DomainTable } from './virtual-hosts.ts';
import { withoutPort } from './route-table.ts';

const address = { kind: 'ip', ip: '10.0.0.1', port: 1 } as const;
const info = createTcpStreamInfo(
  createConnectionInfo({ remoteAddress: address, localAddress: address, startTimeMs: 0 }),
  'inbound',
);

function table(virtualHosts: readonly unknown[], more: object = {}) {
  const bytes = envoyFromJson('envoy.config.route.v3.RouteConfiguration', {
    name: 'r',
    virtualHosts,
    ...more,
  });
  return decodeRouteTable(bytes, testContext());
}

function find(
  of: ReturnType<typeof table>,
  o: { authority?: string; path?: string; fields?: [string, string][] },
): string | undefined {
  const headers = HeaderMap.request({
    method: 'GET',
    path: o.path ?? '/',
    authority: o.authority ?? 'a',
    fields: o.fields ?? [],
  });
  const found = of.find(headers, info, 0);
  return found.kind === 'route' ? found.route.name || found.route.virtualHost : undefined;
}

describe('domains', () => {
  const domains = ['a.com', '*.a.com', '*-x.a.com', '*.b.a.com', 'a.*', 'a.b.*', '*'];
  const tree = new DomainTable<string>();
  for (const domain of domains) tree.add(domain, domain);
  it.each([
    ['a.com', 'a.com'],
    ['A.COM', 'a.com'],
    ['x.a.com', '*.a.com'],
    ['x.y.a.com', '*.a.com'],
    ['z-x.a.com', '*-x.a.com'],
    ['x.b.a.com', '*.b.a.com'],
    ['a.net', 'a.*'],
    ['a.b.net', 'a.b.*'],
    ['a.com:80', 'a.*'],
    ['a.com.', 'a.*'],
    ['.a.com', '*'],
    ['other', '*'],
    ['', '*'],
  ])('%s is served by %s', (host, domain) => {
    expect(tree.find(host)).toBe(domain);
  });
  it.each(['a.com', 'A.com', '*', '*.a.com', 'a.*'])('%s may be there once', (domain) => {
    expect(() => tree.add(domain, 'again')).toThrow(/twice|only one/);
  });
});

describe('route tables', () => {
  const host = (routes: readonly unknown[], more: object = {}) => ({
    name: 'v',
    domains: ['*'],
    routes,
    ...more,
  });
  const to = (name: string, match: object) => ({ name, match, route: { cluster: 'c' } });

  it.each<[name: string, match: object, path: string, fields: [string, string][], matches: boolean]>([
    ['prefix', { prefix: '/foo' }, '/foobar', [], true],
    ['prefix without the query', { prefix: '/foo?' }, '/foo?x', [], false],
    ['prefix in any case', { prefix: '/FOO', caseSensitive: false }, '/foo', [], true],
    ['path', { path: '/foo' }, '/foo?x', [], true],
    ['path', { path: '/foo' }, '/foo/', [], false],
    ['path_separated_prefix', { pathSeparatedPrefix: '/psp' }, '/psp', [], true],
    ['path_separated_prefix', { pathSeparatedPrefix: '/psp' }, '/psp/x', [], true],
    ['path_separated_prefix', { pathSeparatedPrefix: '/psp' }, '/psp?x', [], true],
    ['path_separated_prefix', { pathSeparatedPrefix: '/psp' }, '/pspx', [], false],
    ['a regex on the whole path', { safeRegex: { regex: '/b[^/]+' } }, '/bar/x', [], false],
    ['a regex', { safeRegex: { regex: '/b[^/]+' } }, '/bar?x=/', [], true],
    [
      'a header among lines',
      { prefix: '/', headers: [{ name: 'h', stringMatch: { exact: '2' } }] },
      '/',
      [
        ['h', '1'],
        ['h', '2'],
      ],
      true,
    ],
    [
      'not a header joined in one line',
      { prefix: '/', headers: [{ name: 'h', stringMatch: { exact: '2' } }] },
      '/',
      [['h', '1,2']],
      false,
    ],
    [
      'an absent header, inverted',
      { prefix: '/', headers: [{ name: 'h', stringMatch: { exact: '2' }, invertMatch: true }] },
      '/',
      [],
      false,
    ],
    [
      'a query parameter as sent',
      { prefix: '/', queryParameters: [{ name: 'a', stringMatch: { exact: '1' } }] },
      '/?a=%31',
      [],
      false,
    ],
    [
      'the first of a query parameter',
      { prefix: '/', queryParameters: [{ name: 'a', stringMatch: { exact: '1' } }] },
      '/?a=1&a=2',
      [],
      true,
    ],
    ['gRPC', { prefix: '/', grpc: {} }, '/', [['content-type', 'application/grpc+proto']], true],
    ['gRPC, not grpc-web', { prefix: '/', grpc: {} }, '/', [['content-type', 'application/grpc-web']], false],
  ])('match by %s', (_, match, path, fields, matches) => {
    const found = find(table([host([to('hit', match), to('miss', { prefix: '/' })])]), { path, fields });
    expect(found).toBe(matches ? 'hit' : 'miss');
  });

  it('match dynamic metadata, as JWT claims', () => {
    const routes = table([
      host([
        to('alice', {
          prefix: '/',
          dynamicMetadata: [
            {
              filter: 'envoy.filters.http.jwt_authn',
              path: [{ key: 'payload' }, { key: 'sub' }],
              value: { stringMatch: { exact: 'alice' } },
            },
          ],
        }),
      ]),
    ]);
    expect(find(routes, {})).toBeUndefined();
    info.dynamicMetadata.set('envoy.filters.http.jwt_authn', { payload: { sub: 'alice' } });
    expect(find(routes, {})).toBe('alice');
    info.dynamicMetadata.clear();
  });

  it('take the port for a part of the domain unless told', () => {
    const hosts = [
      { name: 'port', domains: ['a:80'], routes: [to('', { prefix: '/' })] },
      { name: 'plain', domains: ['a'], routes: [to('', { prefix: '/' })] },
    ];
    expect(find(table(hosts), { authority: 'a:80' })).toBe('port');
    expect(find(table(hosts.slice(1)), { authority: 'a:80' })).toBeUndefined();
    expect(find(table(hosts.slice(1), { ignorePortInHostMatching: true }), { authority: 'a:80' })).toBe(
      'plain',
    );
  });

  it.each<[name: string, hosts: readonly unknown[], reason: RegExp]>([
    ['a domain twice', [host([]), { ...host([]), name: 'w' }], /virtual_hosts\[1\]\.domains\[0\]/],
    ['a name twice', [host([]), { ...host([]), domains: ['x'] }], /virtual_hosts\[1\]\.name/],
    [
      'no weight',
      [
        host([
          { match: { prefix: '/' }, route: { weightedClusters: { clusters: [{ name: 'c', weight: 0 }] } } },
        ]),
      ],
      /routes\[0\]\.route\.weighted_clusters/,
    ],
    ['no action', [host([{ match: { prefix: '/' } }])], /routes\[0\].*action/],
    ['no cluster', [host([{ match: { prefix: '/' }, route: {} }])], /cluster/],
    ['a bad regex', [host([to('x', { safeRegex: { regex: '(' } })])], /routes\[0\]\.match\.safe_regex/],
    ['a bad separated prefix', [host([to('x', { pathSeparatedPrefix: '/a/' })])], /path_separated_prefix/],
    [
      'a host header added',
      [
        host([
          { ...to('x', { prefix: '/' }), requestHeadersToAdd: [{ header: { key: 'Host', value: 'x' } }] },
        ]),
      ],
      /request_headers_to_add\[0\].*can't be changed/,
    ],
    [
      'a pseudo header removed',
      [host([{ ...to('x', { prefix: '/' }), requestHeadersToRemove: [':path'] }])],
      /request_headers_to_remove\[0\]/,
    ],
    [
      'an unknown operator',
      [
        host([
          {
            ...to('x', { prefix: '/' }),
            responseHeadersToAdd: [{ header: { key: 'a', value: '%NO_SUCH%' } }],
          },
        ]),
      ],
      /response_headers_to_add\[0\]/,
    ],
    [
      'too long a direct response',
      [
        host([
          {
            match: { prefix: '/' },
            directResponse: { status: 200, body: { inlineString: 'x'.repeat(5000) } },
          },
        ]),
      ],
      /direct_response\.body.*4096/,
    ],
    [
      'a filter nobody knows',
      [
        host([
          {
            ...to('x', { prefix: '/' }),
            typedPerFilterConfig: {
              f: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' },
            },
          },
        ]),
      ],
      /typed_per_filter_config\["f"\].*registered implementation/,
    ],
  ])('refuse %s, telling where', (_, hosts, reason) => {
    expect(() => table(hosts)).toThrow(ConfigError);
    expect(() => table(hosts)).toThrow(reason);
  });
});

it.each([
  ['a:80', 'a'],
  ['a', 'a'],
  ['[::1]:80', '[::1]'],
  ['[::1]', '[::1]'],
  ['::1', '::1'],
])('takes the port off %s: %s', (authority, host) => {
  expect(withoutPort(authority)).toBe(host);
});

it.each([
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['4m', 4],
  ['1500u', 2],
  ['1n', 1],
  ['0m', 0],
  ['123456789S', undefined],
  ['1s', undefined],
  ['', undefined],
  ['-1S', undefined],
])('reads grpc-timeout %s: %s ms', (text, ms) => {
  expect(parseGrpcTimeout(text)).toBe(ms);
});
