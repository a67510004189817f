import type { Fields, TestRequest } from './exchange.ts';
import type { ListenerName } from './config.ts';
import type { ReplyScript } from './upstreams.ts';

export interface Case extends TestRequest {
  readonly name: string;
  readonly listener: ListenerName;
}

type Options = Partial<Omit<Case, 'path'>> & { readonly reply?: ReplyScript };

/** `GET http://app.test<path>` by HTTP/1.1 at the listener `plain`, unless told otherwise. */
function request(path: string, o: Options = {}): Case {
  const { reply, headers = [], ...rest } = o;
  const script: Fields = reply === undefined ? [] : [['x-reply', JSON.stringify(reply)]];
  const { listener = 'plain', protocol = 'http1', method = 'GET', host = 'app.test' } = rest;
  const shown = headers.map(([key, value]) => `${key}: ${value}`).join(', ');
  const how = reply === undefined ? '' : ` ← ${JSON.stringify(reply)}`;
  return {
    name: `${listener} ${protocol === 'http2' ? 'h2 ' : ''}${method} ${host} ${path} ${shown}${how}`.trim(),
    ...rest,
    listener,
    protocol,
    method,
    host,
    path,
    headers: [...headers, ...script],
  };
}

function raw(name: string, text: string, o: Options = {}): Case {
  return { ...request('/', o), name: `${o.listener ?? 'plain'} raw ${name}`, raw: text };
}

const every = <T>(values: readonly T[], make: (value: T) => Case | readonly Case[]): readonly Case[] =>
  values.flatMap((value) => make(value));

const hosts: readonly Case[] = [
  ...every(
    [
      'exact.test',
      'EXACT.test',
      'exact.test:8080',
      'exact.test:80',
      'exact.test:9',
      'exact.test.',
      '[::1]:8080',
      '[::1]',
      'wild.test',
      'a.wild.test',
      'a.b.wild.test',
      'a.long.wild.test',
      'x-dash.wild.test',
      '-dash.wild.test',
      'tail.test',
      'tail.a.b',
      'tail',
      'narrow.test',
      'unknown',
      '.wild.test',
      'a.wild.test:80',
    ],
    (host) => [request('/x', { host }), request('/x', { host, listener: 'edge' })],
  ),
  ...every(['exact.test:80', 'exact.test:443', 'exact.test'], (host) =>
    request('/x', { host, listener: 'literal' }),
  ),
  request('/only', { host: 'narrow.test' }),
  request('/x', { host: 'tls.test' }),
  request('/x?y=1', { host: 'tls.test:8080', headers: [['x-forwarded-proto', 'https']] }),
  request('/x', { host: 'tls.test', headers: [['x-forwarded-proto', 'http']] }),
  request('/x', { host: 'tls.test', listener: 'edge', headers: [['x-forwarded-proto', 'https']] }),
  request('/x', { host: 'tls.test', listener: 'behind', headers: [['x-forwarded-proto', 'https']] }),
  request('http://exact.test/x', { host: 'app.test' }),
  request('https://exact.test/x?y', { host: 'app.test' }),
  request('http://exact.test', { host: 'app.test' }),
  request('/x', { host: 'exact.test', protocol: 'http2' }),
  request('/x', { host: 'EXACT.test', protocol: 'http2' }),
  request('/x', { host: '' }),
];

