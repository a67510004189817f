import { createServer as createHttpServer } from 'node:http';
import {
  createSecureServer as createSecureHttp2Server,
  createServer as createHttp2Server,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { ManualClock } from '@weft/telemetry';
import Long from 'long';
import type { UpstreamCluster } from './cluster.ts';
import { TestAuthority } from './testing/certificates.ts';
import { ClusterTable } from './cluster-table.ts';
import {
  any,
  assignment,
  createTestEngine,
  requestContext,
  type TestEngine,
  until,
} from './testing/engine.ts';
import { connect, listen, type LoopbackServer, request, startRequest } from './testing/exchange.ts';

type ClusterMessage = envoy.config.cluster.v3.Cluster.$Properties;
const { LbPolicy } = envoy.config.cluster.v3.Cluster;

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(server: Parameters<typeof listen>[0]): Promise<LoopbackServer> {
  const listening = await listen(server);
  cleanups.push(() => listening.close());
  return listening;
}

function staticCluster(
  test: TestEngine,
  ports: readonly number[],
  o: Partial<ClusterMessage> = {},
): UpstreamCluster {
  const { cluster } = test.cluster({
    name: 'test',
    loadAssignment: assignment(...ports),
    ...o,
  } as ClusterMessage);
  cleanups.push(() => cluster.close());
  return cluster;
}

const http2: Partial<ClusterMessage> = {
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any(
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      {
        upstreamProtocolOptions: 'explicitHttpConfig',
        explicitHttpConfig: { protocolConfig: 'http2ProtocolOptions', http2ProtocolOptions: {} },
      },
    ),
  },
};

function limits(o: envoy.config.cluster.v3.CircuitBreakers.Thresholds.$Properties): Partial<ClusterMessage> {
  return { circuitBreakers: { thresholds: [o] } };
}

function stat(test: TestEngine, name: string): number {
  return test.stats.values.get(`cluster.test.${name}`) ?? 0;
}

/** Nothing is left: the assertion for leaks. */
async function expectNothingLeft(test: TestEngine, cluster: UpstreamCluster): Promise<void> {
  const { default: breaker } = cluster.breakersByPriority;
  await until(
    () => stat(test, 'upstream_cx_active') === 0 && breaker.connections.current === 0,
    'all connections closed',
  );
  expect({
    connections: breaker.connections.current,
    pending: breaker.pendingRequests.current,
    requests: breaker.requests.current,
    pools: breaker.connectionPools.current,
    rqActive: stat(test, 'upstream_rq_active'),
    rqPending: stat(test, 'upstream_rq_pending_active'),
    hosts: [...cluster.hosts].map((host) => host.activeRequests + host.stats.connectionsActive),
  }).toEqual({
    connections: 0,
    pending: 0,
    requests: 0,
    pools: 0,
    rqActive: 0,
    rqPending: 0,
    hosts: [...cluster.hosts].map(() => 0),
  });
}

