import { createServer, type RequestListener } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { parseBootstrap } from '../config/bootstrap.ts';
import { Proxy } from '../proxy.ts';
import { prometheusText } from '../stats/index.ts';
import { listener, staticCluster } from '../testing/resources.ts';

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.${name}` });
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A proxy whose only listener has these filters, before an application that notes the requests it gets. */
async function start(o: {
  readonly filters: readonly object[];
  readonly manager?: object;
  readonly route?: object;
  readonly clusters?: readonly object[];
  readonly answer?: RequestListener;
}) {
  const seen: string[] = [];
  const app = await serve((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (o.answer === undefined) response.end('ok');
    else o.answer(request, response);
  });
  const chain = {
    name: 'http',
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: {
          ...type('network.http_connection_manager.v3.HttpConnectionManager'),
          stat_prefix: 'in',
          normalize_path: true,
          ...o.manager,
          route_config: {
            name: 'r',
            virtual_hosts: [
              {
                name: 'v',
                domains: ['*'],
                routes: [{ match: { prefix: '/' }, route: { cluster: 'app' }, ...o.route }],
              },
            ],
          },
          http_filters: [
            ...o.filters,
            { name: 'envoy.filters.http.router', typed_config: type('http.router.v3.Router') },
          ],
        },
      },
    ],
  };
  const clusters = [
    {
      ...staticCluster('app', app.port),
      metadata: {
        filter_metadata: { istio: { services: [{ host: 'web.shop.svc', name: 'web', namespace: 'shop' }] } },
      },
    },
    ...(o.clusters ?? []),
  ];
  const proxy = new Proxy({
    bootstrap: parseBootstrap({ static_resources: { clusters, listeners: [listener('l', [chain])] } }),
  });
  cleanups.push(() => proxy.close());
  await proxy.start();
  const [address = ''] = proxy.listeners.status()[0]?.addresses ?? [];
  return { proxy, seen, port: Number(address.slice(address.lastIndexOf(':') + 1)) };
}

async function serve(handler: RequestListener, port = 0): Promise<{ readonly port: number; close(): void }> {
  // A lenient parser: what slips through the proxy should arrive here.
  const server = createServer({ insecureHTTPParser: true }, handler);
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  cleanups.push(close);
  return { port: (server.address() as AddressInfo).port, close }; // a TCP server's address is always this
}

/** Sends bytes, and resolves with all that comes back until the peer closes or is silent for a while. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    let timer = setTimeout(() => socket.destroy(), 1_000);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), 150);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
    socket.write(Buffer.from(bytes, 'latin1'));
  });
}
const get = (port: number, target: string, headers = '') =>
  raw(port, `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n${headers}Connection: close\r\n\r\n`);
const statusOf = (response: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1] ?? 0);

const rbac = (action: 'ALLOW' | 'DENY', permission: object) => ({
  name: 'envoy.filters.http.rbac',
  typed_config: {
    ...type('http.rbac.v3.RBAC'),
    rules: { action, policies: { p: { permissions: [permission], principals: [{ any: true }] } } },
  },
});
const adminPaths = { url_path: { path: { prefix: '/admin' } } };
const method = (name: string) => ({ header: { name: ':method', string_match: { exact: name } } });

/** What an application makes of a target: the strictest reading of every kind. */
function reaches(target: string): string {
  const [, url = ''] = target.split(' ', 2);
  const file = url.replace(/^[a-z]+:\/\/[^/]*/i, '').split(/[?#]/, 1)[0] ?? '';
  let decoded = file;
  try {
    decoded = decodeURIComponent(file);
  } catch {
    // Not decodable: taken as it stands.
  }
  return path.posix.normalize(decoded.replaceAll('\\', '/').replace(/\/+/g, '/'));
}

describe('a DENY on a path prefix', () => {
  const strict = { merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' };

  it.each([
    '/admin',
    '/admin/x',
    '/admin?q',
    '/admin#f',
    '/./admin',
    '/x/../admin',
    '/x/../../admin',
    '//admin',
    '///admin',
    '/%61dmin',
    '/%41dmin/../admin',
    '/x/%2e%2e/admin',
    '/x/.%2E/admin',
    '/%2e/admin',
    '/%2fadmin',
    '/x%2f..%2fadmin',
    '/x%5c..%5cadmin',
    '/\\admin',
    '/x\\..\\admin',
    '/admin%2f',
    '/admin;a=b',
    '/admin%00',
    'http://other/admin',
    'http://other//admin',
    'HTTP://other/./admin',
  ])('is not passed by %s', async (target) => {
    const { port, seen } = await start({ filters: [rbac('DENY', adminPaths)], manager: strict });
    const status = statusOf(await get(port, target));
    expect(seen.map(reaches).filter((p) => p.startsWith('/admin'))).toEqual([]);
    expect([400, 403]).toContain(status);
  });

  it('is not passed by a request that hides in another', async () => {
    const { port, seen } = await start({ filters: [rbac('DENY', adminPaths)] });
    const hidden = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
    const attacks = [
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n${hidden}`,
      `POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n${hidden}`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: y\rGET /admin HTTP/1.1\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: y\0GET /admin\r\n\r\n`,
      `GET /%0d%0aGET%20/admin HTTP/1.1\r\nHost: a\r\n\r\n`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\nx\r\n\r\n0\r\n\r\n${hidden}`,
    ];
    for (const attack of attacks) {
      await raw(port, attack);
      expect([attack, seen.map(reaches).filter((p) => p.startsWith('/admin'))]).toEqual([attack, []]);
    }
    // All that while the proxy serves others.
    expect(statusOf(await get(port, '/ok'))).toBe(200);
  });

  it('is decided by the path that the application gets', async () => {
    const { port, seen } = await start({ filters: [rbac('DENY', adminPaths)] });
    expect(statusOf(await get(port, '/x/../public/./y?a=/admin'))).toBe(200);
    expect(seen).toEqual(['GET /public/y?a=/admin']);
  });
});

