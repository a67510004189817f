import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { envoy } from '@weft/api/envoy';
import { FilterState, type StreamInfo } from '../../engine/types.ts';
import {
  get,
  pass,
  testConnection,
  testContext,
  testEngine,
  testRoute,
  testStream,
  testTls,
} from '../testing/stream.ts';
import { compileRbac } from './engine.ts';
import { httpRbac } from './http-filter.ts';
import { networkRbac } from './network-filter.ts';

const { RBAC, Permission, Principal } = envoy.config.rbac.v3;
type Permission = envoy.config.rbac.v3.Permission.$Properties;
type Principal = envoy.config.rbac.v3.Principal.$Properties;
const { ALLOW, DENY, LOG } = RBAC.Action;

function engine(
  action: envoy.config.rbac.v3.RBAC.Action,
  policies: Readonly<Record<string, readonly [Permission, Principal]>>,
) {
  const entries = Object.entries(policies).map(([name, [permission, principal]]) => [
    name,
    { permissions: [permission], principals: [principal] },
  ]);
  const rules = { action, policies: Object.fromEntries(entries) as envoy.config.rbac.v3.RBAC['policies'] };
  return compileRbac(RBAC.decode(RBAC.encode(rules).finish()));
}
const anyone: Principal = { any: true };
const anything: Permission = { any: true };
const request = (
  path: string,
  fields: Record<string, string | string[]> = {},
  parts: Partial<StreamInfo> = {},
) => testStream({ requestHeaders: get(path, fields), ...parts });

describe('actions', () => {
  const admin: Permission = { urlPath: { path: { exact: '/admin' } } };
  it.each([
    ['ALLOW, matched', ALLOW, '/admin', { allowed: true, policy: 'p' }],
    ['ALLOW, not matched', ALLOW, '/', { allowed: false }],
    ['DENY, matched', DENY, '/admin', { allowed: false, policy: 'p' }],
    ['DENY, not matched', DENY, '/', { allowed: true }],
    ['LOG, matched', LOG, '/admin', { allowed: true, policy: 'p' }],
  ] as const)('%s', (_name, action, path, verdict) => {
    expect(engine(action, { p: [admin, anyone] })(request(path))).toEqual(verdict);
  });

  it('ALLOW without policies denies everything', () => {
    expect(engine(ALLOW, {})(request('/'))).toEqual({ allowed: false });
  });

  it('names the first policy in the order of names', () => {
    expect(engine(DENY, { b: [anything, anyone], a: [anything, anyone] })(request('/')).policy).toBe('a');
  });

  it('never gives ALLOW and DENY of one policy the same answer', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (exact, path) => {
        const rule: Permission = { urlPath: { path: { exact } } };
        const info = request(`/${path}`);
        const allow = engine(ALLOW, { p: [rule, anyone] })(info).allowed;
        expect(allow).toBe(!engine(DENY, { p: [rule, anyone] })(info).allowed);
      }),
    );
  });
});