const trickyPaths = [
  '/exact',
  '/exact?',
  '/exact?a=b',
  '/exact/',
  '/Exact',
  '/exact-ci',
  '/EXACT-CI',
  '/prefix/',
  '/prefix',
  '/prefixes',
  '/Prefix-CIa',
  '/psp',
  '/psp/',
  '/psp/x',
  '/pspx',
  '/psp?x',
  '/PSP2/x',
  '/psp2x',
  '/re/abc/12',
  '/re/abc/1',
  '/re/abc/12/',
  '/re/ABC/12',
  '/re/abc/12?q=/1',
  '/t/1/x/',
  '/t/1/x',
  '/t/1/x/2/3',
  '/t//x/2',
  '/t/1/2/x/3',
  '/a/../exact',
  '/a/./../exact',
  '/../exact',
  '/exact/.',
  '/exact/..',
  '/./exact',
  '/a/b/../../exact',
  '//exact',
  '/a//../exact',
  '/exact//',
  '/prefix//x',
  '/prefix/../exact',
  '/%65xact',
  '/ex%61ct',
  '/exact%2F',
  '/prefix%2Fx',
  '/prefix%2fx',
  '/prefix/%2e%2e/exact',
  '/prefix/%2E%2E%2Fexact',
  '/prefix/..%2fexact',
  '/prefix%5Cx',
  '/prefix%5c..%5cexact',
  '/prefix\\x',
  '/a\\..\\exact',
  '/exact;v=1',
  '/prefix/..;/exact',
  '/exact%00',
  '/exact%',
  '/exact%zz',
  '/exact%7E~',
  '/exact%3f',
  '/exact?%2e%2e/',
  '/exact#f',
  '/exact?q#f',
  '/%C3%A9',
  '/%c3%a9',
  '/exact?a=b?c=d',
  '/exact%20',
  '/a/...',
  '/...',
  '/a/.b/..c',
  '/%2e',
  '/%2e%2e',
  '/%252e%252e/exact',
  '/exact?x=../..',
  '/x/%41%42',
  '/x/%2D%5F',
  '/x|y"<>^`{}',
  '/x\x80\xff',
  '/h2/../exact',
];

const paths: readonly Case[] = [
  ...every(trickyPaths, (path) => [
    request(path),
    request(path, { listener: 'edge' }),
    request(path, { listener: 'literal' }),
    request(path, { listener: 'behind' }),
  ]),
  ...every(
    trickyPaths.filter((path) => /^[\x21-\x7e]+$/.test(path)),
    (path) => request(path, { protocol: 'http2' }),
  ),
  request('/prefix%2Fx', {
    listener: 'edge',
    method: 'POST',
    headers: [['content-type', 'application/grpc']],
  }),
];

const headerRoutes = [
  'exact',
  'ci',
  'prefix',
  'suffix',
  'contains',
  'regex',
  'invert',
  'empty',
  'present',
  'absent',
  'not-present',
];
const headerValues: readonly Fields[] = [
  [],
  [['x-h', 'One']],
  [['x-h', 'one']],
  [['x-h', '']],
  [['x-h', 'One,Two']],
  [
    ['x-h', 'One'],
    ['x-h', 'Two'],
  ],
  [
    ['x-h', 'Two'],
    ['X-H', 'One'],
  ],
];
const matches: readonly Case[] = [
  ...every(headerRoutes, (kind) => headerValues.map((headers) => request(`/h/${kind}`, { headers }))),
  ...every(['0', '-5', '9', '10', '-6', 'x', '1.5', ' 3 ', '', '+3', '007'], (value) =>
    request('/h/range', { headers: [['x-h', value]] }),
  ),
  request('/h/and', { headers: [['x-h', 'One']] }),
  request('/h/and', {
    headers: [
      ['x-h', 'One'],
      ['x-i', 'Two'],
    ],
  }),
  ...every(['PUT', 'GET', 'put', 'PATCH'], (method) => request('/h/method', { method })),
  ...every(
    ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND', 'M-SEARCH', 'FOO'],
    (method) => request('/m', { method }),
  ),
  request('/h/path?q=1'),
  request('/h/path'),
  request('/h/authority', { host: 'special.test' }),
  ...every(
    [
      'k=1',
      'k=%31',
      'k=2&k=1',
      'k=1&k=2',
      'K=1',
      'k',
      'k=',
      '',
      'a=1&k=1',
      'k=1&l',
      'k=1#l',
      'k=1;l=2',
      '&&k=1',
      'k=1=2',
      '?k=1',
      'k=abc',
      'k=abcd',
    ],
    (query) => ['exact', 'present', 'regex', 'and'].map((kind) => request(`/q/${kind}?${query}`)),
  ),
  request('/never'),
  ...every(
    [
      'application/grpc',
      'application/grpc+proto',
      'application/grpc-web',
      'application/grpc;x',
      'APPLICATION/GRPC',
      'text/plain',
    ],
    (kind) => request('/grpc', { method: 'POST', headers: [['content-type', kind]] }),
  ),
];

