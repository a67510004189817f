import { Agent, createServer, request as httpRequest, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseBootstrap } from './config/bootstrap.ts';
import { Proxy, type ProxyOptions } from './proxy.ts';
import { TestAdsServer } from './testing/ads-server.ts';
import {
  assignment,
  edsCluster,
  httpFilterChain,
  listener,
  reply,
  routeTable,
  staticCluster,
  tcpFilterChain,
} from './testing/resources.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(bootstrap: object, options: Partial<ProxyOptions> = {}): Promise<Proxy> {
  const proxy = new Proxy({ bootstrap: parseBootstrap(bootstrap), ...options });
  cleanups.push(() => proxy.close());
  await proxy.start();
  return proxy;
}

const portOf = (proxy: Proxy, name: string): number => {
  const [address = ''] = proxy.listeners.status().find((l) => l.name === name)?.addresses ?? [];
  return Number(address.slice(address.lastIndexOf(':') + 1));
};

async function get(port: number, path: string, agent?: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, ...(agent === undefined ? {} : { agent }) });
    request.once('error', reject);
    request.once('response', (response) => {
      let body = '';
      response.on('data', (part: Buffer) => {
        body += part.toString();
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.end();
  });
}

/** An HTTP server that says its name. */
async function application(name: string): Promise<number> {
  const server: Server = createServer((_, response) => response.end(name));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port; // a TCP server's address is always this
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('a proxy with static configuration', () => {
  it('serves it as soon as it has started', async () => {
    const app = await application('app');
    const proxy = await start({
      static_resources: {
        clusters: [staticCluster('app', app)],
        listeners: [
          listener('http', [
            httpFilterChain({
              routes: [
                reply('/teapot', 'short and stout', 418),
                { match: { prefix: '/' }, route: { cluster: 'app' } },
              ],
            }),
          ]),
        ],
      },
    });
    expect(proxy.state).toBe('LIVE');
    expect(await get(portOf(proxy, 'http'), '/teapot')).toEqual({ status: 418, body: 'short and stout' });
    expect(await get(portOf(proxy, 'http'), '/')).toEqual({ status: 200, body: 'app' });
  });

  it.each([
    [
      'a cluster type it does not have',
      { clusters: [{ name: 'c', cluster_type: { name: 'envoy.clusters.redis' } }] },
      'c: cluster_type',
    ],
    [
      'a network filter it does not have',
      {
        listeners: [
          listener('l', [
            {
              filters: [
                {
                  name: 'echo',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo',
                  },
                },
              ],
            },
          ]),
        ],
      },
      "l: filter_chains[0].filters[0]: Didn't find a registered implementation for 'echo'",
    ],
    ['a listener without chains', { listeners: [listener('l', [])] }, 'l: filter_chains: no filter chains'],
    [
      'an HTTP filter it does not have, before any request could get past it',
      {
        listeners: [
          listener('l', [
            httpFilterChain({
              routes: [],
              httpFilters: [
                {
                  name: 'lua',
                  typed_config: {
                    '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
                    type_url: 'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm',
                    value: {},
                  },
                },
              ],
            }),
          ]),
        ],
      },
      'l: filter_chains[0].filters[0].typed_config.http_filters[0]',
    ],
  ])('refuses %s, naming resource and field', async (_, resources, message) => {
    await expect(start({ static_resources: resources })).rejects.toThrow(message);
  });

  it('says which listener cannot be bound', async () => {
    const taken = await application('app');
    const bound = {
      ...listener('l', [tcpFilterChain('c')]),
      address: { socket_address: { address: '127.0.0.1', port_value: taken } },
    };
    await expect(start({ static_resources: { listeners: [bound] } })).rejects.toThrow(
      /l: address: .*EADDRINUSE/,
    );
  });

  it('answers a connection that no chain matches with its end', async () => {
    const proxy = await start({
      static_resources: {
        listeners: [listener('l', [tcpFilterChain('c', { match: { server_names: ['a.b'] } })])],
      },
    });
    const socket = connect(portOf(proxy, 'l'), '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('end', resolve);
      socket.once('error', reject);
    });
    socket.destroy();
    expect([...proxy.stats.all()].find((s) => s.fullName.endsWith('no_filter_chain_match'))).toMatchObject({
      value: { value: 1 },
    });
  });
});

