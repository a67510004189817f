import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { HostileSetup, pause, TEST_TIMEOUT_MS, until } from './testing/hostile-setup.ts';

jest.setTimeout(TEST_TIMEOUT_MS);

let setup: HostileSetup;

beforeAll(async () => {
  setup = await HostileSetup.start();
});
afterAll(() => setup.stop());

const CRLF = '\r\n';
const head = (...lines: readonly string[]): string => `${lines.join(CRLF)}${CRLF}${CRLF}`;
const get = (path: string, ...fields: readonly string[]): string =>
  head(`GET ${path} HTTP/1.1`, 'Host: a.test', ...fields);
const SMUGGLED = get('/admin/smuggled');
const repeat = (count: number, line: (i: number) => string): string[] =>
  Array.from({ length: count }, (_, i) => line(i));

/** What an upstream makes of a path that decodes, merges and resolves as eagerly as any. */
function eager(path: string): string {
  let decoded = path.split('?', 1)[0] ?? '';
  for (;;) {
    const next = decoded
      .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
      .replaceAll('\\', '/')
      .replace(/\/{2,}/g, '/');
    if (next === decoded) break;
    decoded = next;
  }
  return new URL(decoded, 'http://a').pathname;
}

afterEach(async () => {
  setup.disconnect();
  for (const { method, path } of setup.seen) {
    expect(method).toBe('GET');
    expect(path).not.toMatch(/^\/admin/);
    expect(path).not.toMatch(/^\/jwt/);
  }
  setup.seen.length = 0;
  // Others are served, and nothing of the attack is left.
  expect(await setup.statuses(get('/fine', 'Connection: close'))).toEqual([200]);
  expect(setup.seen.splice(0).map((request) => request.path)).toEqual(['/fine']);
  await until(() => setup.isIdle());
});

const paths = (): string[] => setup.seen.map((request) => request.path);

describe('the policy', () => {
  it('lets GET through, and neither /admin, POST nor what needs keys that can not be had', async () => {
    expect(await setup.statuses(get('/a'))).toEqual([200]);
    expect(await setup.statuses(get('/admin'))).toEqual([403]);
    expect(await setup.statuses(head('POST /a HTTP/1.1', 'Host: a', 'Content-Length: 0'))).toEqual([403]);
    const token = `${['{"alg":"ES256","kid":"k"}', '{"iss":"me"}'].map((t) => Buffer.from(t).toString('base64url')).join('.')}.AAAA`;
    expect(await setup.statuses(get('/jwt', `Authorization: Bearer ${token}`))).toEqual([401]);
    expect(await setup.statuses(get('/jwt'))).toEqual([401]);
    expect(paths()).toEqual(['/a']);
  });
});

