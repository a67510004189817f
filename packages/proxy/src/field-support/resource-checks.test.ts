import { createServer, request as httpRequest } from 'node:http';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { LogLevels, createLogger } from '@weft/telemetry';
import { parseBootstrap } from '../config/bootstrap.ts';
import { Proxy } from '../proxy.ts';
import { TestAdsServer, type ResourceKind } from '../testing/ads-server.ts';
import { MeshIdentities } from '../testing/mesh-identities.ts';
import { assignment, reply, routeTable, staticCluster } from '../testing/resources.ts';

/** Where the resources of a test come from. */
interface Source {
  readonly config: (kind: ResourceKind) => object;
  readonly bootstrap: () => object;
  readonly set: (kind: ResourceKind, resource: object) => void;
  /** What was refused, as the server or the proxy's log has it. */
  readonly rejections: readonly string[];
  readonly log?: (line: string) => void;
  readonly close: () => void;
}

async function adsSource(apiType: string): Promise<Source> {
  const server = await TestAdsServer.start();
  const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  return {
    config: () => ads,
    bootstrap: () => ({
      node: { id: 'test', cluster: 'test' },
      dynamic_resources: {
        ads_config: { api_type: apiType, grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
        cds_config: ads,
        lds_config: ads,
      },
      static_resources: { clusters: [staticCluster('xds', server.port)] },
    }),
    set: (kind, resource) => server.set(kind, resource),
    rejections: server.log,
    close: () => server.stop(),
  };
}

const TYPES: Readonly<Record<ResourceKind, string>> = {
  clusters: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listeners: 'envoy.config.listener.v3.Listener',
  routes: 'envoy.config.route.v3.RouteConfiguration',
  secrets: 'envoy.extensions.transport_sockets.tls.v3.Secret',
};

/** `path_config_source`, or the older `path`. */
function fileSource(kindOfPath: 'path' | 'path_config_source'): Source {
  const directory = mkdtempSync(path.join(tmpdir(), 'weft-resource-checks-'));
  const file = (kind: ResourceKind): string => path.join(directory, `${kind}.json`);
  const rejections: string[] = [];
  const config = (kind: ResourceKind): object => ({
    ...(kindOfPath === 'path'
      ? { path: file(kind) }
      : { path_config_source: { path: file(kind), watched_directory: { path: directory } } }),
    initial_fetch_timeout: '0s',
  });
  return {
    config,
    bootstrap: () => ({
      dynamic_resources: { cds_config: config('clusters'), lds_config: config('listeners') },
    }),
    set: (kind, resource) => {
      const typed = { '@type': `type.googleapis.com/${TYPES[kind]}`, ...resource };
      writeFileSync(`${file(kind)}.new`, JSON.stringify({ resources: [typed] }));
      renameSync(`${file(kind)}.new`, file(kind));
    },
    rejections,
    log: (line) => {
      const [, name, reason] = /rejected\t.*resource="([^"]*)" reason="(.*)"/.exec(line) ?? [];
      if (name !== undefined) rejections.push(`${name}: ${reason}`);
    },
    close: () => rmSync(directory, { recursive: true }),
  };
}