const grpc: Fields = [
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
];
const actions: readonly Case[] = [
  ...every(
    [
      '/direct',
      '/direct-empty',
      '/dead',
      '/empty',
      '/no-cluster',
      '/no-cluster-500',
      '/weighted',
      '/h2/x',
      '/by-header',
    ],
    (path) => [
      request(path),
      request(path, { method: 'HEAD' }),
      request(path, { method: 'POST', body: 'some' }),
      request(path, { protocol: 'http2' }),
      request(path, { method: 'POST', headers: grpc }),
    ],
  ),
  ...every(['a', 'b', 'nowhere', ''], (name) => request('/by-header', { headers: [['x-cluster', name]] })),
  request('/weighted', {
    headers: [
      ['x-drop', '1'],
      ['x-w', 'client'],
    ],
  }),
  ...every(['host', 'https', 'port', 'path', 'prefix', 'keep', 'regex'], (kind) => [
    request(`/redirect/${kind}`),
    request(`/redirect/${kind}/sub/path?q=1&r=%20`),
    request(`/redirect/${kind}/sub`, { host: 'app.test:80' }),
    request(`/redirect/${kind}/sub`, { host: 'app.test:8080', headers: [['x-forwarded-proto', 'https']] }),
    request(`/redirect/${kind}/sub`, { protocol: 'http2' }),
    request(`/redirect/${kind}/sub`, { host: '[::1]:80' }),
  ]),
  ...every(
    [
      '/rewrite/prefix',
      '/rewrite/prefix/x?q=1',
      '/rewrite/prefixed',
      '/rewrite/root/',
      '/rewrite/root/x',
      '/rewrite/root//x',
      '/rewrite/slash',
      '/rewrite/slash/x',
      '/rewrite/exact?q',
      '/rewrite/regex/one/two/three?q=/rewrite',
      '/rewrite/regex/one',
      '/rewrite/every/eel?see',
      '/rewrite/template/en/a/b?q',
      '/rewrite/template/en',
      '/rewrite/host/x',
      '/rewrite/xfh/x',
      '/rewrite/from-header',
      '/rewrite/from-path/shop/x?y',
      '/rewrite/from-path',
      '/rewrite/auto',
    ],
    (path) => [request(path), request(path, { host: 'app.test:8080', listener: 'edge' })],
  ),
  request('/rewrite/from-header', { headers: [['x-host', 'chosen.test']] }),
  request('/rewrite/host', { headers: [['x-forwarded-host', 'client.test']] }),
  request('/rewrite/xfh', { headers: [['x-forwarded-host', 'client.test']] }),
  request('/rewrite/prefix', { headers: [['x-envoy-original-path', '/forged']] }),
];