describe('an HTTP/1 cluster', () => {
  it('sends requests one after the other over one connection', async () => {
    const test = createTestEngine();
    const server = await serve(createHttpServer((_, response) => response.end('hello')));
    const cluster = staticCluster(test, [server.port]);
    for (let i = 0; i < 5; i++) {
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200, body: 'hello' });
    }
    expect(server.accepted).toBe(1);
    expect(stat(test, 'upstream_rq_total')).toBe(5);
    cluster.close();
    await expectNothingLeft(test, cluster);
  });

  it('opens as many connections as there are requests at a time', async () => {
    const test = createTestEngine();
    const waiting: (() => void)[] = [];
    const server = await serve(
      createHttpServer((_, response) => {
        waiting.push(() => response.end());
        if (waiting.length === 4) for (const answer of waiting) answer();
      }),
    );
    const cluster = staticCluster(test, [server.port]);
    await Promise.all([1, 2, 3, 4].map(() => request(cluster, requestContext())));
    expect(server.accepted).toBe(4);
  });

  it('lets requests wait at the connection limit, and refuses them at the pending limit', async () => {
    const test = createTestEngine();
    const server = await serve(createHttpServer((_, response) => response.end()));
    const cluster = staticCluster(
      test,
      [server.port],
      limits({ maxConnections: { value: 1 }, maxPendingRequests: { value: 2 } }),
    );
    const results = await Promise.all([1, 2, 3].map(() => request(cluster, requestContext())));
    expect(results.filter((r) => 'kind' in r)).toEqual([{ kind: 'overflow' }]);
    expect(server.accepted).toBe(1);
    expect(stat(test, 'upstream_rq_pending_overflow')).toBe(1);
    expect(stat(test, 'upstream_cx_overflow')).toBeGreaterThan(0);
  });

  it('fails what waits when nobody listens, with the reason', async () => {
    const test = createTestEngine();
    const gone = await listen(createTcpServer());
    await gone.close();
    const cluster = staticCluster(test, [gone.port]);
    const results = await Promise.all([
      request(cluster, requestContext()),
      request(cluster, requestContext()),
    ]);
    for (const result of results) {
      expect(result).toEqual({
        kind: 'connect-failure',
        reason: 'delayed_connect_error: connection refused',
      });
    }
    await expectNothingLeft(test, cluster);
  });

  it('gives up connecting after the connect timeout', async () => {
    const clock = new ManualClock();
    const test = createTestEngine({ clock });
    // A TLS handshake that nobody answers.
    const silent = await serve(createTcpServer((socket) => socket.resume()));
    const transportSocket = {
      name: 'tls',
      configType: 'typedConfig' as const,
      typedConfig: any(
        envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext,
        'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        {},
      ),
    };
    const cluster = staticCluster(test, [silent.port], {
      transportSocket,
      connectTimeout: { seconds: Long.fromNumber(3) },
    });
    const result = request(cluster, requestContext());
    await until(() => silent.accepted === 1, 'a connection');
    await clock.advance(3_000);
    expect(await result).toEqual({ kind: 'connect-timeout' });
    expect(stat(test, 'upstream_cx_connect_timeout')).toBe(1);
    await until(() => silent.sockets.size === 0, 'the socket is closed');
    await expectNothingLeft(test, cluster);
  });

  it('resets the request when the server dies under it', async () => {
    const test = createTestEngine();
    const server = await serve(
      createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
    );
    const cluster = staticCluster(test, [server.port]);
    expect(await request(cluster, requestContext())).toMatchObject({ reset: 'connection-termination' });
    await expectNothingLeft(test, cluster);
  });

  it('takes garbage for a protocol error, and does not use the connection again', async () => {
    const test = createTestEngine();
    const server = await serve(
      createTcpServer((socket) => socket.once('data', () => socket.write('garbage\r\n\r\n'))),
    );
    const cluster = staticCluster(test, [server.port]);
    expect(await request(cluster, requestContext())).toMatchObject({ reset: 'protocol-error' });
    await expectNothingLeft(test, cluster);
    expect(stat(test, 'upstream_cx_protocol_error')).toBe(1);
  });

  it('closes the connection of a request that was reset, for its response may come yet', async () => {
    const test = createTestEngine();
    const server = await serve(createHttpServer());
    const cluster = staticCluster(test, [server.port]);
    const exchange = startRequest(cluster, requestContext());
    await until(() => server.accepted === 1 && exchange.stream !== undefined, 'a request under way');
    exchange.stream?.reset('local-reset');
    await until(() => server.sockets.size === 0, 'the connection is closed');
    await expectNothingLeft(test, cluster);
  });

  it('forgets a request that is cancelled while it waits', async () => {
    const test = createTestEngine();
    const server = await serve(createHttpServer((_, response) => response.end()));
    const cluster = staticCluster(test, [server.port]);
    const exchange = startRequest(cluster, requestContext());
    exchange.cancel();
    expect(stat(test, 'upstream_rq_cancelled')).toBe(1);
    expect(cluster.breakersByPriority.default.pendingRequests.current).toBe(0);
    // The connection under way is of use to the next request.
    expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
    expect(server.accepted).toBe(1);
  });

  it('closes connections that idle for too long, and forgets their pools', async () => {
    const clock = new ManualClock();
    const test = createTestEngine({ clock });
    const server = await serve(createHttpServer((_, response) => response.end()));
    const cluster = staticCluster(test, [server.port], {
      commonHttpProtocolOptions: { idleTimeout: { seconds: Long.fromNumber(60) } },
    });
    await request(cluster, requestContext());
    await clock.advance(50_000);
    await request(cluster, requestContext());
    await clock.advance(50_000);
    expect(stat(test, 'upstream_cx_active')).toBe(1);
    await clock.advance(10_000);
    await expectNothingLeft(test, cluster);
    expect(stat(test, 'upstream_cx_idle_timeout')).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it('uses a connection for so many requests as allowed', async () => {
    const test = createTestEngine();
    const server = await serve(createHttpServer((_, response) => response.end()));
    const cluster = staticCluster(test, [server.port], { maxRequestsPerConnection: { value: 2 } });
    for (let i = 0; i < 4; i++)
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
    expect(server.accepted).toBe(2);
    expect(stat(test, 'upstream_cx_max_requests')).toBe(2);
  });

  it('ejects a host that answers 5xx, by the results it is told', async () => {
    const test = createTestEngine();
    const good = await serve(createHttpServer((_, response) => response.end()));
    const bad = await serve(createHttpServer((_, response) => response.writeHead(500).end()));
    const cluster = staticCluster(test, [good.port, bad.port], {
      outlierDetection: { consecutive_5xx: { value: 3 }, maxEjectionPercent: { value: 50 } },
      commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    });
    for (let i = 0; i < 10; i++) {
      const result = await request(cluster, requestContext());
      if ('status' in result && result.status !== undefined) {
        result.upstream.endpoint?.reportResult({ kind: 'response', status: result.status });
      }
    }
    expect(stat(test, 'outlier_detection.ejections_active')).toBe(1);
    for (let i = 0; i < 4; i++)
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
  });
});

