import { describe, expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import { ProxyUnderTest } from '../testing/proxy-under-test.ts';
import { settle } from '../testing/raw-connection.ts';

const toUp = { match: { prefix: '/' }, route: { cluster: 'up' } };
const GRPC = { 'content-type': 'application/grpc' };

describe('local replies', () => {
  it.each<[name: string, route: unknown, path: string, expected: [number, string, string, string[]]]>([
    [
      'no route',
      { match: { path: '/x' }, route: { cluster: 'up' } },
      '/',
      [404, '', 'route_not_found', ['NR']],
    ],
    [
      'no cluster',
      { match: { prefix: '/' }, route: { cluster: 'none' } },
      '/',
      [503, '', 'cluster_not_found', ['NC']],
    ],
    [
      'no cluster, as told',
      {
        match: { prefix: '/' },
        route: { cluster: 'none', clusterNotFoundResponseCode: 'INTERNAL_SERVER_ERROR' },
      },
      '/',
      [500, '', 'cluster_not_found', ['NC']],
    ],
    [
      'no host',
      { match: { prefix: '/' }, route: { cluster: 'up-empty' } },
      '/',
      [503, 'no healthy upstream', 'no_healthy_upstream', ['UH']],
    ],
    [
      'a direct response',
      { match: { prefix: '/' }, directResponse: { status: 418, body: { inlineString: 'tea' } } },
      '/',
      [418, 'tea', 'direct_response', []],
    ],
    ['a path that is no path', toUp, '/%00', [400, '', 'path_normalization_failed', []]],
    ['a fragment', toUp, '/a#b', [400, '', 'path_normalization_failed', []]],
  ])('tell %s', async (_, route, path, [status, body, details, flags]) => {
    const proxy = new ProxyUnderTest([route], { normalizePath: true });
    const answer = await proxy.get(path);
    expect([answer.status, answer.body]).toEqual([status, body]);
    expect(proxy.log).toMatchObject({ code: status, details, flags });
  });

  it.each<[string, Parameters<ProxyUnderTest['failure']>[0] | undefined, object, string, string, string[]]>([
    [
      'a refused connection',
      '',
      { kind: 'connect-failure', reason: 'ECONNREFUSED' },
      'reset reason: remote connection failure',
      'remote_connection_failure',
      ['UF'],
    ],
    [
      'a connect timeout',
      '',
      { kind: 'connect-timeout' },
      'reset reason: connection timeout',
      'connection_timeout',
      ['UF'],
    ],
    ['an open breaker', '', { kind: 'overflow' }, 'reset reason: overflow', 'overflow', ['UO']],
  ])('tell %s', async (_, __, failure, reason, details, flags) => {
    const proxy = new ProxyUnderTest([toUp]);
    proxy.failure = () => failure as never;
    const answer = await proxy.get();
    expect(answer.status).toBe(503);
    expect(answer.body).toBe(`upstream connect error or disconnect/reset before headers. ${reason}`);
    expect(proxy.log).toMatchObject({
      code: 503,
      details: `upstream_reset_before_response_started{${details}}`,
      flags,
    });
    expect(answer.headers.get('x-envoy-overloaded')).toBe(flags[0] === 'UO' ? 'true' : undefined);
  });

  it.each([
    ['connection-termination', 503, 'connection termination', 'UC'],
    ['remote-reset', 503, 'remote reset', 'UR'],
    ['protocol-error', 502, 'protocol error', 'UPE'],
  ] as const)('tell an upstream that ends by %s', async (reason, status, text, flag) => {
    const proxy = new ProxyUnderTest([toUp]);
    proxy.script = ({ events }) => events.onReset(reason);
    const answer = await proxy.get();
    expect([answer.status, answer.body]).toEqual([
      status,
      `upstream connect error or disconnect/reset before headers. reset reason: ${text}`,
    ]);
    expect(proxy.log.flags).toEqual([flag]);
  });

  it('break off a response whose upstream breaks off', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    proxy.script = ({ events }) => {
      events.onHeaders(HeaderMap.response(200), false);
      events.onData(Buffer.from('part'), false);
      events.onReset('connection-termination');
    };
    await proxy.get();
    expect(proxy.peer.closed).toBe(true);
    expect(proxy.log).toMatchObject({
      flags: ['UC'],
      details: 'upstream_reset_after_response_started{connection_termination}',
    });
  });

  it('speak gRPC to gRPC clients', async () => {
    const proxy = new ProxyUnderTest([{ match: { prefix: '/' }, route: { cluster: 'up-empty' } }]);
    const answer = await proxy.get('/', GRPC);
    expect([answer.status, answer.body]).toEqual([200, '']);
    expect([answer.headers.get('grpc-status'), answer.headers.get('grpc-message')]).toEqual([
      '14',
      'no healthy upstream',
    ]);
    expect(proxy.log.code).toBe(200);
  });

  it('have no body for HEAD', async () => {
    const proxy = new ProxyUnderTest([{ match: { prefix: '/' }, route: { cluster: 'up-empty' } }]);
    const answer = await proxy.get('/', {}, 'HEAD');
    expect([answer.status, answer.body, answer.headers.get('content-length')]).toEqual([503, '', '19']);
  });

  it('follow local_reply_config', async () => {
    const proxy = new ProxyUnderTest([{ match: { path: '/x' }, route: { cluster: 'up' } }], {
      localReplyConfig: {
        mappers: [
          {
            filter: {
              statusCodeFilter: { comparison: { op: 'EQ', value: { defaultValue: 404, runtimeKey: 'k' } } },
            },
            statusCode: 410,
            body: { inlineString: 'gone' },
            headersToAdd: [{ header: { key: 'x-a', value: 'b' } }],
          },
        ],
        bodyFormat: { textFormat: '<%LOCAL_REPLY_BODY%> %RESPONSE_CODE%' },
      },
    });
    const answer = await proxy.get();
    expect([answer.status, answer.body, answer.headers.get('x-a')]).toEqual([410, '<gone> 410', 'b']);
  });

  it('log requests that the codec refused', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    const text = await proxy.send('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[^]*\r\n\r\nBad Request$/);
    expect(proxy.log).toMatchObject({ code: 400, details: 'http1.codec_error', flags: ['DPE'] });
  });
});

