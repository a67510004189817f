import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { type ByteStream, FilterState, HeaderMap, type UpstreamFailure } from '../../engine/types.ts';
import { checkFields } from '../../field-support/check-fields.ts';
import { sniDynamicForwardProxy } from '../../filters/dynamic-forward-proxy.ts';
import { testContext } from '../../testing/compile.ts';
import { compileCluster } from '../config/cluster-config.ts';
import { createTestEngine, requestContext } from '../testing/engine.ts';
import { dynamicDestination } from './dynamic-forward.ts';

const destination = dynamicDestination({ defaultPort: 80 });
const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const TYPE = 'type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';
const json = (cache: object, rest: object = {}) => ({
  name: 'dynamic',
  lb_policy: 'CLUSTER_PROVIDED',
  cluster_type: {
    name: 'envoy.clusters.dynamic_forward_proxy',
    typed_config: { '@type': TYPE, dns_cache_config: { name: 'dns', ...cache } },
  },
  ...rest,
});
const request = (authority: string) =>
  HeaderMap.request({ method: 'GET', path: '/', authority, scheme: 'http' });
function compile(cache: object, rest?: object) {
  const bytes = envoyFromJson(CLUSTER, json(cache, rest));
  checkFields(CLUSTER, bytes, { resource: 'dynamic' });
  return compileCluster(bytes, testContext());
}

describe('the destination that a client names', () => {
  it.each([
    ['api.example.com', 'api.example.com', 80],
    ['API.example.com:8080', 'api.example.com', 8080],
    ['192.0.2.1:81', '192.0.2.1', 81],
    ['[2001:db8::1]:82', '2001:db8::1', 82],
    ['[2001:db8::1]', '2001:db8::1', 80],
  ])('is %s: %s, port %i', (authority, ip, port) => {
    const headers = request(authority);
    expect(destination(requestContext({ headers }))).toEqual({ kind: 'ip', ip, port });
  });

  it.each(['', ':80', 'a b', 'a:0', 'a:65536', 'a:80:80', '[nonsense]', 'user@a', 'a/b'])(
    'is nowhere with the authority "%s"',
    (authority) => {
      expect(destination(requestContext({ headers: request(authority) }))).toBeUndefined();
    },
  );

  it('is the server name of a TLS handshake, at the port of the filter', () => {
    const context = requestContext();
    context.info.connection.requestedServerName = 'tls.example.com';
    const { FilterConfig } = envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3;
    const config = FilterConfig.encode({ portValue: 443, dnsCacheConfig: { name: 'dns' } }).finish();
    const compiled = sniDynamicForwardProxy.compile(config, testContext(), '');
    if (compiled.kind !== 'filter') throw new Error('not terminal');
    // The filter doesn't look at the connection.
    // Nothing of the connection is looked at.
    compiled.create().onNewConnection?.({} as never, context.info);
    const { filterState } = context.info.connection;
    expect(destination({ info: { ...context.info, filterState } })).toEqual({
      kind: 'ip',
      ip: 'tls.example.com',
      port: 443,
    });
  });

  it('is what filter state says before anything else', () => {
    const filterState = new FilterState();
    filterState.set('envoy.upstream.dynamic_host', 'other.example.com');
    filterState.set('envoy.upstream.dynamic_port', '9000');
    const headers = request('api.example.com');
    expect(destination(requestContext({ headers, filterState }))).toMatchObject({
      ip: 'other.example.com',
      port: 9000,
    });
  });
});

describe('a dynamic_forward_proxy cluster', () => {
  it('has the limits of its cache', () => {
    const family = { dns_lookup_family: 'V4_PREFERRED' };
    expect(compile({ ...family, max_hosts: 7, host_ttl: '9s' }).discovery).toEqual({
      kind: 'dynamic-forward',
      dynamicForward: { family: 'v4-preferred', maxHosts: 7, cleanupIntervalMs: 9_000, defaultPort: 80 },
    });
  });

  it('chooses hosts itself, and is the only extension of its kind', () => {
    expect(() => compile({}, { lb_policy: 'ROUND_ROBIN' })).toThrow('CLUSTER_PROVIDED');
    const aggregate = 'type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig';
    const cluster_type = { name: 'x', typed_config: { '@type': aggregate, clusters: ['a'] } };
    expect(() => compile({}, { cluster_type })).toThrow('cluster_type');
  });

  it.each(['localhost:15000', '127.0.0.1:15000', '[::1]:15000', '[::ffff:127.0.0.1]:15000'])(
    'does not go to %s if that is forbidden, whatever the name is said to be',
    async (authority) => {
      const forbidden: string[] = [];
      const test = createTestEngine({
        isForbidden: ({ ip, port }) => port === 15_000 && forbidden.push(ip) > 0,
      });
      const message = envoy.config.cluster.v3.Cluster.decode(envoyFromJson(CLUSTER, json({})));
      const { cluster, warm } = test.cluster(message);
      await warm;
      const context = requestContext({ headers: request(authority) });
      const host = cluster.pick(context);
      if (host === undefined) throw new Error('named, and so picked');
      const failure = await new Promise((resolve) => {
        cluster.connect(host, context, { onConnected: resolve, onFailure: resolve });
      });
      expect(failure).toMatchObject({ kind: 'connect-failure' });
      expect(forbidden).not.toEqual([]);
      cluster.close();
    },
  );

  it('remembers as many hosts as it may, and looks up a name with each connection', async () => {
    const test = createTestEngine();
    const message = envoy.config.cluster.v3.Cluster.decode(envoyFromJson(CLUSTER, json({ max_hosts: 2 })));
    const { cluster, warm } = test.cluster(message);
    await warm;
    const at = (authority: string) => requestContext({ headers: request(authority) });
    const first = cluster.pick(at('localhost:1'));
    expect(cluster.pick(at('LOCALHOST:1'))).toBe(first);
    cluster.pick(at('b.invalid'));
    cluster.pick(at('localhost:1'));
    cluster.pick(at('c.invalid'));
    // Whoever names a thousand hosts doesn't drive out the one in use.
    expect([...cluster.hosts].map(({ key }) => key)).toEqual(['localhost:1', 'c.invalid:80']);
    const server = createServer((socket) => socket.end());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo; // it listens on TCP
    const known = at(`localhost:${port}`);
    const stream = await new Promise<ByteStream>((resolve, reject) => {
      const onFailure = (failure: UpstreamFailure) => reject(new Error(failure.kind));
      const host = cluster.pick(known);
      if (host !== undefined) cluster.connect(host, known, { onConnected: resolve, onFailure });
    });
    stream.close();
    server.close();
    const unknown = cluster.pick(at('c.invalid'));
    if (unknown === undefined) throw new Error('named, and so picked');
    const failure = await new Promise((resolve) => {
      cluster.connect(unknown, at('c.invalid'), { onConnected: resolve, onFailure: resolve });
    });
    expect(failure).toEqual({ kind: 'dns-failure' });
    cluster.close();
  });
});