describe('an ALLOW of methods', () => {
  it('answers 200 to GET, 403 with the reason to POST, and 403 to spellings of GET', async () => {
    const { port, seen, proxy } = await start({ filters: [rbac('ALLOW', method('GET'))] });
    expect(statusOf(await get(port, '/a'))).toBe(200);
    const denied = await raw(
      port,
      'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxx',
    );
    expect(denied).toContain('403 Forbidden');
    expect(denied).toMatch(/\r\n\r\nRBAC: access denied$/);
    for (const name of ['get', 'Get', 'GETT']) {
      await raw(port, `${name} /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    }
    await raw(
      port,
      'POST /c HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: GET\r\nConnection: close\r\n\r\n',
    );
    expect(seen).toEqual(['GET /a']);
    expect(proxy.stats.counter('http.in.rbac.allowed').value).toBe(1);
    expect(proxy.stats.counter('http.in.rbac.denied').value).toBeGreaterThanOrEqual(2);
  });
});

describe('a DENY on a header', () => {
  it('finds the value in any line of it', async () => {
    const permission = { header: { name: 'x-role', string_match: { exact: 'bad' } } };
    const { port, seen } = await start({ filters: [rbac('DENY', permission)] });
    for (const lines of [
      'X-Role: bad\r\n',
      'x-role: good\r\nX-ROLE: bad\r\n',
      'X-Role:bad \r\n',
      'X-Role:\r\n bad\r\n',
    ]) {
      expect([lines, statusOf(await get(port, '/', lines))]).toEqual([lines, 403]);
    }
    expect(seen).toEqual([]);
  });
});

describe('a token rule with keys from a server', () => {
  it('denies while the server is down, without harm, and serves when it is back', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const jwks = JSON.stringify({ keys: [await exportJWK(publicKey)] });
    const token = await new SignJWT({ iss: 'i', sub: 's' })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(privateKey);
    const keys = await serve((_request, response) => response.end(jwks));
    keys.close();
    const { port } = await start({
      clusters: [staticCluster('keys', keys.port)],
      filters: [
        {
          name: 'envoy.filters.http.jwt_authn',
          typed_config: {
            ...type('http.jwt_authn.v3.JwtAuthentication'),
            providers: {
              p: {
                issuer: 'i',
                remote_jwks: { http_uri: { uri: 'http://keys.test/jwks', cluster: 'keys', timeout: '1s' } },
              },
            },
            rules: [{ match: { prefix: '/' }, requires: { provider_name: 'p' } }],
          },
        },
      ],
    });
    const bearer = `Authorization: Bearer ${token}\r\n`;
    const denied = await get(port, '/', bearer);
    expect([statusOf(denied), denied.includes('Jwks remote fetch is failed')]).toEqual([401, true]);
    await serve((_request, response) => response.end(jwks), keys.port);
    await new Promise((resolve) => {
      setTimeout(resolve, 1_050);
    });
    expect(statusOf(await get(port, '/', bearer))).toBe(200);
    expect(statusOf(await get(port, '/'))).toBe(401);
  });
});

describe('what is told of a request', () => {
  it('is in the access log and in the metrics, the same for both', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-policy-'));
    cleanups.push(() => rmSync(directory, { recursive: true }));
    const file = path.join(directory, 'access.log');
    const { port, proxy } = await start({
      filters: [
        rbac('ALLOW', { not_rule: adminPaths }),
        {
          name: 'istio.stats',
          typed_config: { '@type': 'type.googleapis.com/stats.PluginConfig', reporter: 'SERVER_GATEWAY' },
        },
      ],
      manager: {
        access_log: [
          {
            name: 'file',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
              path: file,
              log_format: {
                text_format:
                  '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %BYTES_SENT%\n',
              },
            },
          },
        ],
      },
    });
    await get(port, '/a');
    await get(port, '/admin');
    const text = prometheusText(proxy.stats.all());
    const requests = text.split('\n').filter((line) => line.startsWith('istio_requests_total{'));
    expect(requests).toHaveLength(2);
    for (const status of ['200', '403']) {
      const pattern = `reporter="waypoint".*destination_service="web.shop.svc".*response_code="${status}".*} 1$`;
      expect(requests.some((line) => new RegExp(pattern).test(line))).toBe(true);
    }
    expect(text).toContain('istio_request_duration_milliseconds_bucket{');
    await proxy.close();
    expect(readFileSync(file, 'utf8')).toBe(
      'GET /a 200 - via_upstream app 2\n' +
        'GET /admin 403 - rbac_access_denied_matched_policy[none] app 19\n',
    );
  });
});