describe.each(['GRPC', 'DELTA_GRPC'])('a proxy configured by ADS (%s)', (apiType) => {
  let server: TestAdsServer;
  beforeEach(async () => {
    server = await TestAdsServer.start();
    cleanups.push(() => server.stop());
  });

  const bootstrap = () => ({
    node: { id: 'test', cluster: 'test' },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
      cds_config: { ads: {}, initial_fetch_timeout: '0s' },
      lds_config: { ads: {}, initial_fetch_timeout: '0s' },
    },
    static_resources: {
      clusters: [{ ...staticCluster('xds', server.port), http2_protocol_options: {} }],
    },
  });

  /** One HTTP listener, its routes and endpoints by ADS. */
  async function configured(): Promise<{ readonly proxy: Proxy; readonly app: number }> {
    const app = await application('one');
    server.set('clusters', edsCluster('app'));
    server.set('endpoints', assignment('app', [app]));
    server.set('listeners', listener('http', [httpFilterChain({ routes: 'table' })]));
    server.set('routes', routeTable('table', [{ match: { prefix: '/' }, route: { cluster: 'app' } }]));
    const proxy = await start(bootstrap());
    await proxy.live;
    return { proxy, app };
  }

  it('is live when clusters and listeners have got all that they name', async () => {
    const { proxy } = await configured();
    expect(proxy.state).toBe('LIVE');
    expect(await get(portOf(proxy, 'http'), '/')).toEqual({ status: 200, body: 'one' });
    expect(server.log).toEqual([]);
  });

  it('follows endpoints and routes without losing the connection', async () => {
    const { proxy } = await configured();
    const port = portOf(proxy, 'http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(() => agent.destroy());
    expect((await get(port, '/', agent)).body).toBe('one');
    server.set('endpoints', assignment('app', [await application('two')]));
    await until(async () => (await get(port, '/', agent)).body === 'two');
    server.set('routes', routeTable('table', [reply('/', 'routed')]));
    await until(async () => (await get(port, '/', agent)).body === 'routed');
    const opened = [...proxy.stats.all()].find(
      (s) => s.fullName.startsWith('listener.') && s.fullName.endsWith('downstream_cx_total'),
    );
    expect(opened).toMatchObject({ value: { value: 1 } });
  });

  it('rejects what it cannot use by name and field, keeps the last good state, and takes the rest', async () => {
    const { proxy } = await configured();
    const port = portOf(proxy, 'http');
    server.set(
      'listeners',
      listener('http', []),
      listener('other', [httpFilterChain({ routes: [reply('/', 'other')] })]),
    );
    await until(() => server.log.length > 0);
    expect(server.log[0]).toContain('http: filter_chains: no filter chains');
    expect((await get(port, '/')).body).toBe('one');
    await until(() => portOf(proxy, 'other') > 0);
    expect((await get(portOf(proxy, 'other'), '/')).body).toBe('other');

    server.set(
      'routes',
      routeTable('table', [{ match: { safe_regex: { regex: '(' } }, route: { cluster: 'app' } }]),
    );
    await until(() => server.log.length > 1);
    expect(server.log[1]).toContain('table: ');
    expect((await get(port, '/')).body).toBe('one');
  });

  it('keeps the connections of chains that a new version of their listener has, too', async () => {
    const { proxy } = await configured();
    const port = portOf(proxy, 'http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(() => agent.destroy());
    await get(port, '/', agent);
    server.set(
      'listeners',
      listener('http', [
        httpFilterChain({ routes: 'table' }),
        tcpFilterChain('app', { match: { server_names: ['tcp.example'] } }),
      ]),
    );
    await until(() => {
      const active = proxy.listeners.status().find(({ name }) => name === 'http')?.active;
      return active !== undefined && Buffer.from(active.bytes).includes('tcp.example');
    });
    expect(portOf(proxy, 'http')).toBe(port);
    expect((await get(port, '/', agent)).status).toBe(200);
    expect(proxy.listeners.draining).toBe(0);
  });

  it('drains the connections of a listener that is removed, and takes no new ones', async () => {
    const { proxy } = await configured();
    const port = portOf(proxy, 'http');
    server.remove('listeners', 'http');
    await until(() => proxy.listeners.status().length === 0);
    await expect(get(port, '/')).rejects.toThrow('ECONNREFUSED');
  });

  it('serves on when the control plane is gone', async () => {
    const { proxy } = await configured();
    server.stop();
    expect((await get(portOf(proxy, 'http'), '/')).body).toBe('one');
    expect(proxy.state).toBe('LIVE');
  });

  it('does not serve a listener before its routes have come', async () => {
    server.set('listeners', listener('http', [httpFilterChain({ routes: 'late' })]));
    const proxy = await start(bootstrap());
    await until(() => proxy.listeners.status().some(({ warming }) => warming !== undefined));
    expect(proxy.state).toBe('INITIALIZING');
    expect(proxy.listeners.status()[0]?.active).toBeUndefined();
    server.set('routes', routeTable('late', [reply('/', 'at last')]));
    await proxy.live;
    expect((await get(portOf(proxy, 'http'), '/')).body).toBe('at last');
  });
});