describe('permissions', () => {
  const permitted = (permission: Permission, info: StreamInfo) =>
    engine(ALLOW, { p: [permission, anyone] })(info).allowed;
  const header = (exact: string): Permission => ({ header: { name: 'x-role', stringMatch: { exact } } });

  it.each<[string, Permission, StreamInfo, boolean]>([
    ['path without query', { urlPath: { path: { exact: '/a' } } }, request('/a?b=c'), true],
    ['path prefix', { urlPath: { path: { prefix: '/a' } } }, request('/ab'), true],
    ['template', template('/u/{id}/x'), request('/u/1/x?y'), true],
    ['template, no match', template('/u/{id}/x'), request('/u/1/y'), false],
    ['method', { header: { name: ':method', stringMatch: { exact: 'GET' } } }, request('/'), true],
    [
      'host',
      { header: { name: ':authority', stringMatch: { exact: 'SHOP.test', ignoreCase: true } } },
      request('/'),
      true,
    ],
    ['destination port', { destinationPort: 8080 }, request('/'), true],
    ['destination port, other', { destinationPort: 8081 }, request('/'), false],
    ['port range, open end', { destinationPortRange: { start: 1, end: 8080 } }, request('/'), false],
    [
      'destination address',
      { destinationIp: { addressPrefix: '10.0.0.0', prefixLen: { value: 24 } } },
      request('/'),
      true,
    ],
    ['all of', { andRules: { rules: [{ any: true }, { destinationPort: 1 }] } }, request('/'), false],
    ['any of', { orRules: { rules: [{ destinationPort: 1 }, { any: true }] } }, request('/'), true],
    ['not', { notRule: { destinationPort: 1 } }, request('/'), true],
    [
      'server name',
      { requestedServerName: { exact: 'a.b' } },
      request('/', {}, { connection: testConnection({ requestedServerName: 'a.b' }) }),
      true,
    ],
    ['header on TCP', header('x'), testStream({ kind: 'tcp' }), false],
    ['path on TCP', { urlPath: { path: { prefix: '/' } } }, testStream({ kind: 'tcp' }), false],
    // l7-proxy §3.2 and §9.5: lines are looked at one by one.
    ['one of several lines', header('admin'), request('/', { 'x-role': ['user', 'admin'] }), true],
    ['a joined line is one value', header('admin'), request('/', { 'x-role': 'user,admin' }), false],
    [
      'not: one good line is enough',
      { notRule: header('good') },
      request('/', { 'x-role': ['good', 'bad'] }),
      false,
    ],
    ['not: absent', { notRule: header('good') }, request('/'), true],
  ])('%s', (_name, permission, info, expected) => {
    expect(permitted(permission, info)).toBe(expected);
  });

  it('catches a value that hides behind another line in a DENY', () => {
    const deny = engine(DENY, { p: [header('bad'), anyone] });
    expect(deny(request('/', { 'x-role': ['x', 'bad'] })).allowed).toBe(false);
    expect(deny(request('/', { 'x-role': ['bad', 'x'] })).allowed).toBe(false);
    // One line with a comma is one value, as in Envoy: policies on lists must use contains or a regex.
    expect(deny(request('/', { 'x-role': 'bad,x' })).allowed).toBe(true);
  });
});