const typed = (type: string, config: object) => ({
  name: type,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.${type}`, ...config },
});

/** Terminates TLS with a secret, routes by a table to a cluster of discovered endpoints: one resource of each kind. */
function resources(source: Source, port: number, pem: { readonly chain: string; readonly key: string }) {
  return {
    clusters: { name: 'app', type: 'EDS', eds_cluster_config: { eds_config: source.config('endpoints') } },
    endpoints: assignment('app', [port]),
    secrets: {
      name: 'server',
      tls_certificate: {
        certificate_chain: { inline_string: pem.chain },
        private_key: { inline_string: pem.key },
      },
    },
    listeners: {
      name: 'http',
      address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
      filter_chains: [
        {
          filters: [
            typed('filters.network.http_connection_manager.v3.HttpConnectionManager', {
              stat_prefix: 'http',
              rds: { route_config_name: 'table', config_source: source.config('routes') },
              http_filters: [typed('filters.http.router.v3.Router', {})],
            }),
          ],
          transport_socket: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
            common_tls_context: {
              tls_certificate_sds_secret_configs: [{ name: 'server', sds_config: source.config('secrets') }],
            },
          }),
        },
      ],
    },
    routes: routeTable('table', [{ match: { prefix: '/' }, route: { cluster: 'app' } }]),
  } as const satisfies Record<ResourceKind, object>;
}

/** A newer version of each, which would be noticed, with a field that is not supported. */
const unsupported: Readonly<Record<ResourceKind, { readonly change: object; readonly message: RegExp }>> = {
  clusters: {
    change: { health_checks: [{ timeout: '1s' }] },
    message: /app: health_checks\[0\]: not supported/,
  },
  endpoints: {
    change: { endpoints: [], named_endpoints: { a: {} } },
    message: /app: named_endpoints\["a"\]: not supported/,
  },
  secrets: {
    change: { tls_certificate: { password: { inline_string: 'x' } } },
    message: /server: tls_certificate\.password: not supported/,
  },
  listeners: {
    change: { enable_mptcp: true, filter_chains: [] },
    message: /http: (filter_chains: no filter chains|enable_mptcp: not supported)/,
  },
  routes: {
    change: routeTable('table', [{ ...reply('/', 'changed'), stat_prefix: 'x' }]),
    message: /table: virtual_hosts\[0\]\.routes\[0\]\.stat_prefix: not supported/,
  },
};

let pem: { readonly chain: string; readonly key: string };
let app: { readonly port: number; close(): void };
beforeAll(async () => {
  const certificate = await (await MeshIdentities.create()).issue('spiffe://test.local/ns/a/sa/b');
  pem = { chain: certificate.chainPem, key: certificate.keyPem };
  const server = createServer((_, response) => response.end('app'));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  app = {
    port: (server.address() as AddressInfo).port, // a TCP server's address is always this
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
});
afterAll(() => app.close());

describe.each<[string, () => Source | Promise<Source>]>([
  ['ADS, state of the world', () => adsSource('GRPC')],
  ['ADS, delta', () => adsSource('DELTA_GRPC')],
  ['files', () => fileSource('path_config_source')],
  ['files by the older field', () => fileSource('path')],
])('a resource of %s with a field that is not supported', (_, start) => {
  let source: Source;
  let proxy: Proxy | undefined;
  beforeEach(async () => {
    source = await start();
  });
  afterEach(async () => {
    await proxy?.close();
    source.close();
  });

  async function serve(): Promise<Proxy> {
    const all = resources(source, app.port, pem);
    for (const kind of ['endpoints', 'secrets', 'routes', 'clusters', 'listeners'] as const)
      source.set(kind, all[kind]);
    const logger = createLogger({
      scope: 'proxy',
      levels: new LogLevels('warn'),
      sink: { write: (line) => source.log?.(line), flush: () => undefined },
    });
    const started = new Proxy({ bootstrap: parseBootstrap(source.bootstrap()), logger });
    proxy = started;
    await started.start();
    await started.live;
    return started;
  }

  it.each(Object.keys(unsupported) as ResourceKind[])(
    'is refused by name and path, and the former one serves on: %s',
    async (kind) => {
      const serving = await serve();
      expect(await get(serving)).toBe('app');
      const { change, message } = unsupported[kind];
      source.set(kind, { ...resources(source, app.port, pem)[kind], ...change });
      await until(() => source.rejections.some((line) => message.test(plain(line))));
      expect(await get(serving)).toBe('app');
    },
  );
});

describe('secrets of the bootstrap', () => {
  it('are given out, of every kind', async () => {
    const secrets = [
      { name: 'roots', validation_context: { trusted_ca: { inline_string: 'CA' } } },
      { name: 'generic', generic_secret: { secret: { inline_string: 'text' } } },
    ];
    const proxy = new Proxy({ bootstrap: parseBootstrap({ static_resources: { secrets } }) });
    await proxy.start();
    const secretOf = (name: string) =>
      new Promise((resolve) => {
        proxy.stores.secrets.watch({ name }, resolve);
      });
    expect(await secretOf('generic')).toEqual({ kind: 'generic', value: Buffer.from('text') });
    expect(await secretOf('roots')).toMatchObject({ kind: 'validation' });
    await proxy.close();
  });
});

describe('a bootstrap', () => {
  it.each<[string, object, string]>([
    [
      'stats_config',
      { stats_config: { use_all_default_tags: false } },
      'bootstrap: stats_config: not supported',
    ],
    [
      'what reaches a configuration server in ways that it does not have',
      {
        dynamic_resources: {
          ads_config: {
            api_type: 'GRPC',
            grpc_services: [{ google_grpc: { target_uri: 'x', stat_prefix: 'x', channel_credentials: {} } }],
          },
        },
      },
      'bootstrap: dynamic_resources.ads_config.grpc_services[0].google_grpc.channel_credentials: not supported',
    ],
    [
      'an extension that it does not have',
      {
        bootstrap_extensions: [
          {
            name: 'x',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' },
          },
        ],
      },
      "bootstrap: bootstrap_extensions[0].typed_config: Didn't find a registered implementation",
    ],
  ])('is refused for %s', (_, bootstrap, message) => {
    expect(() => new Proxy({ bootstrap: parseBootstrap(bootstrap) })).toThrow(message);
  });

  it('is refused for a secret with a field that is not supported, by the secret’s name', async () => {
    const secrets = [
      { name: 's', generic_secret: {} },
      { name: 't', session_ticket_keys: {} },
    ];
    const proxy = new Proxy({ bootstrap: parseBootstrap({ static_resources: { secrets } }) });
    await expect(proxy.start()).rejects.toThrow('t: session_ticket_keys: not supported');
    await proxy.close();
  });
});

/** Log lines are JSON: quotes in them are escaped. */
const plain = (line: string): string => line.replaceAll('\\', '');

async function get(proxy: Proxy): Promise<string> {
  const [address = ''] = proxy.listeners.status().find(({ name }) => name === 'http')?.addresses ?? [];
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  return new Promise((resolve, reject) => {
    const request = httpRequest({ createConnection: () => socket, headers: { connection: 'close' } });
    request.once('error', reject);
    request.once('response', (response) => {
      let body = '';
      response.on('data', (part: Buffer) => {
        body += part.toString();
      });
      response.once('end', () => {
        socket.destroy();
        resolve(body);
      });
    });
    request.end();
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
