import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { HeaderMap } from '../../engine/types.ts';
import { checkFields } from '../../field-support/check-fields.ts';
import { ProxyUnderTest, type UpstreamAttempt } from '../../http/testing/proxy-under-test.ts';
import { settle } from '../../http/testing/raw-connection.ts';
import { structToPlain } from '../message.ts';

const TYPE = 'envoy.extensions.filters.http.ext_authz.v3';
const AUTHZ = 'up-authz';
const { CheckRequest, CheckResponse } = envoy.service.auth.v3;
const typed = (name: string, config: object): object => ({
  '@type': `type.googleapis.com/envoy.extensions.filters.http.${name}`,
  ...config,
});
const routerFilter = { name: 'router', typed_config: typed('router.v3.Router', {}) };
const http = (o: object = {}): object => ({
  http_service: { server_uri: { uri: 'http://authz', cluster: AUTHZ, timeout: '1s' }, ...o },
});
const grpc = (o: object = {}): object => ({
  grpc_service: { envoy_grpc: { cluster_name: AUTHZ }, timeout: '1s' },
  ...o,
});
const exact = (...names: string[]): object => ({ patterns: names.map((name) => ({ exact: name })) });

/** A proxy with the filter, and a service that answers as told. */
function setup(
  config: object,
  answer: (ask: UpstreamAttempt) => void,
  o: { readonly perRoute?: object; readonly filters?: readonly object[] } = {},
) {
  checkFields(`${TYPE}.ExtAuthz`, envoyFromJson(`${TYPE}.ExtAuthz`, config), { resource: 'r' });
  const perRoute = o.perRoute && { ext_authz: typed('ext_authz.v3.ExtAuthzPerRoute', o.perRoute) };
  const route = {
    match: { prefix: '/' },
    route: { cluster: 'up' },
    ...(perRoute === undefined ? {} : { typed_per_filter_config: perRoute }),
  };
  const filter = { name: 'ext_authz', typed_config: typed('ext_authz.v3.ExtAuthz', config) };
  const proxy = new ProxyUnderTest([route], { httpFilters: [...(o.filters ?? []), filter, routerFilter] });
  proxy.script = (attempt) => {
    if (attempt.cluster === AUTHZ) answer(attempt);
    else attempt.respond(200, {}, 'ok');
  };
  const of = (cluster: string) => () => proxy.attempts.find((attempt) => attempt.cluster === cluster);
  return { proxy, asked: of(AUTHZ), passed: of('up') };
}

function check(response: envoy.service.auth.v3.CheckResponse.$Properties, status = '0') {
  return ({ events }: UpstreamAttempt): void => {
    const message = Buffer.from(CheckResponse.encode(response).finish());
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    events.onHeaders(HeaderMap.response(200, { 'content-type': 'application/grpc' }), false);
    events.onData(Buffer.concat([prefix, message]), false);
    events.onTrailers(new HeaderMap(['grpc-status', status]));
  };
}
const option = (key: string, value: string, append = false) => ({
  header: { key, value },
  append: { value: append },
});
const attributesOf = (ask: UpstreamAttempt | undefined) =>
  CheckRequest.decode(Buffer.from(ask?.body ?? '', 'latin1').subarray(5)).attributes;