describe('an HTTP/2 cluster', () => {
  it('shares one connection among many requests', async () => {
    const test = createTestEngine();
    const server = await serve(createHttp2Server((_, response) => response.end('two')));
    const cluster = staticCluster(test, [server.port], http2);
    const results = await Promise.all(Array.from({ length: 50 }, () => request(cluster, requestContext())));
    for (const result of results) expect(result).toMatchObject({ status: 200, body: 'two' });
    expect(server.accepted).toBe(1);
    cluster.close();
    await expectNothingLeft(test, cluster);
  });

  it('opens another connection at the peer’s limit of streams', async () => {
    const test = createTestEngine();
    const waiting: (() => void)[] = [];
    const server = await serve(
      createHttp2Server({ settings: { maxConcurrentStreams: 2 } }, (_, response) => {
        waiting.push(() => response.end());
      }),
    );
    const cluster = staticCluster(test, [server.port], http2);
    const first = startRequest(cluster, requestContext());
    await until(() => waiting.length === 1, 'the settings have come');
    const rest = [1, 2, 3].map(() => startRequest(cluster, requestContext()));
    await until(() => waiting.length === 4, 'all requests under way');
    expect(server.accepted).toBe(2);
    for (const answer of waiting) answer();
    await Promise.all([first, ...rest].map((exchange) => exchange.done));
  });

  it('lets open requests finish after GOAWAY, and takes another connection for the next', async () => {
    const test = createTestEngine();
    let answer = (): void => undefined;
    let session: ServerHttp2Session | undefined;
    const http2Server = createHttp2Server((_, response) => {
      answer = () => response.end('late');
    });
    http2Server.on('session', (s) => {
      session = s;
    });
    const server = await serve(http2Server);
    const cluster = staticCluster(test, [server.port], http2);
    const first = startRequest(cluster, requestContext());
    await until(() => session !== undefined && first.stream !== undefined, 'a request under way');
    await new Promise((resolve) => setTimeout(resolve, 20));
    session?.goaway();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answerFirst = answer;
    const second = startRequest(cluster, requestContext());
    await until(() => server.accepted === 2, 'a second connection');
    answerFirst();
    expect(await first.done).toMatchObject({ status: 200, body: 'late' });
    await until(() => answer !== answerFirst, 'the second request arrives');
    answer();
    expect(await second.done).toMatchObject({ status: 200 });
    await until(() => stat(test, 'upstream_cx_active') === 1, 'the drained connection closes');
  });

  it('resets every request of a connection that is lost', async () => {
    const test = createTestEngine();
    const server = await serve(createHttp2Server());
    const cluster = staticCluster(test, [server.port], http2);
    const exchanges = Array.from({ length: 10 }, () => startRequest(cluster, requestContext()));
    await until(() => exchanges.every((e) => e.stream !== undefined), 'requests under way');
    for (const socket of server.sockets) socket.resetAndDestroy();
    for (const { done } of exchanges) expect(await done).toMatchObject({ reset: 'connection-termination' });
    await expectNothingLeft(test, cluster);
    expect(stat(test, 'upstream_cx_destroy_with_active_rq')).toBe(1);
  });

  it('uses a connection for so many requests as allowed, each of them whole', async () => {
    const test = createTestEngine();
    const server = await serve(createHttp2Server((_, response) => response.end('two')));
    const cluster = staticCluster(test, [server.port], { ...http2, maxRequestsPerConnection: { value: 2 } });
    for (let i = 0; i < 4; i++) {
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200, body: 'two' });
    }
    expect(server.accepted).toBe(2);
    const many = await Promise.all(Array.from({ length: 8 }, () => request(cluster, requestContext())));
    for (const result of many) expect(result).toMatchObject({ status: 200, body: 'two' });
    await expectNothingLeft(test, cluster);
  });

  it('holds the requests to a peer that stopped reading within the request limit', async () => {
    const test = createTestEngine();
    const stalled = await serve(createTcpServer((socket) => socket.pause()));
    const cluster = staticCluster(test, [stalled.port], {
      ...http2,
      ...limits({ maxRequests: { value: 5 } }),
    });
    const exchanges = Array.from({ length: 8 }, () => startRequest(cluster, requestContext()));
    const refused = await Promise.all(exchanges.slice(5).map((exchange) => exchange.done));
    expect(refused).toEqual([{ kind: 'overflow' }, { kind: 'overflow' }, { kind: 'overflow' }]);
    for (const { stream } of exchanges) stream?.reset('local-reset');
    cluster.close();
    await expectNothingLeft(test, cluster);
  });

  it('refuses requests beyond the request limit', async () => {
    const test = createTestEngine();
    const server = await serve(createHttp2Server());
    const cluster = staticCluster(test, [server.port], {
      ...http2,
      ...limits({ maxRequests: { value: 2 } }),
    });
    const exchanges = [1, 2].map(() => startRequest(cluster, requestContext()));
    await until(() => exchanges.every((e) => e.stream !== undefined), 'requests under way');
    expect(await request(cluster, requestContext())).toEqual({ kind: 'overflow' });
  });
});