describe('retries', () => {
  const withPolicy = (retryPolicy: object, more: object = {}): ProxyUnderTest =>
    new ProxyUnderTest([{ match: { prefix: '/' }, route: { cluster: 'up', retryPolicy, ...more } }]);

  it.each<[on: string, status: number, fields: Record<string, string>, retried: boolean]>([
    ['5xx', 500, {}, true],
    ['5xx', 404, {}, false],
    ['gateway-error', 502, {}, true],
    ['gateway-error', 500, {}, false],
    ['retriable-4xx', 409, {}, true],
    ['retriable-4xx', 400, {}, false],
    ['connect-failure', 503, {}, false],
    ['reset', 503, {}, false],
    ['retriable-status-codes', 418, {}, true],
    ['retriable-status-codes', 503, {}, false],
    ['retriable-headers', 200, { 'x-again': 'yes' }, true],
    ['retriable-headers', 200, {}, false],
    ['unavailable', 200, { 'grpc-status': '14' }, true],
    ['unavailable', 200, { 'grpc-status': '13' }, false],
    ['cancelled', 200, { 'grpc-status': '1' }, true],
    ['internal', 200, { 'grpc-status': '13' }, true],
    ['resource-exhausted', 200, { 'grpc-status': '8' }, true],
    ['deadline-exceeded', 200, { 'grpc-status': '4' }, true],
    ['5xx', 503, { 'x-envoy-ratelimited': 'true' }, false],
    ['envoy-ratelimited', 429, { 'x-envoy-ratelimited': 'true' }, true],
  ])('on %s after %i %j: %s', async (retryOn, status, fields, retried) => {
    const proxy = withPolicy({
      retryOn,
      retriableStatusCodes: [418],
      retriableHeaders: [{ name: 'x-again', presentMatch: true }],
    });
    proxy.script = (attempt) => (attempt.n === 1 ? attempt.respond(status, fields) : attempt.respond(204));
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect([proxy.attempts.length, answer.status]).toEqual(retried ? [2, 204] : [1, status]);
    expect(proxy.claimedRetries).toBe(0);
    expect(proxy.log.flags).toEqual([]);
  });

  it.each<
    [
      on: string,
      failure: 'connect' | 'refused-stream' | 'remote-reset' | 'connection-termination',
      retried: boolean,
    ]
  >([
    ['connect-failure', 'connect', true],
    ['connect-failure', 'remote-reset', false],
    ['refused-stream', 'refused-stream', true],
    ['refused-stream', 'remote-reset', false],
    ['reset', 'remote-reset', true],
    ['reset', 'connection-termination', true],
    ['reset-before-request', 'connect', true],
    ['reset-before-request', 'remote-reset', false],
    ['gateway-error', 'remote-reset', true],
    ['5xx', 'connect', true],
    ['unavailable', 'connect', false],
  ])('on %s after %s: %s', async (retryOn, failure, retried) => {
    const proxy = withPolicy({ retryOn });
    let failed = false;
    if (failure === 'connect') {
      proxy.failure = () => {
        if (failed) return undefined;
        failed = true;
        return { kind: 'connect-failure', reason: '' };
      };
    } else {
      proxy.script = (attempt) => (attempt.n === 1 ? attempt.events.onReset(failure) : attempt.respond(204));
    }
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect(answer.status < 300).toBe(retried);
  });

  it('give the last answer and URX when none is left', async () => {
    const proxy = withPolicy({ retryOn: '5xx', numRetries: 2 });
    proxy.script = (attempt) => attempt.respond(503, {}, `try ${attempt.n}`);
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect([answer.status, answer.body.includes('try 3')]).toEqual([503, true]);
    expect(proxy.log).toEqual({ code: 503, details: 'via_upstream', flags: ['URX'], attempts: 3 });
  });

  it('give UO when the breaker allows none', async () => {
    const proxy = withPolicy({ retryOn: '5xx' });
    proxy.retriesAllowed = false;
    proxy.script = (attempt) => attempt.respond(500);
    expect((await proxy.get()).status).toBe(500);
    expect(proxy.log.flags).toEqual(['UO']);
  });

  it('say in the body that there were some', async () => {
    const proxy = withPolicy({ retryOn: 'connect-failure' });
    proxy.failure = () => ({ kind: 'connect-failure', reason: '' });
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect(answer.body).toContain('retried and the latest reset reason: remote connection failure');
    expect(proxy.log.flags).toEqual(['UF', 'URX']);
  });

  it('wait a growing time', async () => {
    const proxy = withPolicy({
      retryOn: '5xx',
      numRetries: 3,
      retryBackOff: { baseInterval: '0.1s', maxInterval: '0.25s' },
    });
    proxy.random = 0.999;
    proxy.script = (attempt) => attempt.respond(500);
    await proxy.get();
    const counts = [proxy.attempts.length];
    for (const ms of [98, 2, 245, 5, 245, 5]) {
      await proxy.advance(ms);
      counts.push(proxy.attempts.length);
    }
    expect(counts).toEqual([1, 1, 2, 2, 3, 3, 4]);
  });

  it('send the body and trailers again', async () => {
    const proxy = withPolicy({ retryOn: '5xx' });
    proxy.script = () => undefined;
    await proxy.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await proxy.send('3\r\ndef\r\n0\r\n\r\n');
    proxy.attempts[0]?.respond(503);
    await proxy.advance(1_000);
    expect(proxy.attempts.map((a) => [a.body, a.ended])).toEqual([
      ['abcdef', true],
      ['abcdef', true],
    ]);
  });

  it('stop when the body outgrows the buffer', async () => {
    const proxy = withPolicy({ retryOn: '5xx' });
    proxy.script = () => undefined;
    await proxy.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n');
    for (let i = 0; i < 20; i++) await proxy.send('x'.repeat(100_000));
    expect(proxy.attempts[0]?.body.length).toBe(2_000_000);
    proxy.attempts[0]?.respond(503);
    await proxy.advance(1_000);
    expect(proxy.attempts).toHaveLength(1);
  });

  it('never follow a response that went on', async () => {
    const proxy = withPolicy({ retryOn: '5xx,reset' });
    proxy.script = ({ events }) => {
      events.onHeaders(HeaderMap.response(200), false);
      events.onReset('remote-reset');
    };
    await proxy.get();
    await proxy.advance(1_000);
    expect(proxy.attempts).toHaveLength(1);
  });

  it('are asked for by header only where the caller is trusted', async () => {
    const proxy = new ProxyUnderTest([toUp], {});
    proxy.script = (attempt) => attempt.respond(500);
    await proxy.get('/', { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '3' });
    await proxy.advance(1_000);
    expect(proxy.attempts).toHaveLength(1);
  });

  it('tell the attempt upstream', async () => {
    const proxy = new ProxyUnderTest(
      [{ match: { prefix: '/' }, route: { cluster: 'up', retryPolicy: { retryOn: '5xx' } } }],
      {},
      { includeRequestAttemptCount: true, includeAttemptCountInResponse: true },
    );
    proxy.script = (attempt) => attempt.respond(attempt.n === 1 ? 500 : 200);
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect(proxy.attempts.map((a) => a.headers.get('x-envoy-attempt-count'))).toEqual(['1', '2']);
    expect(answer.headers.get('x-envoy-attempt-count')).toBe('2');
  });
});