describe.each([
  ['HTTP', http(), (a: UpstreamAttempt) => a.respond(200), (a: UpstreamAttempt) => a.respond(500)],
  ['gRPC', grpc(), check({ status: { code: 0 } }), check({}, '13')],
])('an %s service', (_, config, allow, fail) => {
  it('that allows lets the request go on', async () => {
    const { proxy, passed } = setup(config, allow);
    expect((await proxy.get()).status).toBe(200);
    expect(passed()).toBeDefined();
    expect(proxy.stats.counter('http.test.ext_authz.ok').value).toBe(1);
  });

  it('that fails denies', async () => {
    const { proxy, passed } = setup(config, fail);
    expect(await proxy.get()).toMatchObject({ status: 403, body: '' });
    expect(proxy.log).toMatchObject({ details: 'ext_authz_error', flags: ['UAEX'] });
    expect(passed()).toBeUndefined();
  });

  it('that is silent denies when its time is over', async () => {
    const { proxy } = setup({ ...config, status_on_error: { code: 'ServiceUnavailable' } }, () => undefined);
    await proxy.get();
    expect((await proxy.advance(999)).status).toBe(0);
    expect((await proxy.advance(1)).status).toBe(503);
  });

  it('that can not be reached denies', async () => {
    const { proxy } = setup(config, allow);
    proxy.failure = (cluster) => (cluster === AUTHZ ? { kind: 'connect-failure', reason: '' } : undefined);
    expect((await proxy.get()).status).toBe(403);
  });

  it('that fails allows with failure_mode_allow, and says so', async () => {
    const lenient = { ...config, failure_mode_allow: true, failure_mode_allow_header_add: true };
    const { proxy, passed } = setup(lenient, fail);
    expect((await proxy.get()).status).toBe(200);
    expect(passed()?.headers.get('x-envoy-auth-failure-mode-allowed')).toBe('true');
    expect(proxy.stats.counter('http.test.ext_authz.failure_mode_allowed').value).toBe(1);
  });

  it('is asked no more when the client is gone', async () => {
    const { proxy, asked } = setup(config, () => undefined);
    await proxy.get();
    proxy.peer.stream.reset();
    await settle();
    expect(asked()?.wasReset).toBe(true);
  });

  it('is not asked where the route says so, or the metadata do not', async () => {
    const disabled = setup(config, fail, { perRoute: { disabled: true } });
    expect((await disabled.proxy.get()).status).toBe(200);
    const enabled_metadata = {
      filter: 'envoy.filters.http.rbac',
      path: [{ key: 'istio_ext_authz_shadow_effective_policy_id' }],
      value: { string_match: { prefix: 'istio-ext-authz' } },
    };
    const rbac = (path: string): object => ({
      name: 'rbac',
      typed_config: typed('rbac.v3.RBAC', {
        shadow_rules: {
          action: 'DENY',
          policies: {
            'istio-ext-authz-opa': {
              permissions: [{ url_path: { path: { exact: path } } }],
              principals: [{ any: true }],
            },
          },
        },
        shadow_rules_stat_prefix: 'istio_ext_authz_',
      }),
    });
    const custom = { ...config, filter_enabled_metadata: enabled_metadata };
    expect((await setup(custom, fail, { filters: [rbac('/asked')] }).proxy.get('/other')).status).toBe(200);
    expect((await setup(custom, fail, { filters: [rbac('/asked')] }).proxy.get('/asked')).status).toBe(403);
  });

  it('is not asked for the share that is not enabled; deny_at_disable denies that', async () => {
    const share = { filter_enabled: { default_value: { numerator: 0 }, runtime_key: 'k' } };
    expect((await setup({ ...config, ...share }, fail).proxy.get()).status).toBe(200);
    const denying = { ...share, deny_at_disable: { default_value: true, runtime_key: 'k' } };
    expect((await setup({ ...config, ...denying }, allow).proxy.get()).status).toBe(403);
  });

  it('sees the body, up to its limit', async () => {
    const body = { max_request_bytes: 4, allow_partial_message: true };
    const post = (text: string): string =>
      `POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
    for (const [text, seen, partial] of [
      ['abc', 'abc', 'false'],
      ['abcdef', 'abcd', 'true'],
    ] as const) {
      const { proxy, asked, passed } = setup({ ...config, with_request_body: body }, allow);
      await proxy.send(post(text));
      const isGrpc = asked()?.headers.get('content-type') === 'application/grpc';
      const shown = isGrpc ? attributesOf(asked())?.request?.http : undefined;
      expect(isGrpc ? shown?.body : asked()?.body).toBe(seen);
      const flag = 'x-envoy-auth-partial-body';
      expect(isGrpc ? shown?.headers?.[flag] : asked()?.headers.get(flag)).toBe(partial);
      expect(passed()?.body).toBe(text);
    }
    const whole = setup({ ...config, with_request_body: { max_request_bytes: 4 } }, allow);
    expect(await whole.proxy.send(post('abcdef'))).toContain(' 413 ');
    const off = { check_settings: { disable_request_body_buffering: true } };
    const unseen = setup({ ...config, with_request_body: body }, allow, { perRoute: off });
    await unseen.proxy.send(post('abc'));
    expect(unseen.passed()?.body).toBe('abc');
    const more = { check_settings: { with_request_body: { max_request_bytes: 10 } } };
    const route = setup({ ...config, with_request_body: body }, allow, { perRoute: more });
    await route.proxy.send(post('abcdef'));
    expect(route.asked()?.body).toContain('abcdef');
  });
});

describe('an HTTP service', () => {
  it('is shown method, target, authorization and what is listed', async () => {
    const config = http({
      path_prefix: '/check',
      authorization_request: {
        allowed_headers: exact('x-user'),
        headers_to_add: [{ key: 'x-from', value: 'proxy' }],
      },
    });
    const { proxy, asked } = setup({ ...config, disallowed_headers: exact('x-secret') }, (a) =>
      a.respond(200),
    );
    await proxy.get(
      '/a?b=c',
      { authorization: 'me', 'x-user': 'u', 'x-other': 'o', 'x-from': 'client' },
      'POST',
    );
    const headers = asked()?.headers;
    expect([headers?.method, headers?.path, headers?.authority]).toEqual(['POST', '/check/a?b=c', 'a.test']);
    expect(Object.fromEntries(headers ?? [])).toEqual({
      authorization: 'me',
      'content-length': '0',
      'x-from': 'proxy',
      'x-user': 'u',
    });
  });

  it('is shown what the filter lists, but what it hides', async () => {
    const lists = {
      allowed_headers: { patterns: [{ prefix: 'x-' }] },
      disallowed_headers: exact('x-secret'),
    };
    const { proxy, asked } = setup({ ...http(), ...lists }, (a) => a.respond(200));
    await proxy.get('/', { 'x-user': 'u', 'x-secret': 's', other: 'o' });
    const headers = asked()?.headers;
    expect(headers?.get('x-user')).toBe('u');
    expect([headers?.has('x-secret'), headers?.has('other')]).toEqual([false, false]);
  });

  it('changes an allowed request and its response by what is listed', async () => {
    const config = http({
      authorization_response: {
        allowed_upstream_headers: exact('x-user'),
        allowed_upstream_headers_to_append: exact('x-roles'),
        allowed_client_headers_on_success: exact('x-told'),
        dynamic_metadata_from_headers: exact('x-meta'),
      },
    });
    const { proxy, passed } = setup(config, (a) =>
      a.respond(200, {
        'x-user': 'me',
        'x-roles': 'admin',
        'x-told': 't',
        'x-meta': 'm',
        'x-other': 'o',
        'x-envoy-auth-headers-to-remove': 'x-gone, x-gone-too',
      }),
    );
    const answer = await proxy.get('/', { 'x-user': 'forged', 'x-roles': 'user', 'x-gone': '1' });
    const headers = passed()?.headers;
    expect(headers?.getAll('x-user')).toEqual(['me']);
    expect(headers?.getAll('x-roles')).toEqual(['user', 'admin']);
    expect([headers?.has('x-gone'), headers?.has('x-other')]).toEqual([false, false]);
    expect([answer.headers.get('x-told'), answer.headers.get('x-other')]).toEqual(['t', undefined]);
    expect(proxy.logs[0]?.dynamicMetadata.get('envoy.filters.http.ext_authz')).toEqual({ 'x-meta': 'm' });
  });

  it.each<[number, object, [number, string, string | undefined, string | undefined]]>([
    [401, {}, [401, 'no', 'Basic', 'o']],
    [201, {}, [201, 'no', 'Basic', 'o']],
    [302, { allowed_client_headers: exact('x-told') }, [302, 'no', 'Basic', undefined]],
  ])('denies by status %s: it is the answer', async (status, authorization_response, expected) => {
    const { proxy } = setup(http({ authorization_response }), (a) =>
      a.respond(status, { 'www-authenticate': 'Basic', 'x-other': 'o' }, 'no'),
    );
    const answer = await proxy.get();
    expect([
      answer.status,
      answer.body,
      answer.headers.get('www-authenticate'),
      answer.headers.get('x-other'),
    ]).toEqual(expected);
    expect(proxy.log).toMatchObject({ details: 'ext_authz_denied', flags: ['UAEX'] });
  });
});

describe('a gRPC service', () => {
  it('is told who asks whom for what', async () => {
    const settings = { check_settings: { context_extensions: { tier: 'gold' } } };
    const config = {
      ...grpc({ metadata_context_namespaces: ['envoy.filters.http.rbac'] }),
      include_tls_session: true,
      include_peer_certificate: true,
      grpc_service: { envoy_grpc: { cluster_name: AUTHZ, authority: 'authz.test' } },
    };
    const shadow = {
      name: 'rbac',
      typed_config: typed('rbac.v3.RBAC', { shadow_rules: { action: 'DENY' } }),
    };
    const { proxy, asked } = setup(config, check({}), { perRoute: settings, filters: [shadow] });
    await proxy.get('/a?b=c', { 'x-user': 'u' });
    const { headers } = asked() ?? {};
    expect([headers?.path, headers?.authority, headers?.get('te'), headers?.get('grpc-timeout')]).toEqual([
      '/envoy.service.auth.v3.Authorization/Check',
      'authz.test',
      'trailers',
      '200m',
    ]);
    const attributes = attributesOf(asked());
    expect(attributes?.request?.http).toMatchObject({
      method: 'GET',
      path: '/a?b=c',
      host: 'a.test',
      protocol: 'HTTP/1.1',
      headers: { ':path': '/a?b=c', 'x-user': 'u' },
    });
    expect(attributes?.contextExtensions).toEqual({ tier: 'gold' });
    expect(attributes?.source?.address).toBeDefined();
    const rbac = attributes?.metadataContext?.filterMetadata?.['envoy.filters.http.rbac'];
    expect(structToPlain(rbac ?? {})).toEqual({ shadow_engine_result: 'allowed' });
  });

  it('gets the body as bytes with pack_as_bytes', async () => {
    const body = { with_request_body: { max_request_bytes: 10, pack_as_bytes: true } };
    const { proxy, asked } = setup(grpc(body), check({}));
    await proxy.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab');
    const shown = attributesOf(asked())?.request?.http;
    expect([Buffer.from(shown?.rawBody ?? []).toString(), shown?.body]).toEqual(['ab', '']);
  });

  it('changes an allowed request and its response', async () => {
    const { proxy, passed } = setup(
      grpc(),
      check({
        okResponse: {
          headers: [option('x-user', 'me'), option('x-roles', 'admin', true), option('x-absent', 'n', true)],
          headersToRemove: ['x-gone', ':path', 'host'],
          responseHeadersToAdd: [option('x-told', 't')],
          queryParametersToSet: [{ key: 'who', value: 'm e' }],
          queryParametersToRemove: ['secret'],
        },
      }),
    );
    const fields = { 'x-user': 'forged', 'x-roles': 'user', 'x-gone': '1' };
    const answer = await proxy.get('/a?secret=1&kept=2', fields);
    const headers = passed()?.headers;
    expect([headers?.path, headers?.authority]).toEqual(['/a?kept=2&who=m%20e', 'a.test']);
    expect(headers?.getAll('x-user')).toEqual(['me']);
    expect(headers?.getAll('x-roles')).toEqual(['user', 'admin']);
    expect([headers?.has('x-gone'), headers?.has('x-absent')]).toEqual([false, false]);
    expect(answer.headers.get('x-told')).toBe('t');
  });

  it('denies with its status, headers and body; 403 unless it says', async () => {
    const denied = {
      status: { code: 7 },
      deniedResponse: { status: { code: 401 }, headers: [option('x-why', 'w')], body: 'no' },
    };
    const { proxy } = setup(grpc({ stat_prefix: 'opa' }), check(denied));
    const answer = await proxy.get();
    expect([answer.status, answer.body, answer.headers.get('x-why')]).toEqual([401, 'no', 'w']);
    expect(proxy.stats.counter('http.test.ext_authz.opa.denied').value).toBe(1);
    expect((await setup(grpc(), check({ status: { code: 7 } })).proxy.get()).status).toBe(403);
  });

  it.each<[string, (ask: UpstreamAttempt) => void]>([
    ['rubbish', (a) => a.respond(200, { 'grpc-status': '0' }, 'rubbish')],
    ['nothing', (a) => a.respond(200, { 'grpc-status': '0' })],
    ['a header that is two', check({ okResponse: { headers: [option('x-a', 'b\r\nx-c: d')] } })],
    ['a name that is none', check({ okResponse: { headers: [option('x a', 'b')] } })],
    [
      'a status that is none',
      check({
        status: { code: 7 },
        deniedResponse: { status: { code: 99 as never } } /* none of the enum */,
      }),
    ],
  ])('that says %s denies', async (_, answer) => {
    const { proxy, passed } = setup(grpc(), answer);
    expect((await proxy.get()).status).toBe(403);
    expect(proxy.log.details).toBe('ext_authz_error');
    expect(passed()).toBeUndefined();
  });

  it('has another route found for what it changed, with clear_route_cache', async () => {
    const routes = [
      {
        match: { prefix: '/', headers: [{ name: 'x-user', string_match: { exact: 'me' } }] },
        route: { cluster: 'up-b' },
      },
      { match: { prefix: '/' }, route: { cluster: 'up' } },
    ];
    for (const [clear_route_cache, cluster] of [
      [true, 'up-b'],
      [false, 'up'],
    ] as const) {
      const filter = {
        name: 'ext_authz',
        typed_config: typed('ext_authz.v3.ExtAuthz', grpc({ clear_route_cache })),
      };
      const proxy = new ProxyUnderTest(routes, { httpFilters: [filter, routerFilter] });
      const answer = check({ okResponse: { headers: [option('x-user', 'me')] } });
      proxy.script = (a) => (a.cluster === AUTHZ ? answer(a) : a.respond(200));
      await proxy.get();
      expect(proxy.attempts.map((attempt) => attempt.cluster)).toEqual([AUTHZ, cluster]);
    }
  });
});

it.each<[string, object, string]>([
  ['no service', {}, 'services'],
  ['no cluster', { http_service: { server_uri: { uri: 'http://a' } } }, 'http_service.server_uri.cluster'],
  ['no limit', { ...http(), with_request_body: {} }, 'max_request_bytes'],
])('a configuration with %s is refused', (_, config, field) => {
  expect(() => setup(config, () => undefined)).toThrow(field);
});