describe('a cluster for TCP', () => {
  it('connects for each session, half-closes, and counts both ways', async () => {
    const test = createTestEngine();
    const server = await serve(createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)));
    const cluster = staticCluster(test, [server.port]);
    const result = await connect(cluster, requestContext());
    if (!('stream' in result)) throw new Error(result.kind);
    const { stream } = result;
    let received = '';
    stream.onData = (chunk) => {
      received += chunk.toString();
    };
    const closed = new Promise<Error | undefined>((resolve) => {
      stream.onClose = resolve;
    });
    stream.resume();
    stream.write(Buffer.from('echo'));
    stream.end();
    expect(await closed).toBeUndefined();
    expect(received).toBe('echo');
    expect([stat(test, 'upstream_cx_tx_bytes_total'), stat(test, 'upstream_cx_rx_bytes_total')]).toEqual([
      4, 4,
    ]);
    await expectNothingLeft(test, cluster);
  });

  it('refuses connections beyond the limit', async () => {
    const test = createTestEngine();
    const server = await serve(createTcpServer());
    const cluster = staticCluster(test, [server.port], limits({ maxConnections: { value: 1 } }));
    const first = await connect(cluster, requestContext());
    expect(await connect(cluster, requestContext())).toEqual({ kind: 'overflow' });
    if ('stream' in first) first.stream.reset();
    await expectNothingLeft(test, cluster);
  });

  it('goes where the client meant to go, on the port that is set', async () => {
    const test = createTestEngine();
    const server = await serve(createTcpServer((socket: Socket) => socket.end('here')));
    const originalDst = {
      name: 'test',
      type: envoy.config.cluster.v3.Cluster.DiscoveryType.ORIGINAL_DST,
      lbPolicy: LbPolicy.CLUSTER_PROVIDED,
      lbConfig: 'originalDstLbConfig',
      originalDstLbConfig: {
        upstreamPortOverride: { value: server.port },
        metadataKey: {
          key: 'envoy.filters.listener.original_dst',
          path: [{ segment: 'key', key: 'waypoint' }],
        },
      },
    } as ClusterMessage;
    const { cluster } = test.cluster(originalDst);
    cleanups.push(() => cluster.close());
    expect(cluster.pick(requestContext())).toBeUndefined();
    const restored = requestContext({ localAddress: { ip: '127.0.0.1', port: 1 } });
    const result = await connect(cluster, restored);
    expect('stream' in result && result.upstream.endpoint?.address).toEqual({
      kind: 'ip',
      ip: '127.0.0.1',
      port: server.port,
    });
    const byMetadata = requestContext({
      localAddress: { ip: '127.0.0.1', port: 1 },
      metadata: new Map([['envoy.filters.listener.original_dst', { waypoint: '127.0.0.2:7' }]]),
    });
    expect(cluster.pick(byMetadata)?.address).toMatchObject({ ip: '127.0.0.2', port: server.port });
  });
});