describe('timeouts', () => {
  const silent = (route: object, manager: object = {}): ProxyUnderTest => {
    const proxy = new ProxyUnderTest(
      [{ match: { prefix: '/' }, route: { cluster: 'up', ...route } }],
      manager as Record<string, unknown>,
    );
    proxy.script = () => undefined;
    return proxy;
  };

  it.each<
    [
      name: string,
      route: object,
      manager: object,
      afterMs: number,
      expected: [number, string, string, string[]],
    ]
  >([
    [
      'of the route, 15 s unless told',
      {},
      {},
      15_000,
      [504, 'upstream request timeout', 'response_timeout', ['UT']],
    ],
    [
      'of the route',
      { timeout: '0.2s' },
      {},
      200,
      [504, 'upstream request timeout', 'response_timeout', ['UT']],
    ],
    [
      'of a try',
      { timeout: '9s', retryPolicy: { perTryTimeout: '0.1s', retryOn: 'unavailable' } },
      {},
      100,
      [504, 'upstream request timeout', 'upstream_per_try_timeout', ['UT']],
    ],
    [
      'of an idle stream',
      { timeout: '0s' },
      { streamIdleTimeout: '1s' },
      1_000,
      [504, 'stream timeout', 'stream_idle_timeout', ['SI']],
    ],
    [
      'of an idle stream, by the route',
      { timeout: '0s', idleTimeout: '0.5s' },
      { streamIdleTimeout: '9s' },
      500,
      [504, 'stream timeout', 'stream_idle_timeout', ['SI']],
    ],
    [
      'of a stream',
      { timeout: '0s' },
      { commonHttpProtocolOptions: { maxStreamDuration: '2s' } },
      2_000,
      [504, 'downstream duration timeout', 'max_duration_timeout', []],
    ],
    [
      'of a stream, by the route',
      { timeout: '0s', maxStreamDuration: { maxStreamDuration: '1s' } },
      {},
      1_000,
      [504, 'downstream duration timeout', 'max_duration_timeout', []],
    ],
    [
      "of the cluster's streams",
      { timeout: '0s', cluster: 'up-short' },
      {},
      500,
      [504, 'upstream request timeout', 'upstream_max_stream_duration_reached', ['UMSDR']],
    ],
  ])('%s', async (_, route, manager, afterMs, [status, body, details, flags]) => {
    const proxy = silent(route, manager);
    await proxy.get();
    expect((await proxy.advance(afterMs - 1)).status).toBe(0);
    const answer = await proxy.advance(1);
    expect([answer.status, answer.body]).toEqual([status, body]);
    expect(proxy.log).toMatchObject({ code: status, details, flags });
    expect(proxy.attempts[0]?.wasReset).toBe(true);
  });

  it('0 means never', async () => {
    const proxy = silent({ timeout: '0s' }, { streamIdleTimeout: '0s' });
    await proxy.get();
    expect((await proxy.advance(10_000_000)).status).toBe(0);
  });

  it('leave no timer behind', async () => {
    const proxy = new ProxyUnderTest(
      [
        {
          match: { prefix: '/' },
          route: { cluster: 'up', retryPolicy: { retryOn: '5xx', perTryTimeout: '1s' } },
        },
      ],
      {
        requestTimeout: '5s',
        commonHttpProtocolOptions: { maxStreamDuration: '9s', idleTimeout: '0s' },
      },
    );
    await proxy.get();
    expect(proxy.clock.pending).toBe(0);
  });

  it("of a request that isn't complete", async () => {
    const proxy = silent({}, { requestTimeout: '1s' });
    await proxy.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
    const answer = await proxy.advance(1_000);
    expect([answer.status, answer.body]).toEqual([408, 'request timeout']);
    expect(proxy.log.details).toBe('request_overall_timeout');
  });

  it.each<[asked: string | undefined, cap: string, expectedMs: number | undefined]>([
    ['2S', '0s', 2_000],
    ['2S', '1s', 1_000],
    ['500m', '1s', 500],
    [undefined, '1s', 1_000],
    [undefined, '0s', undefined],
    ['0m', '0s', undefined],
    ['0m', '1s', 1_000],
    ['soon', '1s', 1_000],
  ])('of gRPC: %s capped by %s is %s ms', async (asked, cap, expectedMs) => {
    const proxy = silent({ timeout: '0s', maxGrpcTimeout: cap });
    await proxy.get('/', { ...GRPC, ...(asked === undefined ? {} : { 'grpc-timeout': asked }) });
    if (expectedMs === undefined) {
      expect((await proxy.advance(100_000)).status).toBe(0);
      return;
    }
    expect(proxy.attempts[0]?.headers.get('grpc-timeout')).toBe(`${expectedMs}m`);
    expect((await proxy.advance(expectedMs - 1)).status).toBe(0);
    const answer = await proxy.advance(1);
    expect([answer.status, answer.headers.get('grpc-status')]).toEqual([200, '14']);
  });

  it("retry a slow try, and count all tries in the route's timeout", async () => {
    const proxy = silent({
      timeout: '0.25s',
      retryPolicy: { perTryTimeout: '0.1s', retryOn: '5xx', numRetries: 9 },
    });
    proxy.random = 0;
    await proxy.get();
    await proxy.advance(100);
    await proxy.advance(100);
    expect(proxy.attempts).toHaveLength(3);
    const answer = await proxy.advance(50);
    expect([answer.status, proxy.log.details]).toEqual([504, 'response_timeout']);
  });

  it('close an idle connection', async () => {
    const proxy = new ProxyUnderTest([toUp], { commonHttpProtocolOptions: { idleTimeout: '1s' } });
    await proxy.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await proxy.advance(999);
    expect(proxy.peer.ended).toBe(false);
    await proxy.advance(1);
    expect(proxy.peer.ended).toBe(true);
  });
});