const present: Fields = ['append', 'absent', 'overwrite', 'overwrite-only', 'drop', 'a', 'drop-too'].map(
  (name) => [`x-${name}`, 'client'] as const,
);
const mutations: readonly Case[] = [
  request('/mutate'),
  request('/mutate', { headers: present }),
  request('/mutate', { headers: present, protocol: 'http2' }),
  request('/mutate', {
    headers: [
      ['x-append', '1'],
      ['x-append', '2'],
      ['x-b', 'b'],
    ],
    reply: { headers: present },
  }),
  request('/mutate', {
    reply: {
      headers: [
        ['x-overwrite', '1'],
        ['x-overwrite', '2'],
        ['x-from', 'up'],
        ['x-table-drop', '1'],
      ],
    },
  }),
  request('/x', { host: 'mutated.test' }),
  request('/x', {
    host: 'mutated.test',
    headers: [
      ['x-level', 'client'],
      ['x-drop', '1'],
    ],
  }),
  request('/x', {
    reply: {
      headers: [
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
        ['x-many', '1'],
        ['x-many', '2'],
        ['server', 'mine'],
      ],
    },
  }),
  ...every(['plain', 'edge', 'literal', 'behind'] as const, (listener) => [
    request('/x', {
      listener,
      reply: {
        headers: [
          ['server', 'mine'],
          ['via', '1.0 up'],
        ],
      },
    }),
    ...(
      [
        [['x-forwarded-for', '1.2.3.4']],
        [
          ['x-forwarded-for', '1.2.3.4, 5.6.7.8'],
          ['x-forwarded-proto', 'https'],
        ],
        [
          ['x-forwarded-for', '1.2.3.4'],
          ['x-forwarded-for', '10.0.0.1'],
        ],
        [['x-forwarded-for', 'rubbish']],
        [['x-request-id', 'mine']],
        [['x-request-id', '7f1d2c3b-4a5e-4f60-9b8c-1234567890ab']],
        [
          ['x-envoy-retry-on', '5xx'],
          ['x-envoy-max-retries', '3'],
          ['x-envoy-upstream-rq-timeout-ms', '5000'],
          ['x-envoy-internal', 'true'],
          ['x-envoy-force-trace', 'yes'],
          ['x-envoy-ip-tags', 't'],
        ],
        [
          ['x-envoy-decorator-operation', 'd'],
          ['x-envoy-original-path', '/o'],
          ['x-envoy-downstream-service-cluster', 'c'],
          ['x-envoy-downstream-service-node', 'n'],
          ['x-envoy-attempt-count', '7'],
          ['x-envoy-external-address', '9.9.9.9'],
          ['x-envoy-expected-rq-timeout-ms', '9'],
        ],
        [
          ['x-forwarded-host', 'h'],
          ['x-forwarded-port', '1'],
          ['x-client-trace-id', 't'],
          ['forwarded', 'for=1'],
          ['via', '1.1 before'],
        ],
        [['x-forwarded-client-cert', 'By=spiffe://x;URI=spiffe://y']],
        [
          ['connection', 'keep-alive, x-named'],
          ['x-named', '1'],
          ['keep-alive', 'timeout=9'],
          ['proxy-connection', 'keep-alive'],
        ],
        [['te', 'gzip, trailers']],
        [['te', 'trailers']],
        [['te', 'gzip']],
        [
          ['upgrade', 'h2c'],
          ['connection', 'upgrade, http2-settings'],
          ['http2-settings', 'AAMAAABkAAQAAP__'],
        ],
        [
          ['upgrade', 'websocket'],
          ['connection', 'Upgrade'],
        ],
        [
          ['upgrade', 'unknown'],
          ['connection', 'upgrade'],
        ],
        [['under_score', '1']],
        [
          ['x-empty', ''],
          ['x-spaces', '  a  b  '],
          ['x-high', '\x80\xff'],
        ],
        [
          ['user-agent', ''],
          ['accept', '*/*'],
          ['accept', 'text/html'],
          ['cookie', 'a=1'],
          ['cookie', 'b=2'],
        ],
        [['expect', '100-continue']],
        [['connection', 'close']],
        [['connection', 'host, x-case']],
      ] as const satisfies readonly Fields[]
    ).map((headers) => request('/x', { listener, headers })),
  ]),
  ...every([19, 20, 21, 40], (count) =>
    request('/x', {
      listener: 'behind',
      headers: Array.from({ length: count - 4 }, (_, i) => [`x-${i}`, '1'] as const),
    }),
  ),
];

const bodies: readonly Case[] = [
  ...every(['http1', 'http2'] as const, (protocol) => [
    request('/x', { protocol, method: 'POST', body: 'some text' }),
    request('/x', { protocol, method: 'POST', body: '' }),
    request('/h2/x', { protocol, method: 'PUT', body: 'x'.repeat(100_000) }),
    request('/h2/x', { protocol, reply: { body: 'x'.repeat(100_000) } }),
    request('/x', { protocol, method: 'POST', body: 'with', chunked: true, trailers: [['x-trailer', '1']] }),
    request('/h2/x', {
      protocol,
      method: 'POST',
      body: 'with',
      chunked: true,
      trailers: [['x-trailer', '1']],
    }),
    request('/x', {
      protocol,
      listener: 'behind',
      method: 'POST',
      body: 'with',
      chunked: true,
      trailers: [['x-trailer', '1']],
    }),
    request('/x', {
      protocol,
      reply: { trailers: [['x-trailer', '1']], headers: [['trailer', 'x-trailer']] },
    }),
    request('/h2/x', { protocol, reply: { trailers: [['x-trailer', '1']] } }),
    request('/x', {
      protocol,
      listener: 'behind',
      reply: { body: 'b', trailers: [['x-trailer', '1']], headers: [['trailer', 'x-trailer']] },
    }),
    request('/h2/x', {
      protocol,
      method: 'POST',
      headers: grpc,
      body: '\0\0\0\0\0',
      reply: {
        headers: [['content-type', 'application/grpc']],
        body: '',
        trailers: [
          ['grpc-status', '5'],
          ['grpc-message', 'no'],
        ],
      },
    }),
    ...every([200, 204, 205, 304, 301, 404, 500, 599], (status) => [
      request('/x', { protocol, reply: { status, body: '' } }),
      request('/x', {
        protocol,
        method: 'HEAD',
        reply: { status, headers: [['content-length', '5']], body: '' },
      }),
    ]),
  ]),
  request('/x', { method: 'POST', body: 'in chunks', chunked: true }),
  request('/x', { method: 'GET', body: 'of a GET' }),
  request('/x', { method: 'GET', body: 'of a GET', chunked: true }),
];

