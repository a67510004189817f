import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { parseBootstrap } from './config/bootstrap.ts';
import { Proxy } from './proxy.ts';
import { TEST_TIMEOUT_MS, until } from './testing/hostile-setup.ts';
import { headers, settings } from './testing/raw-frames.ts';
import { listener, routeTable, staticCluster } from './testing/resources.ts';

jest.setTimeout(TEST_TIMEOUT_MS);

const SEED = Number(process.env['WEFT_SEED'] ?? 11);
const CONNECTIONS = 400;
const AT_A_TIME = 20;
/** How long a client listens before it goes, if the proxy doesn't end the connection before. */
const PATIENCE_MS = 25;
const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;

/** What an upstream says to any bytes; an empty text: nothing, for ever. */
const answers = [
  'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok',
  'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort',
  'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ntoo long',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcnot hex',
  'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw',
  'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nHTTP/',
  'HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n',
  'rubbish\r\n\r\n',
  '',
] as const;
const endings = ['keep', 'end', 'reset'] as const;

const request = fc.constantFrom(
  'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
  'HEAD /h HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
  'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
  'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello',
  'PUT /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'PUT /e HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc',
  'GET /u HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nframes',
  'CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n',
);
const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings()]);
const http2Head = (id: number): Buffer =>
  headers(id, [
    [':method', 'GET'],
    [':path', '/2'],
    [':scheme', 'http'],
    [':authority', 'a'],
  ]);

/** Whole requests, with a few bytes of them changed, in pieces. */
const client = fc.record({
  bytes: fc.oneof(
    fc.array(request, { minLength: 1, maxLength: 4 }).map((texts) => Buffer.from(texts.join(''))),
    fc
      .tuple(fc.nat(6), fc.uint8Array({ maxLength: 40 }))
      .map(([n, tail]) =>
        Buffer.concat([preface, ...Array.from({ length: n }, (_, i) => http2Head(2 * i + 1)), tail]),
      ),
    fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  ),
  changes: fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 2 }),
  pieces: fc.integer({ min: 1, max: 4 }),
  leaves: fc.constantFrom(...endings),
});
type Client = typeof client extends fc.Arbitrary<infer T> ? T : never;

let proxy: Proxy;
let upstream: Server;
const upstreamSockets = new Set<Socket>();
const failures: unknown[] = [];
const onFailure = (error: unknown): void => void failures.push(error);

beforeAll(async () => {
  const script = fc.sample(fc.tuple(fc.constantFrom(...answers), fc.constantFrom(...endings), fc.boolean()), {
    seed: SEED,
    numRuns: 997,
  });
  let next = 0;
  upstream = createServer((socket) => {
    upstreamSockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => upstreamSockets.delete(socket));
    socket.on('data', () => {
      const [text, ending, split] = script[next++ % script.length] ?? ['', 'keep', false];
      const half = split ? text.length >> 1 : text.length;
      socket.write(text.slice(0, half));
      setImmediate(() => {
        if (socket.destroyed) return;
        socket.write(text.slice(half));
        if (ending === 'end') socket.end();
        else if (ending === 'reset') socket.resetAndDestroy();
      });
    });
  });
  await new Promise<void>((resolve) => {
    upstream.listen(0, '127.0.0.1', resolve);
  });
  const cluster = staticCluster('app', (upstream.address() as AddressInfo).port); // a TCP server's is always this
  const retried = { retry_on: '5xx,reset', num_retries: 2, per_try_timeout: '0.05s' };
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'fuzz',
    request_headers_timeout: '0.2s',
    request_timeout: '0.3s',
    stream_idle_timeout: '0.5s',
    upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }],
    route_config: routeTable('fuzz', [
      { match: { connect_matcher: {} }, route: { cluster: 'app' } },
      { match: { prefix: '/' }, route: { cluster: 'app', timeout: '0.3s', retry_policy: retried } },
    ]),
    http_filters: [{ name: 'router', typed_config: { '@type': type('http.router.v3.Router') } }],
  };
  const chain = { filters: [{ name: 'http', typed_config: manager }] };
  proxy = new Proxy({
    bootstrap: parseBootstrap({
      static_resources: { clusters: [cluster], listeners: [listener('http', [chain])] },
    }),
  });
  await proxy.start();
  process.on('uncaughtException', onFailure);
  process.on('unhandledRejection', onFailure);
});

afterAll(async () => {
  process.off('uncaughtException', onFailure);
  process.off('unhandledRejection', onFailure);
  await proxy.close();
  for (const socket of upstreamSockets) socket.destroy();
  upstream.close();
});

async function play(port: number, { bytes, changes, pieces, leaves }: Client): Promise<void> {
  const changed = Buffer.from(bytes);
  for (const [at, value] of changes) changed[at % changed.length] = value;
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  socket.resume();
  const over = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  const size = Math.ceil(changed.length / pieces);
  for (let at = 0; at < changed.length; at += size) {
    if (socket.writable) socket.write(changed.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (leaves === 'end') socket.end();
  const patience = setTimeout(() => {
    if (leaves === 'reset') socket.resetAndDestroy();
    else socket.destroy();
  }, PATIENCE_MS);
  await over;
  clearTimeout(patience);
}

it(`survives ${CONNECTIONS} clients and upstreams that talk nonsense, and ends each request once (seed ${SEED})`, async () => {
  const [address = ''] = proxy.listeners.status()[0]?.addresses ?? [];
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  const clients = fc.sample(client, { seed: SEED, numRuns: CONNECTIONS });
  const worker = async (): Promise<void> => {
    for (let next = clients.shift(); next !== undefined; next = clients.shift()) await play(port, next);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  const gauge = (name: string): number => proxy.stats.gauge(name).value;
  const counter = (name: string): number => proxy.stats.counter(name).value;
  await until(
    () => gauge('http.fuzz.downstream_rq_active') === 0 && gauge('http.fuzz.downstream_cx_active') === 0,
  );
  await until(() => gauge('cluster.app.upstream_rq_active') === 0);
  expect(failures).toEqual([]);
  const requests = counter('http.fuzz.downstream_rq_total');
  expect(requests).toBeGreaterThan(CONNECTIONS / 2);
  expect(counter('http.fuzz.downstream_rq_completed')).toBe(requests);
  expect(gauge('cluster.app.upstream_rq_pending_active')).toBe(0);
  // Whatever is still open is idle: it goes with the upstream's end.
  for (const socket of upstreamSockets) socket.destroy();
  await until(() => gauge('cluster.app.upstream_cx_active') === 0);
});