it('gives up a head that does not come to its end', async () => {
  const proxy = new ProxyUnderTest([toUp], { requestHeadersTimeout: '1s' });
  await proxy.send('GET / HTTP/1.1\r\nHo');
  expect((await proxy.advance(999)).status).toBe(0);
  const answer = await proxy.advance(1);
  expect([answer.status, answer.body]).toEqual([408, 'request header timeout']);
  expect(proxy.log).toMatchObject({ code: 408, details: 'request_header_timeout', flags: [] });
  expect(proxy.peer.ended).toBe(true);
  proxy.connect();
  await proxy.send('GET / HTTP/1.1\r\nHo');
  await proxy.advance(500);
  expect(await proxy.send('st: a\r\n\r\n')).toContain('200 OK');
  expect((await proxy.advance(5_000)).status).toBe(200);
});

it('gives up a try that is idle', async () => {
  const proxy = new ProxyUnderTest([
    {
      match: { prefix: '/' },
      route: { cluster: 'up', retryPolicy: { perTryIdleTimeout: '0.3s', retryOn: 'unavailable' } },
    },
  ]);
  proxy.script = () => undefined;
  await proxy.get();
  const answer = await proxy.advance(300);
  expect([answer.status, proxy.log.details]).toEqual([504, 'upstream_per_try_idle_timeout']);
  expect(proxy.log.flags).toEqual(['UT']);
});