const failures: readonly Case[] = [
  ...every(['5xx', 'gateway', '4xx', 'codes', 'reset', 'unsent', 'none', 'limited'], (kind) => [
    ...every([500, 503, 409, 418, 404], (status) => [
      request(`/retry/${kind}`, { reply: { status, times: 1 } }),
      request(`/retry/${kind}`, { reply: { status } }),
    ]),
    request(`/retry/${kind}`, { reply: { raw: '', times: 1 } }),
    request(`/retry/${kind}`, { reply: { raw: '' } }),
  ]),
  request('/retry/5xx', { method: 'POST', body: 'again and again', reply: { status: 503, times: 2 } }),
  request('/retry/5xx', {
    method: 'POST',
    body: 'again',
    chunked: true,
    protocol: 'http2',
    reply: { status: 503, times: 2 },
  }),
  request('/retry/5xx', { reply: { status: 503, times: 3 } }),
  request('/retry/5xx', { method: 'POST', headers: grpc, reply: { status: 503 } }),
  request('/retry/limited', { reply: { status: 429, headers: [['x-envoy-ratelimited', 'true']], times: 1 } }),
  request('/retry/5xx', { reply: { status: 503, headers: [['x-envoy-ratelimited', 'true']], times: 1 } }),
  request('/retry/headers', { reply: { headers: [['x-again', '1']], times: 1 } }),
  request('/retry/headers', { reply: { status: 503, times: 1 } }),
  request('/retry/grpc', {
    method: 'POST',
    headers: grpc,
    reply: {
      headers: [
        ['grpc-status', '14'],
        ['content-type', 'application/grpc'],
      ],
      body: '',
      times: 1,
    },
  }),
  request('/retry/grpc', {
    method: 'POST',
    headers: grpc,
    reply: {
      headers: [
        ['grpc-status', '5'],
        ['content-type', 'application/grpc'],
      ],
      body: '',
      times: 1,
    },
  }),
  request('/retry/per-try', { reply: { delayMs: 400, times: 1 } }),
  request('/retry/per-try', { reply: { delayMs: 400 } }),
  request('/retry/dead'),
  request('/retry/dead', { method: 'POST', headers: grpc }),
  request('/x', { host: 'counted.test', reply: { status: 503, times: 1 } }),
  request('/x', { host: 'counted.test', headers: [['x-envoy-attempt-count', '9']] }),
  ...every(['short', 'none', 'grpc', 'idle', 'stream'], (kind) => [
    request(`/timeout/${kind}`, { reply: { delayMs: 600 } }),
    request(`/timeout/${kind}`, { method: 'POST', headers: grpc, reply: { delayMs: 600 } }),
    request(`/timeout/${kind}`, {
      method: 'POST',
      headers: [...grpc, ['grpc-timeout', '100m']],
      reply: { delayMs: 600 },
    }),
    request(`/timeout/${kind}`, { method: 'POST', headers: [...grpc, ['grpc-timeout', '2S']] }),
    request(`/timeout/${kind}`, { method: 'POST', headers: [...grpc, ['grpc-timeout', 'rubbish']] }),
    request(`/timeout/${kind}`, { method: 'POST', headers: [...grpc, ['grpc-timeout', '0m']] }),
    request(`/timeout/${kind}`, { headers: [['grpc-timeout', '2S']] }),
  ]),
  ...every(
    [
      'rubbish\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot hex\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok',
      'HTTP/1.1 200 OK\r\n\r\nuntil close',
      'HTTP/1.0 200 OK\r\n\r\nold',
      'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n',
      'HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200 OK\r\nX-Case-Kept: Yes\r\nx_under: 1\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200 OK\r\nx-fold: a\r\n b\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200 OK\ncontent-length: 2\n\nok',
      'HTTP/1.1 99 Low\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 700 High\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    ],
    (text) => [
      request('/once', { reply: { raw: text } }),
      request('/once', { reply: { raw: text }, protocol: 'http2' }),
      request('/once', { reply: { raw: text }, method: 'HEAD' }),
    ],
  ),
];

const filters: readonly Case[] = [
  ...every(
    ['http://good.test', 'https://a.good.test', 'http://evil.test', 'https://good.test', 'null', ''],
    (origin) => [
      request('/cors', { headers: [['origin', origin]] }),
      request('/cors', { method: 'OPTIONS', headers: [['origin', origin]] }),
      request('/cors', {
        method: 'OPTIONS',
        headers: [
          ['origin', origin],
          ['access-control-request-method', 'PUT'],
        ],
      }),
      request('/cors', {
        headers: [['origin', origin]],
        reply: { headers: [['access-control-allow-origin', '*']] },
      }),
    ],
  ),
  request('/cors'),
  ...every(['abort', 'grpc', 'some'], (kind) => [
    request(`/fault/${kind}`),
    request(`/fault/${kind}`, { method: 'HEAD' }),
    request(`/fault/${kind}`, { headers: [['x-fault', 'yes']] }),
    request(`/fault/${kind}`, { method: 'POST', headers: [...grpc, ['x-fault', 'yes']] }),
    request(`/fault/${kind}`, { method: 'POST', headers: [...grpc, ['x-fault', 'yes']], protocol: 'http2' }),
  ]),
  ...every(
    [
      '/admin',
      '/admin/x',
      '/Admin',
      '/%61dmin',
      '//admin',
      '/./admin',
      '/x/../admin',
      '/x/%2e%2e/admin',
      '/admin%2f',
      '/x%2f..%2fadmin',
      '/x\\..\\admin',
      '/administration',
      '/adm%69n?x',
      '/x?y=/admin',
      '/admin;x',
      '/exact/secret',
      '/exact/secret/',
      '/exact/secret?x',
      '/exact/./secret',
      '/exact//secret',
      '/exact/secret%00',
      '/exact/secret#f',
      '/exact/SECRET',
      '/a.key',
      '/a.key?x',
      '/a.keys',
      '/a.key/',
      '/a%2ekey',
      '/v1/internal',
      '/v12/internal/x',
      '/v/internal',
      '/v1/internals',
      '/only-good',
      '/from',
      'http://app.test/admin',
      '/x/..;/admin',
      '/%2e/admin',
      '/admin%',
      '/%zz/../admin',
    ],
    (path) => request(path, { listener: 'deny' }),
  ),
  ...every(
    [
      [['x-user', 'bad']],
      [['x-user', 'bad,x']],
      [
        ['x-user', 'x'],
        ['x-user', 'bad'],
      ],
      [['x-user', 'BAD']],
      [['x-user', ' bad ']],
      [['x-user', 'good']],
      [
        ['x-user', 'good'],
        ['x-user', 'evil'],
      ],
    ] as const satisfies readonly Fields[],
    (headers) => ['/x', '/only-good'].map((path) => request(path, { listener: 'deny', headers })),
  ),
  ...every(['DELETE', 'GET', 'POST', 'delete'], (method) => request('/x', { listener: 'deny', method })),
  ...every(['denied.test', 'DENIED.test', 'denied.test:80', 'denied.test.'], (host) =>
    request('/x', { listener: 'deny', host }),
  ),
  ...every(['10.9.1.1', '1.1.1.1, 10.9.1.1', '10.9.1.1, 1.1.1.1', 'rubbish'], (xff) =>
    request('/from', { listener: 'deny', headers: [['x-forwarded-for', xff]] }),
  ),
  request('/admin', { listener: 'deny', method: 'POST', headers: grpc }),
  request('/admin', { listener: 'deny', method: 'POST', headers: grpc, protocol: 'http2' }),
  request('/admin', { listener: 'deny', method: 'HEAD' }),
  request('/admin', { listener: 'deny', method: 'POST', body: 'x'.repeat(2_000) }),
  ...every(
    [
      '/exact',
      '/exact/',
      '/exact?x',
      '//exact',
      '/prefix/x',
      '/prefix',
      '/prefix/../x',
      '/prefix/%2e%2e/x',
      '/prefix/..%2fx',
      '/psp',
      '/psp/private',
      '/psp/%70rivate',
      '/psp//private',
      '/psp/x/../private',
      '/t/1/x/2',
      '/t/1/x',
      '/local',
      '/x',
      '/',
    ],
    (path) => [
      request(path, { listener: 'allow' }),
      request(path, { listener: 'allow', method: 'POST' }),
      request(path, { listener: 'allow', headers: [['x-user', 'u-1']] }),
      request(path, { listener: 'allow', headers: [['x-user', 'u-0']] }),
    ],
  ),
  request('/psp', {
    listener: 'allow',
    headers: [
      ['x-user', 'u-0'],
      ['x-user', 'u-1'],
    ],
  }),
];

const H = 'Host: app.test\r\n$ID';
const smuggling: readonly Case[] = [
  ...every(['plain', 'literal', 'edge'] as const, (listener) => [
    raw(
      'CL and TE',
      `POST /x HTTP/1.1\r\n${H}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      { listener },
    ),
    raw(
      'TE and CL',
      `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
      { listener },
    ),
    raw('no host', 'GET /x HTTP/1.1\r\n$ID\r\n', { listener }),
    raw('empty host', 'GET /x HTTP/1.1\r\nHost:\r\n$ID\r\n', { listener }),
    raw('two hosts', `GET /x HTTP/1.1\r\n${H}Host: exact.test\r\n\r\n`, { listener }),
    raw('HTTP/1.0', `GET /x HTTP/1.0\r\n${H}\r\n`, { listener }),
    raw('HTTP/1.0 keep-alive', `GET /x HTTP/1.0\r\n${H}Connection: keep-alive\r\n\r\n`, { listener }),
    raw('HTTP/1.0 without host', 'GET /x HTTP/1.0\r\n$ID\r\n', { listener }),
  ]),
  raw('two equal CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`),
  raw('two different CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`),
  raw('listed CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 2, 2\r\n\r\nok`),
  raw('signed CL', `POST /x HTTP/1.1\r\n${H}Content-Length: +2\r\n\r\nok`),
  raw('negative CL', `POST /x HTTP/1.1\r\n${H}Content-Length: -2\r\n\r\nok`),
  raw('hex CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 0x2\r\n\r\nok`),
  raw('empty CL', `POST /x HTTP/1.1\r\n${H}Content-Length:\r\n\r\n`),
  raw('leading zeros in CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 002\r\n\r\nok`),
  raw('huge CL', `POST /x HTTP/1.1\r\n${H}Content-Length: 99999999999999999999\r\n\r\nok`),
  ...every(
    [
      'Chunked',
      'identity',
      'chunked, chunked',
      'gzip, chunked',
      'chunked, gzip',
      ' chunked',
      '\tchunked',
      'x chunked',
      'chunked;q=1',
      '',
      'xchunked',
      '"chunked"',
    ],
    (te) =>
      raw(
        `TE ${JSON.stringify(te)}`,
        `POST /x HTTP/1.1\r\n${H}Transfer-Encoding:${te}\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
      ),
  ),
  raw(
    'two TE',
    `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  raw(
    'two TE, the first identity',
    `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  ...every(
    [
      '2\r\nok\r\n0\r\n\r\n',
      '2;ext=1\r\nok\r\n0;last\r\n\r\n',
      '02\r\nok\r\n00\r\n\r\n',
      '2 \r\nok\r\n0\r\n\r\n',
      '2\nok\n0\n\n',
      '0x2\r\nok\r\n0\r\n\r\n',
      '-2\r\nok\r\n0\r\n\r\n',
      '2\r\nokay\r\n0\r\n\r\n',
      '\r\n',
      'ffffffffffffffffff\r\nok',
      '2\r\nok\r\n0\r\nx-t: 1\r\n\r\n',
      '2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n',
      '2\r\nok\r\n0\r\nbad trailer\r\n\r\n',
      '2;a="\r\n"\r\nok\r\n0\r\n\r\n',
      '2;a\nb\r\nok\r\n0\r\n\r\n',
    ],
    (body) =>
      raw(
        `chunks ${JSON.stringify(body)}`,
        `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${body}`,
      ),
  ),
  ...every(
    [
      'X-A : 1',
      ' X-A: 1',
      'X-A',
      ': 1',
      'X A: 1',
      'X-A: a\rb',
      'X-A: a\0b',
      'X-\x80: 1',
      'X-A: \x01',
      'X-A: a\tb',
      'X-A: 1\r\n folded',
      'X-A: 1\r\n\tfolded',
      'X-A:1',
      'X-A:\t 1 \t',
      'X(A): 1',
      "X!#$%&'*+-.^_`|~: 1",
      'Content-Length : 2',
      'X-A: a\x7fb',
    ],
    (line) => raw(`header ${JSON.stringify(line)}`, `GET /x HTTP/1.1\r\n${H}${line}\r\n\r\n`),
  ),
  raw('first header folded', `GET /x HTTP/1.1\r\n Host: app.test\r\n${H}\r\n`),
  raw('bare LF', `GET /x HTTP/1.1\nHost: app.test\n$ID\n`),
  raw('bare CR', `GET /x HTTP/1.1\rHost: app.test\r\r`),
  raw('leading CRLF', `\r\n\r\nGET /x HTTP/1.1\r\n${H}\r\n`),
  ...every(
    [
      'GET  /x HTTP/1.1',
      'GET /x  HTTP/1.1',
      'GET /x',
      'GET /x HTTP/1.2',
      'GET /x HTTP/2.0',
      'GET /x http/1.1',
      'GET /x HTTP/1.1 ',
      ' GET /x HTTP/1.1',
      'GET x HTTP/1.1',
      'GET * HTTP/1.1',
      'OPTIONS * HTTP/1.1',
      'GET /x y HTTP/1.1',
      'G(T /x HTTP/1.1',
      'GET app.test:80 HTTP/1.1',
      'CONNECT app.test:80 HTTP/1.1',
      'CONNECT /x HTTP/1.1',
      'GET ftp://exact.test/x HTTP/1.1',
      'GET http:///x HTTP/1.1',
      'GET http://u:p@exact.test/x HTTP/1.1',
      'GET http://exact.test?q HTTP/1.1',
      'GET //exact.test/x HTTP/1.1',
      'GET /x HTTP/11',
      'GET\t/x\tHTTP/1.1',
      'GET /\0 HTTP/1.1',
      'PRI * HTTP/2.0',
      'GET / HTTP/0.9',
      'GET HTTP://EXACT.test/X HTTP/1.1',
      'GET http://exact.test:80/x HTTP/1.1',
      'GET /%00 HTTP/1.1',
      'GET ?q HTTP/1.1',
      'GET /\x01 HTTP/1.1',
    ],
    (line) => raw(`line ${JSON.stringify(line)}`, `${line}\r\n${H}\r\n`),
  ),
  raw('two requests in one write', `GET /exact HTTP/1.1\r\n${H}\r\nGET /prefix/ HTTP/1.1\r\n${H}\r\n`),
  raw(
    'a request behind a body',
    `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nokGET /exact HTTP/1.1\r\n${H}\r\n`,
  ),
  raw('bytes behind a GET', `GET /x HTTP/1.1\r\n${H}\r\nrubbish\r\n\r\n`),
  raw(
    'a request behind an upgrade that is refused',
    `GET /x HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /exact HTTP/1.1\r\n${H}\r\n`,
  ),
  raw(
    'close, then another',
    `GET /x HTTP/1.1\r\n${H}Connection: close\r\n\r\nGET /exact HTTP/1.1\r\n${H}\r\n`,
  ),
  raw('61 KiB of headers', `GET /x HTTP/1.1\r\n${H}x-big: ${'x'.repeat(61 * 1024)}\r\n\r\n`),
  raw('59 KiB of headers', `GET /direct HTTP/1.1\r\n${H}x-big: ${'x'.repeat(59 * 1024)}\r\n\r\n`),
  raw('61 KiB of path', `GET /${'x'.repeat(61 * 1024)} HTTP/1.1\r\n${H}\r\n`),
  raw('100 headers', `GET /direct HTTP/1.1\r\n${H}${'x-y: 1\r\n'.repeat(97)}\r\n`),
  raw('101 headers', `GET /direct HTTP/1.1\r\n${H}${'x-y: 1\r\n'.repeat(98)}\r\n`),
  raw('expect', `POST /x HTTP/1.1\r\n${H}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok`),
  raw(
    'expect something else',
    `POST /x HTTP/1.1\r\n${H}Expect: the-unexpected\r\nContent-Length: 2\r\n\r\nok`,
  ),
  raw('body cut', `POST /direct HTTP/1.1\r\n${H}Content-Length: 20\r\n\r\nok`),
];

/** Every area with its cases: the traps of the reference, one by one. */
export const table: Readonly<Record<string, readonly Case[]>> = {
  'chooses virtual hosts': hosts,
  'treats paths': paths,
  'matches routes': matches,
  'redirects, rewrites, answers and finds clusters': actions,
  'changes headers': mutations,
  'passes bodies and trailers': bodies,
  'retries, times out and reports failures': failures,
  filters: filters,
  'takes HTTP/1 apart': smuggling,
};

export { request };