describe('principals', () => {
  const identified = (principal: Principal, info: StreamInfo) =>
    engine(ALLOW, { p: [anything, principal] })(info).allowed;
  const sa = 'spiffe://cluster.local/ns/shop/sa/web';
  const named: Principal = { authenticated: { principalName: { exact: sa } } };
  const tls = (parts: Parameters<typeof testTls>[0]) =>
    testStream({ connection: testConnection({ tls: testTls(parts) }) });
  const state = (value: string | undefined) => {
    const filterState = new FilterState();
    if (value !== undefined) filterState.set('io.istio.peer_principal', value);
    return testStream({ filterState });
  };
  const peer = (stringMatch: envoy.type.matcher.v3.StringMatcher.$Properties): Principal => ({
    filterState: { key: 'io.istio.peer_principal', stringMatch },
  });
  const range = { addressPrefix: '10.0.0.0', prefixLen: { value: 24 } };
  const internal = { kind: 'internal', listener: 'main_internal', endpointId: '' } as const;
  const inside = testConnection({ directRemoteAddress: internal });

  it.each<[string, Principal, StreamInfo, boolean]>([
    ['URI name', named, tls({ peerUriSans: ['spiffe://x', sa] }), true],
    ['another URI name', named, tls({ peerUriSans: ['spiffe://x'] }), false],
    ['a certificate nobody vouches for', named, tls({ peerUriSans: [sa], peerValidated: false }), false],
    ['plaintext', named, testStream(), false],
    [
      'subject only without names',
      { authenticated: { principalName: { exact: 'CN=a' } } },
      tls({ subjectPeer: 'CN=a' }),
      true,
    ],
    [
      'subject not beside names',
      { authenticated: { principalName: { exact: 'CN=a' } } },
      tls({ subjectPeer: 'CN=a', peerDnsSans: ['b'] }),
      false,
    ],
    ['any authenticated', { authenticated: {} }, tls({}), true],
    ['any authenticated, plaintext', { authenticated: {} }, testStream(), false],
    ['HBONE principal', peer({ exact: sa }), state(sa), true],
    ['HBONE principal by prefix', peer({ prefix: 'spiffe://cluster.local/ns/shop/' }), state(sa), true],
    ['unknown is not any', peer({ safeRegex: { regex: '.*' } }), state(undefined), false],
    ['empty is not some', peer({ safeRegex: { regex: '.+' } }), state(''), false],
    ['not unknown', { notId: peer({ exact: sa }) }, state(undefined), true],
    ['direct address', { directRemoteIp: range }, testStream(), true],
    [
      'direct address inside: the restored one',
      { directRemoteIp: range },
      testStream({ connection: inside }),
      true,
    ],
    [
      'direct address is not what XFF says',
      { directRemoteIp: range },
      testStream({
        connection: testConnection({ directRemoteAddress: { kind: 'ip', ip: '9.9.9.9', port: 1 } }),
      }),
      false,
    ],
    [
      'remote address is',
      { remoteIp: range },
      testStream({ remoteAddress: { kind: 'ip', ip: '10.0.0.77', port: 1 } }),
      true,
    ],
    ['header', { header: { name: 'x', stringMatch: { exact: '1' } } }, request('/', { x: '1' }), true],
  ])('%s', (_name, principal, info, expected) => {
    expect(identified(principal, info)).toBe(expected);
  });

  it('reads verified claims', () => {
    const claim: Principal = {
      metadata: {
        filter: 'envoy.filters.http.jwt_authn',
        path: [{ key: 'payload' }, { key: 'groups' }],
        value: { listMatch: { oneOf: { stringMatch: { exact: 'ops' } } } },
      },
    };
    const info = testStream();
    expect(identified(claim, info)).toBe(false);
    info.dynamicMetadata.set('envoy.filters.http.jwt_authn', { payload: { groups: ['dev', 'ops'] } });
    expect(identified(claim, info)).toBe(true);
  });
});

