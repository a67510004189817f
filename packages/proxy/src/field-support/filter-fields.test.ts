import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { accessLogFiles, compileAccessLogs } from '../access-log/index.ts';
import { compileLogFilter } from '../access-log/filter.ts';
import { HeaderMap, type HttpFilterFactory, type StreamInfo } from '../engine/types.ts';
import { cors } from '../filters/cors.ts';
import { fault } from '../filters/fault.ts';
import { headerMutation } from '../filters/header-mutation.ts';
import { jwtAuthn } from '../filters/jwt-authn/http-filter.ts';
import { compilePermission } from '../filters/rbac/permission.ts';
import { compilePrincipal } from '../filters/rbac/principal.ts';
import { httpRbac } from '../filters/rbac/http-filter.ts';
import { networkRbac } from '../filters/rbac/network-filter.ts';
import { compileFilterStateValues } from '../filters/set-filter-state.ts';
import {
  get,
  pass,
  testConnection,
  testContext,
  testEngine,
  testRoute,
  testStream,
} from '../filters/testing/stream.ts';
import { tcpProxyConfig } from '../network/tcp-proxy/config.ts';
import { message } from '../testing/compile.ts';
import { checkFields } from './check-fields.ts';

/** The encoded message, which nothing in it makes unsupported. */
function encoded(type: string, json: object): Uint8Array {
  const bytes = envoyFromJson(type, json);
  checkFields(type, bytes, { resource: 'r' });
  return bytes;
}

function filterOf(factory: HttpFilterFactory, type: string, json: object, engine = testEngine()) {
  const compiled = factory.compile(encoded(type, json), testContext(engine), '');
  return { compiled, engine };
}

describe('a field of tcp_proxy has its effect', () => {
  const { TcpProxy } = envoy.extensions.filters.network.tcp_proxy.v3;
  const TYPE = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
  const lb = (match: object) => ({ filter_metadata: { 'envoy.lb': match } });
  const compile = (json: object) =>
    tcpProxyConfig(TcpProxy.decode(encoded(TYPE, { stat_prefix: 'x', ...json })), testContext());

  it.each<[string, object, object]>([
    [
      'metadata_match',
      { cluster: 'c', metadata_match: lb({ a: 'x' }) },
      { clusters: [{ metadataMatch: { a: 'x' } }] },
    ],
    [
      'weighted_clusters.clusters.metadata_match',
      {
        metadata_match: lb({ a: 'x' }),
        weighted_clusters: { clusters: [{ name: 'c', weight: 1, metadata_match: lb({ b: 'y' }) }] },
      },
      { clusters: [{ metadataMatch: { a: 'x', b: 'y' } }] },
    ],
    [
      'tunneling_config',
      {
        cluster: 'c',
        tunneling_config: { hostname: 'h:1', use_post: true, propagate_response_headers: true },
      },
      { tunneling: { usePost: true, propagateResponseHeaders: true } },
    ],
  ])('%s', (_, json, expected) => {
    expect(compile(json)).toMatchObject(expected);
  });
});

describe('a field of an access log has its effect', () => {
  const TYPE = 'envoy.config.accesslog.v3.AccessLog';
  const file = (config: object) => ({
    name: 'log',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      ...config,
    },
  });
  const finished = (parts: Partial<StreamInfo> = {}) =>
    testStream({ responseCode: 200, requestHeaders: get('/a'), timings: { start: 1, end: 2 }, ...parts });

  async function lines(config: (path: string) => object, infos: readonly StreamInfo[]): Promise<string> {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-filter-fields-'));
    const target = path.join(directory, 'log');
    const engine = testEngine();
    const log = envoy.config.accesslog.v3.AccessLog.decode(encoded(TYPE, config(target)));
    const logger = compileAccessLogs([log], testContext(engine));
    for (const info of infos) logger.log(info);
    await accessLogFiles(engine).close();
    const text = readFileSync(target, 'utf8');
    rmSync(directory, { recursive: true });
    return text;
  }

  it.each([
    ['json_format', '{"code":200}\n'],
    ['typed_json_format', '{"code":200}\n'],
  ])('%s', async (format, text) => {
    expect(
      await lines((target) => file({ path: target, [format]: { code: '%RESPONSE_CODE%' } }), [finished()]),
    ).toBe(text);
  });

  it('filter', async () => {
    const filter = { status_code_filter: { comparison: { op: 'GE', value: { default_value: 400 } } } };
    const config = (target: string) => ({
      ...file({ path: target, log_format: { text_format: '%RESPONSE_CODE%\n' } }),
      filter,
    });
    expect(await lines(config, [finished(), finished({ responseCode: 404 })])).toBe('404\n');
  });

  it.each([
    ['StdoutAccessLog', '/dev/stdout'],
    ['StderrAccessLog', '/dev/stderr'],
  ])('%s.log_format', async (type, target) => {
    const engine = testEngine();
    const written: string[] = [];
    accessLogFiles(engine).open = (opened) => ({
      dropped: 0,
      write: (line) => void written.push(`${opened} ${line}`),
    });
    const config = {
      name: 'log',
      typed_config: {
        '@type': `type.googleapis.com/envoy.extensions.access_loggers.stream.v3.${type}`,
        log_format: { text_format: '%RESPONSE_CODE%\n' },
      },
    };
    const log = envoy.config.accesslog.v3.AccessLog.decode(encoded(TYPE, config));
    compileAccessLogs([log], testContext(engine)).log(finished());
    expect(written).toEqual([`${target} 200\n`]);
  });

  const { AccessLogFilter } = envoy.config.accesslog.v3;
  const wants = (json: object, info: StreamInfo): boolean =>
    compileLogFilter(
      AccessLogFilter.decode(encoded('envoy.config.accesslog.v3.AccessLogFilter', json)),
      () => 0.5,
    )(info);
  const grpc = (status: string) =>
    finished({
      requestHeaders: get('/', { 'content-type': 'application/grpc' }),
      responseTrailers: HeaderMap.response(200, { 'grpc-status': status }),
    });

  it.each<[string, object, StreamInfo, StreamInfo]>([
    [
      'not_health_check_filter',
      { not_health_check_filter: {} },
      finished(),
      finished({ requestHeaders: get('/', { 'user-agent': 'Envoy/HC' }) }),
    ],
    [
      'grpc_status_filter.statuses',
      { grpc_status_filter: { statuses: ['NOT_FOUND'] } },
      grpc('5'),
      grpc('0'),
    ],
    [
      'grpc_status_filter.exclude',
      { grpc_status_filter: { statuses: ['NOT_FOUND'], exclude: true } },
      grpc('0'),
      grpc('5'),
    ],
  ])('%s', (_, json, yes, no) => {
    expect([wants(json, yes), wants(json, no)]).toEqual([true, false]);
  });
});