describe('a body that could end in two places', () => {
  const post = (fields: readonly string[], body: string): string =>
    `${head('GET /a HTTP/1.1', 'Host: a.test', ...fields)}${body}`;
  it.each<[string, string, number]>([
    ['CL.TE', post(['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`), 400],
    [
      'TE.CL',
      post(['Transfer-Encoding: chunked', 'Content-Length: 4'], `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`),
      400,
    ],
    ['CL 0 and TE', post(['Content-Length: 0', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`), 400],
    [
      'TE twice',
      post(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `0\r\n\r\n${SMUGGLED}`),
      501,
    ],
    ['TE listed', post(['Transfer-Encoding: chunked, chunked'], `0\r\n\r\n${SMUGGLED}`), 501],
    ['TE gzip', post(['Transfer-Encoding: gzip, chunked'], `0\r\n\r\n${SMUGGLED}`), 501],
    ['TE xchunked', post(['Transfer-Encoding: xchunked'], `0\r\n\r\n${SMUGGLED}`), 501],
    ['TE quoted', post(['Transfer-Encoding: "chunked"'], `0\r\n\r\n${SMUGGLED}`), 501],
    ['TE empty', post(['Transfer-Encoding: '], `0\r\n\r\n${SMUGGLED}`), 501],
    ['TE with VT', post(['Transfer-Encoding: \x0bchunked'], `0\r\n\r\n${SMUGGLED}`), 400],
    ['TE with space before the colon', post(['Transfer-Encoding : chunked'], `0\r\n\r\n${SMUGGLED}`), 400],
    ['TE folded', post(['Transfer-Encoding:', ' chunked,', ' identity'], `0\r\n\r\n${SMUGGLED}`), 501],
    [
      'TE in a fold of another',
      post(['X: y', ' Transfer-Encoding: chunked', 'Content-Length: 5', 'Content-Length: 0'], ''),
      400,
    ],
    ['TE in HTTP/1.0', head('GET /a HTTP/1.0', 'Host: a', 'Transfer-Encoding: chunked'), 426],
    ['CL twice, equal', post(['Content-Length: 0', 'Content-Length: 0'], SMUGGLED), 400],
    ['CL twice, different', post(['Content-Length: 0', 'Content-Length: 40'], SMUGGLED), 400],
    ['CL listed', post(['Content-Length: 0, 0'], SMUGGLED), 400],
    ['CL negative', post(['Content-Length: -1'], SMUGGLED), 400],
    ['CL signed', post(['Content-Length: +0'], SMUGGLED), 400],
    ['CL hexadecimal', post(['Content-Length: 0x10'], SMUGGLED), 400],
    ['CL with blanks', post(['Content-Length: 1 0'], SMUGGLED), 400],
    ['CL empty', post(['Content-Length:'], SMUGGLED), 400],
    ['CL huge', post([`Content-Length: ${'9'.repeat(40)}`], SMUGGLED), 400],
    ['CL folded', post(['Content-Length: 1', ' 0'], SMUGGLED), 400],
    ['no chunk size', post(['Transfer-Encoding: chunked'], `\r\n${SMUGGLED}`), 400],
    ['chunk size negative', post(['Transfer-Encoding: chunked'], `-1\r\n${SMUGGLED}`), 400],
    ['chunk size 0x', post(['Transfer-Encoding: chunked'], `0x0\r\n\r\n${SMUGGLED}`), 400],
    ['chunk size huge', post(['Transfer-Encoding: chunked'], `${'f'.repeat(17)}\r\n${SMUGGLED}`), 400],
    ['chunk line with LF', post(['Transfer-Encoding: chunked'], `0\n\r\n${SMUGGLED}`), 400],
    ['chunk line with CR', post(['Transfer-Encoding: chunked'], `0\r\r\n\r\n${SMUGGLED}`), 400],
    ['chunk without its end', post(['Transfer-Encoding: chunked'], `1\r\nab0\r\n\r\n${SMUGGLED}`), 400],
    ['chunk extension with LF', post(['Transfer-Encoding: chunked'], `0;a\nb\r\n\r\n${SMUGGLED}`), 400],
    ['chunk extension without end', post(['Transfer-Encoding: chunked'], `0;${'a'.repeat(100_000)}`), 400],
  ])('is refused: %s', async (_name, bytes, status) => {
    expect(await setup.statuses(bytes)).toEqual([status]);
    expect(paths().filter((path) => path !== '/a')).toEqual([]);
  });

  it('is one body where it is clear, and what follows is another request', async () => {
    const body = `3;x="y"\r\nabc\r\n0\r\nX: y\r\n\r\n`;
    const bytes = post(['Transfer-Encoding: chunked'], body) + SMUGGLED + get('/b');
    expect(await setup.statuses(bytes)).toEqual([200, 403, 200]);
    expect(setup.seen.map((r) => [r.path, r.body])).toEqual([
      ['/a', 'abc'],
      ['/b', ''],
    ]);
  });

  it('hides nothing behind a request that policy refuses', async () => {
    const bytes =
      head('POST /a HTTP/1.1', 'Host: a', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED + get('/b');
    expect((await setup.statuses(bytes))[0]).toBe(403);
    expect(paths().filter((path) => path !== '/b')).toEqual([]);
  });
});

describe('a head that could be read in two ways', () => {
  it.each<[string, string, number]>([
    ['two hosts', get('/a', 'Host: b.test'), 400],
    ['two equal hosts', get('/a', 'Host: a.test'), 400],
    ['a folded host', head('GET /a HTTP/1.1', 'Host: a', ' b'), 400],
    ['a host with a path', head('GET /a HTTP/1.1', 'Host: a/../b'), 400],
    ['a host with userinfo', head('GET /a HTTP/1.1', 'Host: a@b'), 400],
    ['no host', head('GET /a HTTP/1.1'), 400],
    ['a fold before any field', head('GET /a HTTP/1.1', ' Host: a'), 400],
    ['a space before the colon', get('/a', 'X : y'), 400],
    ['a field without colon', get('/a', 'X'), 400],
    ['an empty name', get('/a', ': y'), 400],
    ['NUL in a value', get('/a', 'X: a\0b'), 400],
    ['NUL in a name', get('/a', 'X\0: a'), 400],
    ['control bytes in a value', get('/a', 'X: a\x01b'), 400],
    ['DEL in a value', get('/a', 'X: a\x7fb'), 400],
    ['CR in the request line', head('GET /a\rHTTP/1.1', 'Host: a'), 426],
    ['CR in the target', head('GET /a\r/b HTTP/1.1', 'Host: a'), 400],
    ['TAB for a space', head('GET\t/a\tHTTP/1.1', 'Host: a'), 400],
    ['two spaces', head('GET  /a HTTP/1.1', 'Host: a'), 400],
    ['a space in the target', head('GET /a b HTTP/1.1', 'Host: a'), 400],
    ['a lower-case method', head('get /a HTTP/1.1', 'Host: a'), 400],
    ['an unknown method', head('GETX /a HTTP/1.1', 'Host: a'), 400],
    ['HTTP/1.2', head('GET /a HTTP/1.2', 'Host: a'), 426],
    ['HTTP/2.0', head('GET /a HTTP/2.0', 'Host: a'), 426],
    ['HTTP/1.10', head('GET /a HTTP/1.10', 'Host: a'), 400],
    ['HTTP/1.0', head('GET /a HTTP/1.0', 'Host: a'), 426],
    ['HTTP/0.9', 'GET /a\r\n\r\n', 426],
    ['a relative target', head('GET a HTTP/1.1', 'Host: a'), 400],
    ['an asterisk', head('GET * HTTP/1.1', 'Host: a'), 400],
    ['OPTIONS *', head('OPTIONS * HTTP/1.1', 'Host: a'), 404],
    ['another scheme', head('GET ftp://a/ HTTP/1.1', 'Host: a'), 400],
    ['an absolute form with userinfo', head('GET http://a@b/ HTTP/1.1', 'Host: a'), 400],
    ['an absolute form to /admin', head('GET http://a/admin HTTP/1.1', 'Host: a'), 403],
    ['CONNECT', head('CONNECT a:80 HTTP/1.1', 'Host: a:80'), 403],
    ['an upgrade', get('/a', 'Connection: upgrade', 'Upgrade: websocket'), 403],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
    ['101 fields', get('/a', ...repeat(100, (i) => `x${i}: y`)), 431],
    ['a long value', get('/a', `X: ${'y'.repeat(61 * 1024)}`), 431],
    ['a long target', get(`/${'y'.repeat(61 * 1024)}`), 431],
    ['a line without end', `GET /${'y'.repeat(1_000_000)}`, 431],
    ['garbage', `${'\r\n'.repeat(9)}${get('/a')}`, 400],
  ])('is refused: %s', async (_name, bytes, status) => {
    expect(await setup.statuses(bytes)).toEqual([status]);
    expect(setup.seen).toEqual([]);
  });

  it.each<[string, string, Record<string, string>]>([
    ['obs-fold', get('/a', 'X: a', '  b'), { x: 'a b' }],
    ['bare LF', 'GET /a HTTP/1.1\nHost: a.test\nX: a\n\n', { x: 'a' }],
    ['bare CR in a value', get('/a', 'X: a\rY: b'), { x: 'aY: b' }],
    ['100 fields', get('/a', ...repeat(99, (i) => `x${i}: y`)), { x98: 'y' }],
    ['the absolute form wins', head('GET http://b.test/a HTTP/1.1', 'Host: a.test'), { host: 'b.test' }],
    ['connection can not take host away', get('/a', 'Connection: host, close'), { host: 'a.test' }],
    ['te: gzip', get('/a', 'TE: gzip', 'Connection: te'), {}],
  ])('is passed on in one way: %s', async (_name, bytes, fields) => {
    expect(await setup.statuses(bytes)).toEqual([200]);
    expect(paths()).toEqual(['/a']);
    const flat = setup.seen[0]?.headers ?? [];
    const valueOf = (name: string) =>
      flat[flat.findIndex((f, i) => i % 2 === 0 && f.toLowerCase() === name) + 1];
    for (const [name, value] of Object.entries(fields)) expect([name, valueOf(name)]).toEqual([name, value]);
    expect(flat.filter((_, i) => i % 2 === 0).map((n) => n.toLowerCase())).not.toContain('te');
    expect(flat.filter((f) => f.toLowerCase() === 'host')).toHaveLength(1);
  });

  it('ends the connection at garbage behind a request', async () => {
    expect(await setup.statuses(`${get('/a')}\0\x01garbage\r\n\r\n${get('/b')}`)).toEqual([200, 400]);
    expect(paths()).toEqual(['/a']);
  });
});

describe('a path to what is forbidden', () => {
  it.each([
    '//admin',
    '/./admin',
    '/x/../admin',
    '/x/%2e%2e/admin',
    '/x/%2E./admin',
    '/x/.%2e/admin',
    '/%61dmin',
    '/%2fadmin',
    '/%5cadmin',
    '/\\admin',
    '\\admin',
    '/x\\..\\admin',
    '/x/..%2fadmin',
    '/x%2f..%2fadmin',
    '/x/..%5cadmin',
    '/../../admin',
    '///./..//admin',
    '/x//../../admin',
    '/admin/',
    '/admin;x',
    '/admin.',
    '/admin%20',
    '/admin?x',
    '/admin%3fx',
    '/admin/../admin',
    '/./%61%64%6d%69%6e',
    '/%6%31dmin',
    '/x/%2%65%2%65/admin',
    '/%%32%66admin',
    '/%2%66admin',
    '/%%32fadmin',
    '/%%36%31dmin',
    '/x/%%32e%%32e/admin',
    '/admin#x',
    '/a#/../admin',
    '/admin%00',
    '/%00/../admin',
    '/x/..//..//admin',
    '/.//admin',
    '/x/..;/admin',
    '/x/%2e%2e;y/admin',
    '/%2e/admin',
    '/%2f%2e%2e%2fadmin',
    '/%252e%252e/admin',
    '/%2561dmin',
    '/a/..;/admin',
  ])('%s', async (path) => {
    const [status = 0] = await setup.statuses(get(path));
    expect([200, 400, 403]).toContain(status);
    // What was encoded twice stays so: an upstream decodes once.
    for (const seen of paths()) {
      expect(status).toBe(200);
      const once = new URL(`http://a${seen}`).pathname.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      );
      expect(
        new URL(`http://a${once.replaceAll('\\', '/').replace(/\/{2,}/g, '/')}`.replaceAll('%', '%25'))
          .pathname,
      ).not.toMatch(/^\/admin/);
    }
    if (!path.includes('%25'))
      for (const seen of paths()) expect(eager(seen.replaceAll('%25', '_'))).not.toMatch(/^\/admin/);
  });

  it.each(['/ADMIN', '/a/admin', '/;/admin', '/a/...;/admin'])(
    '%s is another path, and stays as it is',
    async (path) => {
      expect(await setup.statuses(get(path))).toEqual([200]);
      expect(paths()).toEqual([path]);
    },
  );
});

describe('a client that takes its time', () => {
  it('is cut off in the head', async () => {
    const client = setup.open();
    client.write('GET /a HTTP/1.1\r\nHost: a\r\n');
    const drip = setInterval(() => client.write('X: y\r\n'), 20);
    try {
      await until(() => client.closed);
    } finally {
      clearInterval(drip);
    }
    expect(client.received).toMatch(/^HTTP\/1\.1 408 /);
    expect(setup.seen).toEqual([]);
  });

  it('is cut off in the head of a second request', async () => {
    const client = setup.open();
    client.write(`${get('/a')}GET /b HTTP/1.1\r\nHo`);
    await until(() => client.closed);
    expect(client.received).toMatch(/HTTP\/1\.1 408 /);
    expect(paths()).toEqual(['/a']);
  });

  it('is cut off in the body', async () => {
    const client = setup.open();
    client.write(`${get('/a', 'Content-Length: 10').trim()}\r\n\r\nabc`);
    await until(() => client.closed);
    expect(client.received).toMatch(/^HTTP\/1\.1 (?:408|504) /);
  });

  it('costs no more memory than the buffers while it does not read', async () => {
    const client = setup.open();
    client.socket.pause();
    const before = process.memoryUsage();
    client.write(get('/large', 'Connection: close'));
    await pause(300);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * 1024 * 1024);
  });

  it('is forgotten when its request is over and it reads no answer', async () => {
    for (let i = 0; i < 20; i++) {
      const client = setup.open();
      client.socket.pause();
      client.write(get('/large').repeat(4));
    }
    // stream_idle_timeout ends the answers, the lingering close ends the connections.
    await until(() => setup.isIdle());
  });

  it('may pipeline what it likes: it waits its turn', async () => {
    const client = setup.open();
    client.write(get('/a').repeat(2_000));
    await until(() => setup.seen.length === 2_000);
    expect(new Set(paths())).toEqual(new Set(['/a']));
  });
});