describe('routes', () => {
  it.each<[name: string, redirect: object, path: string, host: string, location: string, status: number]>([
    ['https', { httpsRedirect: true }, '/a?b', 'h:80', 'https://h/a?b', 301],
    ['a host', { hostRedirect: 'n' }, '/a?b', 'h', 'http://n/a?b', 301],
    ['a port', { portRedirect: 81 }, '/a', 'h', 'http://h:81/a', 301],
    ['a path', { pathRedirect: '/x', responseCode: 'FOUND' }, '/a?b', 'h', 'http://h/x?b', 302],
    [
      'a path with query',
      { pathRedirect: '/x?y', responseCode: 'SEE_OTHER' },
      '/a?b',
      'h',
      'http://h/x?y',
      303,
    ],
    [
      'a prefix',
      { prefixRewrite: '/x', responseCode: 'TEMPORARY_REDIRECT' },
      '/a/c?b',
      'h',
      'http://h/x/c?b',
      307,
    ],
    [
      'no query',
      { hostRedirect: 'n', stripQuery: true, responseCode: 'PERMANENT_REDIRECT' },
      '/a?b',
      'h',
      'http://n/a',
      308,
    ],
  ])('redirect to %s', async (_, redirect, path, host, location, status) => {
    const proxy = new ProxyUnderTest([{ match: { prefix: '/a' }, redirect }]);
    const answer = await proxy.get(path, { host });
    expect([answer.status, answer.headers.get('location')]).toEqual([status, location]);
    expect(proxy.log.details).toBe('direct_response');
  });

  it('want https where the virtual host does', async () => {
    const proxy = new ProxyUnderTest([toUp], {}, { requireTls: 'ALL' });
    const answer = await proxy.get('/x?y', { host: 'h' });
    expect([answer.status, answer.headers.get('location')]).toEqual([301, 'https://h/x?y']);
    expect((await proxy.get('/x', { 'x-forwarded-proto': 'https' })).status).toBe(200);
  });

  it.each<[name: string, route: object, path: string, expected: Record<string, string | undefined>]>([
    [
      'prefix_rewrite',
      { prefixRewrite: '/x' },
      '/a/b?q',
      { ':path': '/x/b?q', 'x-envoy-original-path': '/a/b?q' },
    ],
    [
      'prefix_rewrite of "/" for an exact prefix',
      { prefixRewrite: '/' },
      '/a',
      { ':path': '/', 'x-envoy-original-path': '/a' },
    ],
    [
      'regex_rewrite',
      { regexRewrite: { pattern: { regex: '^/a/(.*)$' }, substitution: '/\\1/z' } },
      '/a/b?q',
      { ':path': '/b/z?q' },
    ],
    [
      'host_rewrite_literal',
      { hostRewriteLiteral: 'n' },
      '/a',
      { ':authority': 'n', 'x-envoy-original-host': 'a.test' },
    ],
    ['host_rewrite_header', { hostRewriteHeader: 'x-h' }, '/a', { ':authority': 'from-header' }],
    [
      'auto_host_rewrite',
      { autoHostRewrite: true, appendXForwardedHost: true },
      '/a',
      { ':authority': 'host.test', 'x-forwarded-host': 'a.test' },
    ],
    [
      'no rewrite',
      {},
      '/a',
      {
        ':path': '/a',
        ':authority': 'a.test',
        'x-envoy-original-path': undefined,
        'x-envoy-expected-rq-timeout-ms': '15000',
      },
    ],
  ])('rewrite by %s', async (_, route, path, expected) => {
    const proxy = new ProxyUnderTest([{ match: { prefix: '/a' }, route: { cluster: 'up', ...route } }]);
    await proxy.get(path, { 'x-h': 'from-header' });
    const headers = proxy.attempts[0]?.headers;
    for (const [name, value] of Object.entries(expected))
      expect([name, headers?.get(name)]).toEqual([name, value]);
  });

  it('add and remove headers from the most specific level to the least', async () => {
    const add = (value: string, appendAction: string) => [{ header: { key: 'x-l', value }, appendAction }];
    const proxy = new ProxyUnderTest(
      [
        {
          match: { prefix: '/' },
          requestHeadersToAdd: [
            ...add('route', 'OVERWRITE_IF_EXISTS_OR_ADD'),
            { header: { key: 'x-p', value: '%REQ(:path)%' } },
          ],
          requestHeadersToRemove: ['x-gone'],
          responseHeadersToAdd: [{ header: { key: 'x-r', value: 'route' }, appendAction: 'ADD_IF_ABSENT' }],
          route: {
            weightedClusters: {
              clusters: [
                { name: 'up', weight: 1, requestHeadersToAdd: add('cluster', 'OVERWRITE_IF_EXISTS_OR_ADD') },
              ],
            },
          },
        },
      ],
      {},
      { requestHeadersToAdd: add('vhost', 'OVERWRITE_IF_EXISTS_OR_ADD') },
    );
    proxy.script = (attempt) => attempt.respond(200, { 'x-r': 'upstream' });
    const answer = await proxy.get('/p', { 'x-gone': '1' });
    const headers = proxy.attempts[0]?.headers;
    expect([headers?.getAll('x-l'), headers?.get('x-p'), headers?.get('x-gone')]).toEqual([
      ['vhost'],
      '/p',
      undefined,
    ]);
    expect(answer.headers.get('x-r')).toBe('upstream');
  });

  it('split by weight', async () => {
    const proxy = new ProxyUnderTest([
      {
        match: { prefix: '/' },
        route: {
          weightedClusters: {
            clusters: [
              { name: 'up1', weight: 90 },
              { name: 'up0', weight: 0 },
              { name: 'up2', weight: 10 },
            ],
          },
        },
      },
    ]);
    for (const random of [0, 0.5, 0.899, 0.9, 0.999]) {
      proxy.random = random;
      await proxy.get();
    }
    expect(proxy.attempts.map((a) => a.cluster)).toEqual(['up1', 'up1', 'up1', 'up2', 'up2']);
  });

  it('mirror a request without waiting for it', async () => {
    const proxy = new ProxyUnderTest([
      {
        match: { prefix: '/' },
        route: { cluster: 'up', requestMirrorPolicies: [{ cluster: 'up-mirror' }, { cluster: 'none' }] },
      },
    ]);
    proxy.script = (attempt) => {
      if (attempt.cluster === 'up') attempt.respond(200, {}, 'ok');
    };
    const answer = await proxy.send('POST / HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc');
    expect(answer).toContain('200 OK');
    const mirror = proxy.attempts.find((a) => a.cluster === 'up-mirror');
    expect([mirror?.headers.authority, mirror?.body, mirror?.ended]).toEqual(['a-shadow:1', 'abc', true]);
    expect(proxy.logs).toHaveLength(1);
  });
});