describe('a field of RBAC has its effect', () => {
  const { Permission, Principal } = envoy.config.rbac.v3;
  const from = (ip: string) =>
    testStream({ connection: testConnection({ remoteAddress: { kind: 'ip', ip, port: 1 } }) });
  const at = (target: string) => testStream({ requestHeaders: get(target) });
  const metadata = { filter: 'ns', path: [{ key: 'k' }], value: { string_match: { exact: 'v' } } };
  const withMetadata = (value: string) => {
    const info = testStream();
    info.dynamicMetadata.set('ns', { k: value });
    return info;
  };
  const cidr = { address_prefix: '10.1.0.0', prefix_len: 16 };

  it.each<[string, object, StreamInfo, StreamInfo]>([
    ['source_ip', { source_ip: cidr }, from('10.1.2.3'), from('10.2.2.3')],
    ['url_path', { url_path: { path: { prefix: '/a' } } }, at('/a/b'), at('/b')],
    [
      'or_ids',
      { or_ids: { ids: [{ source_ip: cidr }, { url_path: { path: { prefix: '/a' } } }] } },
      at('/a'),
      at('/b'),
    ],
  ])('principals.%s', (_, json, yes, no) => {
    const matches = compilePrincipal(Principal.decode(encoded('envoy.config.rbac.v3.Principal', json)));
    expect([matches(yes), matches(no)]).toEqual([true, false]);
  });

  it('permissions.metadata', () => {
    const matches = compilePermission(
      Permission.decode(encoded('envoy.config.rbac.v3.Permission', { metadata })),
    );
    expect([matches(withMetadata('v')), matches(withMetadata('w'))]).toEqual([true, false]);
  });

  const policies = { p: { permissions: [{ any: true }], principals: [{ any: true }] } };

  it('rules_stat_prefix', () => {
    const { compiled, engine } = filterOf(httpRbac, 'envoy.extensions.filters.http.rbac.v3.RBAC', {
      rules: { policies },
      rules_stat_prefix: 'mine_',
    });
    pass(compiled.create(testStream()), get());
    const counted = [...engine.stats.all()].filter(({ value }) => 'value' in value && value.value === 1);
    expect(counted.map(({ fullName }) => fullName)).toEqual([expect.stringMatching(/mine_.*allowed$/)]);
  });

  it('shadow_rules and shadow_rules_stat_prefix of a network filter', () => {
    const engine = testEngine();
    const compiled = networkRbac.compile(
      encoded('envoy.extensions.filters.network.rbac.v3.RBAC', {
        stat_prefix: 'tcp.',
        shadow_rules: { action: 'DENY', policies },
        shadow_rules_stat_prefix: 'dry_',
      }),
      testContext(engine),
      '',
    );
    const info = testStream();
    if (compiled.kind === 'filter') compiled.create().onNewConnection(undefined as never, info); // it looks at the info
    const counted = [...engine.stats.all()].filter(({ value }) => 'value' in value && value.value === 1);
    expect(counted.map(({ fullName }) => fullName)).toEqual([expect.stringMatching(/dry_.*shadow_denied$/)]);
  });
});

