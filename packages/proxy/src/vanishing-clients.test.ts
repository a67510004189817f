import { createServer, get, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { parseBootstrap } from './config/bootstrap.ts';
import { Proxy } from './proxy.ts';
import { TEST_TIMEOUT_MS, until } from './testing/hostile-setup.ts';
import { type Field, headers, start } from './testing/raw-frames.ts';
import { listener, routeTable, staticCluster } from './testing/resources.ts';

const CLIENTS = 500;
const AFTERWARDS = 40;
const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;

jest.setTimeout(TEST_TIMEOUT_MS);

/**
 * A proxy with Envoy's own limits whose clock stands still, so that nobody is served because a time-out released what
 * the dead held; and an upstream that answers `/held` never and others at once.
 */
let proxy: Proxy;
let upstream: Server;
let port = 0;
let held: ServerResponse[] = [];

beforeEach(async () => {
  held = [];
  upstream = createServer((request, response) => {
    if (request.url === '/held') held.push(response);
    else response.end('served');
  });
  await new Promise<void>((resolve) => {
    upstream.listen(0, '127.0.0.1', resolve);
  });
  const cluster = staticCluster('app', (upstream.address() as AddressInfo).port); // a TCP server's is always this
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'crowd',
    route_config: routeTable('crowd', [{ match: { prefix: '/' }, route: { cluster: 'app' } }]),
    http_filters: [{ name: 'router', typed_config: { '@type': type('http.router.v3.Router') } }],
  };
  const chain = { filters: [{ name: 'http', typed_config: manager }] };
  proxy = new Proxy({
    clock: new ManualClock(),
    bootstrap: parseBootstrap({
      static_resources: { clusters: [cluster], listeners: [listener('http', [chain])] },
    }),
  });
  await proxy.start();
  const [address = ''] = proxy.listeners.status()[0]?.addresses ?? [];
  port = Number(address.slice(address.lastIndexOf(':') + 1));
});

afterEach(async () => {
  await proxy.close();
  upstream.closeAllConnections();
  upstream.close();
});

const gauge = (name: string): number => proxy.stats.gauge(name).value;

async function status(): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/fast', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}

async function expectService(): Promise<void> {
  const statuses = await Promise.all(Array.from({ length: AFTERWARDS }, status));
  expect(statuses).toEqual(Array.from({ length: AFTERWARDS }, () => 200));
  await until(() => gauge('http.crowd.downstream_rq_active') === 0);
  await until(() => gauge('cluster.app.upstream_rq_active') === 0);
  expect(gauge('cluster.app.upstream_rq_pending_active')).toBe(0);
}

describe('clients that vanish together', () => {
  it('over HTTP/1, with a request each at the upstream, leave it to others', async () => {
    const sockets = await Promise.all(Array.from({ length: CLIENTS }, openSocket));
    for (const socket of sockets) socket.write('GET /held HTTP/1.1\r\nhost: a.test\r\n\r\n');
    await until(() => held.length === CLIENTS);
    for (const socket of sockets) socket.resetAndDestroy();
    await expectService();
  });

  it('over HTTP/1, before their requests have a connection, leave it to others', async () => {
    const sockets = await Promise.all(Array.from({ length: CLIENTS }, openSocket));
    for (const socket of sockets) socket.write('GET /held HTTP/1.1\r\nhost: a.test\r\n\r\n');
    await until(() => gauge('http.crowd.downstream_rq_active') > CLIENTS / 2);
    for (const socket of sockets) socket.destroy();
    await expectService();
  });

  it('over HTTP/1, in the middle of a body, leave it to others', async () => {
    const sockets = await Promise.all(Array.from({ length: CLIENTS }, openSocket));
    for (const socket of sockets) {
      socket.write('POST /held HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\nsome');
    }
    await until(() => held.length > CLIENTS / 2);
    for (const socket of sockets) socket.destroy();
    await expectService();
  });

  it('over HTTP/2, hundreds of streams each, leave it to others', async () => {
    const sockets = await Promise.all(Array.from({ length: 5 }, openSocket));
    const head: readonly Field[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/held'],
      [':authority', 'a.test'],
    ];
    const requests = Array.from({ length: CLIENTS / 5 }, (_, i) => headers(2 * i + 1, head));
    for (const socket of sockets) socket.write(Buffer.concat([start(), ...requests]));
    await until(() => held.length === CLIENTS);
    for (const socket of sockets) socket.destroy();
    await expectService();
  });
});

async function openSocket(): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  socket.resume();
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve);
  });
  return socket;
}