describe('upgrades and CONNECT', () => {
  const UPGRADE = { connection: 'upgrade', upgrade: 'websocket' };

  it('refuse what is not allowed', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    expect((await proxy.get('/', UPGRADE)).status).toBe(403);
    expect(proxy.log.details).toBe('upgrade_failed');
  });

  it('pass bytes both ways', async () => {
    const proxy = new ProxyUnderTest([toUp], { upgradeConfigs: [{ upgradeType: 'websocket' }] });
    proxy.script = ({ events, headers }) => {
      expect(headers.protocol).toBe('websocket');
      expect(proxy.attempts[0]?.body).toBe('');
      const response = HeaderMap.response(101);
      response.protocol = 'websocket';
      events.onHeaders(response, false);
    };
    expect((await proxy.get('/', UPGRADE)).status).toBe(101);
    await proxy.send('ping');
    proxy.attempts[0]?.events.onData(Buffer.from('pong'), false);
    await settle();
    expect(proxy.attempts[0]?.body).toBe('ping');
    expect(proxy.peer.received.endsWith('pong')).toBe(true);
    await proxy.advance(20_000);
    expect(proxy.peer.closed).toBe(false);
    proxy.attempts[0]?.events.onData(Buffer.from('bye'), true);
    await settle();
    expect([proxy.peer.ended, proxy.logs.length]).toEqual([true, 0]);
    proxy.peer.stream.end();
    await settle();
    expect([proxy.attempts[0]?.ended, proxy.log.code, proxy.log.details]).toEqual([
      true,
      101,
      'via_upstream',
    ]);
  });

  it('pass the status of an upstream that refuses, without its body', async () => {
    const proxy = new ProxyUnderTest([toUp], { upgradeConfigs: [{ upgradeType: 'websocket' }] });
    proxy.script = (attempt) => attempt.respond(400, {}, 'no');
    const answer = await proxy.get('/', UPGRADE);
    expect([answer.status, answer.body, proxy.log.details]).toEqual([
      400,
      '',
      'websocket_handshake_unsuccessful',
    ]);
  });

  it('may be turned off by the route', async () => {
    const proxy = new ProxyUnderTest(
      [
        {
          match: { prefix: '/' },
          route: { cluster: 'up', upgradeConfigs: [{ upgradeType: 'WebSocket', enabled: false }] },
        },
      ],
      { upgradeConfigs: [{ upgradeType: 'websocket' }] },
    );
    expect((await proxy.get('/', UPGRADE)).status).toBe(403);
  });

  it('end CONNECT here where connect_config says so', async () => {
    const proxy = new ProxyUnderTest([
      {
        match: { connectMatcher: {} },
        route: { cluster: 'up', upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }] },
      },
    ]);
    proxy.connect();
    expect(await proxy.send('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n')).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect((await proxy.send('echo')).endsWith('\r\n\r\necho')).toBe(true);
    proxy.peer.stream.end();
    await settle();
    expect([proxy.peer.ended, proxy.log.code]).toEqual([true, 200]);
  });

  it('take the peer for the source of a tunnel, whatever x-forwarded-for says', async () => {
    const proxy = new ProxyUnderTest([
      {
        match: { connectMatcher: {} },
        route: { cluster: 'up', upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }] },
      },
    ]);
    proxy.connect();
    await proxy.send('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n');
    proxy.peer.stream.reset();
    await settle();
    expect(proxy.logs[0]?.remoteAddress).toMatchObject({ ip: '127.0.0.1' });
  });

  it('let no prefix route take CONNECT', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    expect((await proxy.get('a:1', { host: 'a:1' }, 'CONNECT')).status).toBe(404);
  });
});

describe('bodies', () => {
  it('stop the upstream while the client does not read', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    proxy.script = ({ events }) => events.onHeaders(HeaderMap.response(200), false);
    await proxy.get();
    proxy.peer.stream.pause();
    for (let i = 0; i < 8; i++) proxy.attempts[0]?.events.onData(Buffer.alloc(500_000), false);
    await settle();
    expect(proxy.attempts[0]?.paused).toBe(true);
    proxy.peer.stream.resume();
    await settle(40);
    expect(proxy.attempts[0]?.paused).toBe(false);
  });

  it('answer an expectation themselves', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    const text = await proxy.send(
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n',
    );
    expect(text.startsWith('HTTP/1.1 100 Continue\r\n\r\n')).toBe(true);
    expect(proxy.attempts[0]?.headers.get('expect')).toBeUndefined();
  });

  it('tell a client that left', async () => {
    const proxy = new ProxyUnderTest([toUp]);
    proxy.script = () => undefined;
    await proxy.get();
    proxy.peer.stream.end();
    await settle();
    expect(proxy.log).toMatchObject({ code: 0, details: 'downstream_remote_disconnect', flags: ['DC'] });
    expect(proxy.attempts[0]?.wasReset).toBe(true);
  });
});