describe('a field of other filters has its effect', () => {
  const HTTP = 'envoy.extensions.filters.http';
  const all = { default_value: { numerator: 100 } };
  const none = { default_value: { numerator: 0 } };
  const preflight = (fields: Readonly<Record<string, string>> = {}) =>
    HeaderMap.request({
      method: 'OPTIONS',
      path: '/',
      authority: 'a',
      fields: Object.entries({ origin: 'http://a.test', 'access-control-request-method': 'GET', ...fields }),
    });
  const answered = (policy: object, fields?: Readonly<Record<string, string>>) => {
    const { compiled } = filterOf(cors, `${HTTP}.cors.v3.Cors`, {});
    const bytes = encoded(`${HTTP}.cors.v3.CorsPolicy`, {
      allow_origin_string_match: [{ exact: 'http://a.test' }],
      ...policy,
    });
    const route = testRoute({ [cors.name]: cors.compileRoute?.(bytes, testContext(), '') });
    return pass(compiled.create(testStream()), preflight(fields), { route });
  };

  it('CorsPolicy.filter_enabled and shadow_enabled', () => {
    expect(answered({ filter_enabled: all }).status).toBe('replied');
    expect(answered({ filter_enabled: none }).status).toBe('continued');
    expect(answered({ filter_enabled: none, shadow_enabled: all }).status).toBe('continued');
  });

  it('CorsPolicy.allow_private_network_access', () => {
    const asks = { 'access-control-request-private-network': 'true' };
    const header = (passage: ReturnType<typeof answered>): unknown =>
      new Map(passage.reply?.headers ?? []).get('access-control-allow-private-network');
    expect(header(answered({ allow_private_network_access: true }, asks))).toBe('true');
    expect(header(answered({ allow_private_network_access: false }, asks))).toBeUndefined();
  });

  it('HTTPFault.upstream_cluster', () => {
    const { compiled } = filterOf(fault, `${HTTP}.fault.v3.HTTPFault`, {
      upstream_cluster: 'c',
      abort: { http_status: 503, percentage: { numerator: 100 } },
    });
    const through = (clusterName: string) =>
      pass(compiled.create(testStream()), get(), { route: testRoute({}, { clusterName }) }).status;
    expect([through('c'), through('d')]).toEqual(['replied', 'continued']);
  });

  it('Mutations.response_mutations, of the filter and of HeaderMutationPerRoute', () => {
    const mutations = (value: string) => ({
      mutations: { response_mutations: [{ append: { header: { key: 'x', value } } }] },
    });
    const { compiled } = filterOf(
      headerMutation,
      `${HTTP}.header_mutation.v3.HeaderMutation`,
      mutations('own'),
    );
    const perRoute = headerMutation.compileRoute?.(
      encoded(`${HTTP}.header_mutation.v3.HeaderMutationPerRoute`, mutations('route')),
      testContext(),
      '',
    );
    const info = testStream({ route: testRoute({ [headerMutation.name]: perRoute }) });
    const headers = HeaderMap.response(200);
    compiled.create(info)?.onResponseHeaders?.(headers, true, { info } as never); // it uses nothing else
    expect(headers.getAll('x')).toEqual(['own', 'route']);
  });

  it('FilterStateValue.read_only', () => {
    const { FilterStateValue } = envoy.extensions.filters.common.set_filter_state.v3;
    const value = message(
      FilterStateValue,
      'envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue',
      {
        object_key: 'envoy.string',
        format_string: { text_format: 'x' },
        read_only: true,
      },
    );
    const info = testStream();
    compileFilterStateValues([value], 'values')(info, info.filterState);
    expect(info.filterState.set('envoy.string', 'y')).toBe(false);
    expect(info.filterState.text('envoy.string')).toBe('x');
  });

  it('JwtAuthentication.requirement_map, RequirementRule.requirement_name, PerRouteConfig', async () => {
    const { compiled } = filterOf(jwtAuthn, `${HTTP}.jwt_authn.v3.JwtAuthentication`, {
      providers: { a: { issuer: 'i', local_jwks: { inline_string: '{"keys":[{"kty":"oct","k":"eA"}]}' } } },
      requirement_map: {
        strict: { requires_all: { requirements: [{ provider_name: 'a' }, { provider_name: 'a' }] } },
        open: {},
      },
      rules: [{ match: { prefix: '/' }, requirement_name: 'strict' }],
    });
    const perRoute = (config: object) =>
      jwtAuthn.compileRoute?.(encoded(`${HTTP}.jwt_authn.v3.PerRouteConfig`, config), testContext(), '');
    const status = async (config?: unknown) => {
      const route = testRoute(config === undefined ? {} : { [jwtAuthn.name]: config });
      const passage = pass(compiled.create(testStream()), get(), { route });
      await passage.settled;
      return passage.status;
    };
    expect(await status()).toBe('replied');
    expect(await status(perRoute({ requirement_name: 'open' }))).toBe('continued');
    expect(await status(perRoute({ disabled: true }))).toBe('continued');
  });
});