describe('endpoints by EDS', () => {
  const eds = {
    name: 'test',
    type: 3,
    edsClusterConfig: { edsConfig: {}, serviceName: 'svc' },
  } as ClusterMessage;

  it('warm the cluster, change under load, and drain the hosts that go', async () => {
    const test = createTestEngine();
    const answers: (() => void)[] = [];
    const one = await serve(createHttpServer((_, response) => void answers.push(() => response.end('one'))));
    const two = await serve(createHttpServer((_, response) => response.end('two')));
    const { cluster, warm } = test.cluster(eds);
    cleanups.push(() => cluster.close());
    expect(cluster.pick(requestContext())).toBeUndefined();
    test.setEndpoints('svc', assignment(one.port));
    await warm;
    const first = startRequest(cluster, requestContext());
    await until(() => answers.length === 1, 'a request under way');
    test.setEndpoints('svc', assignment(two.port));
    expect(await request(cluster, requestContext())).toMatchObject({ body: 'two' });
    answers[0]?.();
    expect(await first.done).toMatchObject({ body: 'one' });
    await until(() => one.sockets.size === 0, 'the old host’s connection closes');
    test.setEndpoints('svc', assignment());
    expect(await request(cluster, requestContext())).toEqual({ kind: 'no-healthy-upstream' });
    await expectNothingLeft(test, cluster);
  });

  it('stay as they are when an update cannot be used', async () => {
    const test = createTestEngine();
    const { cluster } = test.cluster(eds);
    cleanups.push(() => cluster.close());
    test.setEndpoints('svc', assignment(80));
    const broken = assignment(80);
    const address = {
      address: 'socketAddress' as const,
      socketAddress: { address: 'not an address', portValue: 1 },
    };
    broken.endpoints?.push({ lbEndpoints: [{ hostIdentifier: 'endpoint', endpoint: { address } }] });
    expect(() => test.setEndpoints('svc', broken)).toThrow(
      'svc: endpoints[1].lb_endpoints[0].endpoint.address.socket_address.address: "not an address" is not an IP address',
    );
    expect([...cluster.hosts].map((host) => host.key)).toEqual(['127.0.0.1:80']);
    expect(stat(test, 'update_rejected')).toBe(1);
  });
});

describe('the cluster table', () => {
  it('drains a cluster that is replaced: its requests finish, new ones go to the next version', async () => {
    const test = createTestEngine();
    const table = new ClusterTable();
    cleanups.push(() => table.close());
    const answers: (() => void)[] = [];
    const server = await serve(createHttpServer((_, response) => void answers.push(() => response.end())));
    const before = test.cluster({
      name: 'test',
      loadAssignment: assignment(server.port),
    } as ClusterMessage).cluster;
    table.put(before);
    const running = startRequest(before, requestContext());
    await until(() => answers.length === 1, 'a request under way');
    const after = test.cluster({
      name: 'test',
      loadAssignment: assignment(server.port),
    } as ClusterMessage).cluster;
    table.put(after);
    expect(table.get('test')).toBe(after);
    answers[0]?.();
    expect(await running.done).toMatchObject({ status: 200 });
    await expectNothingLeft(test, before);
  });
});

describe('a cluster that negotiates its protocol', () => {
  it('speaks HTTP/2 where ALPN says so, and HTTP/1 elsewhere', async () => {
    const pair = await (await TestAuthority.create()).issue({ dnsSans: ['a.example'] });
    const credentials = { cert: pair.chainPem, key: pair.keyPem };
    const two = createSecureHttp2Server(credentials, (_, response) => response.end('two'));
    const one = createHttpsServer(credentials, (_, response) => response.end('one'));
    for (const [server, body] of [
      [two, 'two'],
      [one, 'one'],
    ] as const) {
      const test = createTestEngine();
      const { port } = await serve(server);
      const type = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
      const { HttpProtocolOptions } = envoy.extensions.upstreams.http.v3;
      const { UpstreamTlsContext } = envoy.extensions.transport_sockets.tls.v3;
      const cluster = staticCluster(test, [port], {
        typedExtensionProtocolOptions: { [type]: any(HttpProtocolOptions, type, { autoConfig: {} }) },
        transportSocket: {
          name: 'tls',
          configType: 'typedConfig',
          typedConfig: any(
            UpstreamTlsContext,
            'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
            {},
          ),
        },
      });
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200, body });
      expect(await request(cluster, requestContext())).toMatchObject({ status: 200, body });
      expect(stat(test, 'upstream_cx_total')).toBe(1);
    }
  });
});