describe('the HTTP filter', () => {
  const { RBAC: Config } = envoy.extensions.filters.http.rbac.v3;
  const rules = (action: number, exact: string) => ({
    action,
    policies: {
      'ns[shop]-policy[p]-rule[0]': { permissions: [{ urlPath: { path: { exact } } }], principals: [anyone] },
    },
  });
  const compile = (
    config: envoy.extensions.filters.http.rbac.v3.RBAC.$Properties,
    engine = testEngine(),
  ) => ({
    engine,
    filter: httpRbac.compile(Config.encode(config).finish(), testContext(engine), httpRbac.typeUrls[0] ?? ''),
  });

  it('answers 403 with the policy in the details', () => {
    const { filter, engine } = compile({ rules: rules(DENY, '/x') });
    const info = testStream();
    const { reply } = pass(filter.create(info), get('/x'), { info });
    expect(reply).toEqual({
      status: 403,
      body: 'RBAC: access denied',
      details: 'rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[0]]',
      grpcStatus: 7,
    });
    expect(info.dynamicMetadata.get('envoy.filters.http.rbac')).toEqual({
      enforced_engine_result: 'denied',
      enforced_effective_policy_id: 'ns[shop]-policy[p]-rule[0]',
    });
    expect(engine.stats.counter('http.test.rbac.denied').value).toBe(1);
  });

  it('says none when no policy allowed', () => {
    const { filter } = compile({ rules: { action: ALLOW } });
    expect(pass(filter.create(testStream()), get('/')).reply?.details).toBe(
      'rbac_access_denied_matched_policy[none]',
    );
  });

  it('lets everything pass without rules', () => {
    expect(pass(compile({}).filter.create(testStream()), get('/')).status).toBe('continued');
  });

  it('only notes what shadow rules would do', () => {
    const { filter, engine } = compile({
      shadowRules: rules(DENY, '/x'),
      shadowRulesStatPrefix: 'istio_dry_run_deny_',
    });
    const { status, info } = pass(filter.create(testStream()), get('/x'));
    expect(status).toBe('continued');
    expect(info.dynamicMetadata.get('envoy.filters.http.rbac')).toEqual({
      istio_dry_run_deny_shadow_engine_result: 'denied',
      istio_dry_run_deny_shadow_effective_policy_id: 'ns[shop]-policy[p]-rule[0]',
    });
    expect(engine.stats.counter('http.test.rbac.istio_dry_run_deny_shadow_denied').value).toBe(1);
  });

  it('follows the route instead of its own rules', () => {
    const { filter } = compile({ rules: rules(DENY, '/x') });
    const { RBACPerRoute } = envoy.extensions.filters.http.rbac.v3;
    const override = httpRbac.compileRoute?.(RBACPerRoute.encode({ rbac: {} }).finish(), testContext(), '');
    const route = testRoute({ [httpRbac.name]: override });
    expect(pass(filter.create(testStream()), get('/x'), { route }).status).toBe('continued');
  });

  it.each<[string, envoy.extensions.filters.http.rbac.v3.RBAC.$Properties, string]>([
    [
      'a policy without principals',
      { rules: { policies: { p: { permissions: [anything] } } } },
      'test: rules.policies["p"].principals: must not be empty',
    ],
    [
      'an unknown rule',
      { rules: { policies: { p: { permissions: [{}], principals: [anyone] } } } },
      'test: rules.policies["p"].permissions[0]: rule "" is not supported',
    ],
    [
      'a bad range',
      {
        rules: {
          policies: { p: { permissions: [anything], principals: [{ remoteIp: { addressPrefix: 'x' } }] } },
        },
      },
      'test: rules.policies["p"].principals[0].remote_ip.address_prefix: "x" is no IP address',
    ],
    ['a matcher tree', { matcher: {} }, 'test: matcher: matcher trees are not supported'],
  ])('refuses %s', (_name, config, message) => {
    expect(() => compile(config)).toThrow(message);
  });

  it('refuses bytes that are no message', () => {
    expect(() => httpRbac.compile(Buffer.from('ff', 'hex'), testContext(), '')).toThrow(
      'test: malformed message',
    );
  });
});

describe('the network filter', () => {
  const { RBAC: Config } = envoy.extensions.filters.network.rbac.v3;
  it('closes before anything connects, and says why', () => {
    const engine = testEngine();
    const config = Config.encode({ statPrefix: 'tcp.', rules: { action: ALLOW } }).finish();
    const compiled = networkRbac.compile(config, testContext(engine), '');
    if (compiled.kind !== 'filter') throw new Error('no filter');
    const info = testStream({ kind: 'tcp' });
    // The stream itself isn't looked at.
    expect(compiled.create().onNewConnection(undefined as never, info)).toBe('close');
    expect(info.terminationDetails).toBe('rbac_access_denied_matched_policy[none]');
    expect(info.responseFlags.size).toBe(0);
    expect(engine.stats.counter('tcp.rbac.denied').value).toBe(1);
  });
});

function template(pathTemplate: string): Permission {
  const { UriTemplateMatchConfig } = envoy.extensions.path.match.uri_template.v3;
  return {
    uriTemplate: {
      name: 'uri-template',
      typedConfig: {
        type_url: UriTemplateMatchConfig.getTypeUrl(),
        value: UriTemplateMatchConfig.encode({ pathTemplate }).finish(),
      },
    },
  };
}
