import { createSecureServer } from 'node:http2';
import { createServer as createTcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import Long from 'long';
import { type ByteStream, FilterState, HeaderMap } from '../engine/types.ts';
import { InternalListenerTable } from '../network/internal-listeners.ts';
import type { UpstreamCluster } from './cluster.ts';
import type { CertificatePair } from './config/tls-context.ts';
import { TestAuthority } from './testing/certificates.ts';
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
const tls = envoy.extensions.transport_sockets.tls.v3;
const { TlsProtocol } = tls.TlsParameters;
const SERVER = 'spiffe://cluster.local/ns/shop/sa/cart';
const WAYPOINT = 'spiffe://cluster.local/ns/shop/sa/waypoint';
const EXPECTED_NAMES = 'envoy.network.upstream_subject_alt_names';

let authority: TestAuthority;
let server: CertificatePair;
let waypoint: CertificatePair;
const cleanups: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
  server = await authority.issue({ uriSans: [SERVER] });
  waypoint = await authority.issue({ uriSans: [WAYPOINT] });
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A ztunnel as far as a waypoint sees it: CONNECT over mutual TLS; echoes what the tunnel carries. */
async function ztunnel(): Promise<LoopbackServer & { readonly connects: string[] }> {
  const connects: string[] = [];
  const http2 = createSecureServer({
    cert: server.chainPem,
    key: server.keyPem,
    ca: authority.rootsPem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  http2.on('stream', (stream, headers) => {
    connects.push(`${headers[':method']} ${headers[':authority']}`);
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  http2.on('sessionError', () => undefined);
  const listening = await listen(http2);
  cleanups.push(() => listening.close());
  return Object.assign(Object.create(listening), { connects });
}

function tlsSocket(context: object): envoy.config.core.v3.TransportSocket.$Properties {
  return {
    name: 'tls',
    configType: 'typedConfig',
    typedConfig: any(
      tls.UpstreamTlsContext,
      'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      context,
    ),
  };
}

function connectOriginate(test: TestEngine, port: number): { cluster: UpstreamCluster; warm: Promise<void> } {
  const made = test.cluster({
    name: 'test',
    type: envoy.config.cluster.v3.Cluster.DiscoveryType.ORIGINAL_DST,
    lbPolicy: envoy.config.cluster.v3.Cluster.LbPolicy.CLUSTER_PROVIDED,
    lbConfig: 'originalDstLbConfig',
    originalDstLbConfig: { upstreamPortOverride: { value: port } },
    cleanupInterval: { seconds: Long.fromNumber(60) },
    http2ProtocolOptions: { allowConnect: true },
    transportSocket: tlsSocket({
      commonTlsContext: {
        tlsParams: {
          tlsMinimumProtocolVersion: TlsProtocol.TLSv1_3,
          tlsMaximumProtocolVersion: TlsProtocol.TLSv1_3,
        },
        alpnProtocols: ['h2'],
        tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: {} }],
        validationContextType: 'combinedValidationContext',
        combinedValidationContext: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: [
              {
                sanType: tls.SubjectAltNameMatcher.SanType.URI,
                matcher: { matchPattern: 'prefix', prefix: 'spiffe://cluster.local/' },
              },
            ],
          },
          validationContextSdsSecretConfig: { name: 'ROOTCA', sdsConfig: {} },
        },
      },
    }),
  } as ClusterMessage);
  cleanups.push(() => made.cluster.close());
  return made;
}

function setSecrets(test: TestEngine): void {
  const context = tls.CertificateValidationContext.encode({
    trustedCa: { specifier: 'inlineString', inlineString: authority.rootsPem },
  }).finish();
  test.setSecret('default', { kind: 'certificate', ...waypoint });
  test.setSecret('ROOTCA', { kind: 'validation', context });
}

function destination(expected?: string) {
  const filterState = new FilterState();
  if (expected !== undefined) filterState.set(EXPECTED_NAMES, expected);
  return requestContext({ localAddress: { ip: '127.0.0.1', port: 8080 }, filterState });
}

function connectRequest(): HeaderMap {
  return HeaderMap.request({ method: 'CONNECT', authority: '127.0.0.1:8080' });
}

describe('HBONE to a ztunnel', () => {
  it('carries tunnels over one connection whose server is exactly the expected workload', async () => {
    const test = createTestEngine();
    const { port, connects, sockets } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    setSecrets(test);
    await warm;
    const tunnels = await Promise.all(
      [1, 2, 3].map(async () => {
        const exchange = startRequest(cluster, destination(SERVER), {
          headers: connectRequest(),
          hold: true,
        });
        await until(() => exchange.stream !== undefined, 'a stream');
        exchange.stream?.sendData(Buffer.from('ping'), true);
        return exchange.done;
      }),
    );
    for (const tunnel of tunnels) {
      expect(tunnel).toMatchObject({
        status: 200,
        body: 'ping',
        upstream: { tls: { peerUriSans: [SERVER], peerValidated: true } },
      });
    }
    expect(connects).toEqual(Array.from({ length: 3 }, () => 'CONNECT 127.0.0.1:8080'));
    expect(sockets.size).toBe(1);
  });

  it('refuses a server of the same mesh that is another workload, and says whom it met', async () => {
    const test = createTestEngine();
    const { port, connects } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    setSecrets(test);
    await warm;
    const other = 'spiffe://cluster.local/ns/shop/sa/other';
    expect(await request(cluster, destination(other), connectRequest())).toEqual({
      kind: 'connect-failure',
      reason: `TLS_error: CERTIFICATE_VERIFY_FAILED: the server is [${SERVER}], expected one of [${other}]`,
    });
    expect(connects).toEqual([]);
    expect(test.stats.values.get('cluster.test.ssl.fail_verify_san')).toBe(1);
  });

  it('does not lend a connection to a request that expects somebody else', async () => {
    const test = createTestEngine();
    const { port } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    setSecrets(test);
    await warm;
    const first = startRequest(cluster, destination(SERVER), { headers: connectRequest(), hold: true });
    await until(() => first.stream !== undefined, 'a tunnel');
    const second = await request(cluster, destination('spiffe://cluster.local/ns/x/sa/y'), connectRequest());
    expect(second).toMatchObject({ kind: 'connect-failure' });
    first.stream?.reset('local-reset');
  });

  it('goes by the TLS context where nobody in particular is expected', async () => {
    const test = createTestEngine();
    const { port } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    setSecrets(test);
    await warm;
    const exchange = startRequest(cluster, destination(), { headers: connectRequest(), hold: true });
    await until(() => exchange.stream !== undefined, 'a tunnel');
    exchange.stream?.sendData(Buffer.alloc(0), true);
    expect(await exchange.done).toMatchObject({ status: 200 });
  });

  it('warms when its secrets have come, uses rotated ones for new connections, and keeps the last good ones', async () => {
    const test = createTestEngine();
    const { port } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    let isWarm = false;
    void warm.then(() => {
      isWarm = true;
    });
    expect(await request(cluster, destination(SERVER), connectRequest())).toEqual({
      kind: 'connect-failure',
      reason: 'TLS_error: Secret is not supplied by SDS',
    });
    expect(isWarm).toBe(false);
    setSecrets(test);
    await warm;
    test.setSecret('default', { kind: 'certificate', chainPem: 'garbage', keyPem: 'garbage' });
    const exchange = startRequest(cluster, destination(SERVER), { headers: connectRequest(), hold: true });
    await until(() => exchange.stream !== undefined, 'a tunnel');
    exchange.stream?.reset('local-reset');
  });

  it('tells a tunnel that its peer was killed, and leaves nothing behind', async () => {
    const test = createTestEngine();
    const { port, sockets } = await ztunnel();
    const { cluster, warm } = connectOriginate(test, port);
    setSecrets(test);
    await warm;
    const exchange = startRequest(cluster, destination(SERVER), { headers: connectRequest(), hold: true });
    await until(() => exchange.stream !== undefined, 'a tunnel');
    for (const socket of sockets) socket.resetAndDestroy();
    expect(await exchange.done).toMatchObject({ reset: 'connection-termination' });
    await until(() => test.stats.values.get('cluster.test.upstream_cx_active') === 0, 'no connection');
    expect(cluster.breakersByPriority.default.requests.current).toBe(0);
  });

  it('fails when the port speaks something else', async () => {
    const test = createTestEngine();
    const plain = await listen(createTcpServer((socket) => socket.end('SSH-2.0-nonsense\r\n')));
    cleanups.push(() => plain.close());
    const { cluster, warm } = connectOriginate(test, plain.port);
    setSecrets(test);
    await warm;
    expect(await request(cluster, destination(SERVER), connectRequest())).toMatchObject({
      kind: 'connect-failure',
      reason: expect.stringContaining('TLS_error: '),
    });
  });
});

describe('TLS origination', () => {
  async function tlsEcho() {
    const pair = await authority.issue({ dnsSans: ['api.example'] });
    const names: string[] = [];
    const echo = createTlsServer(
      {
        cert: pair.chainPem,
        key: pair.keyPem,
        ALPNProtocols: ['http/1.1'],
        SNICallback: (name, done) => {
          names.push(name);
          done(null);
        },
      },
      (socket) => {
        socket.on('error', () => undefined);
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      },
    );
    echo.on('tlsClientError', () => undefined);
    const listening = await listen(echo);
    cleanups.push(() => listening.close());
    return { port: listening.port, names };
  }
  const trusting = () => ({
    commonTlsContext: {
      validationContextType: 'validationContext',
      validationContext: { trustedCa: { specifier: 'inlineString', inlineString: authority.rootsPem } },
    },
  });
  const auto = { upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true } };
  const to = (name: string) => {
    const headers = HeaderMap.request({ method: 'GET', path: '/', authority: name });
    return { context: requestContext({ headers }), headers };
  };

  it('takes SNI and the name to verify from the request when told so', async () => {
    const test = createTestEngine();
    const { port, names } = await tlsEcho();
    const message = {
      name: 'test',
      loadAssignment: assignment(port),
      transportSocket: tlsSocket(trusting()),
      ...auto,
    };
    const { cluster } = test.cluster(message as ClusterMessage);
    cleanups.push(() => cluster.close());
    const good = to('api.example:443');
    expect(await request(cluster, good.context, good.headers)).toMatchObject({ status: 200 });
    const bad = to('evil.example');
    expect(await request(cluster, bad.context, bad.headers)).toMatchObject({
      kind: 'connect-failure',
      reason: expect.stringContaining('expected evil.example'),
    });
    expect(names).toEqual(['api.example', 'evil.example']);
  });

  it('verifies nothing without a validation context, and the chain with one', async () => {
    const stranger = await TestAuthority.create();
    const test = createTestEngine();
    const { port } = await tlsEcho();
    const make = (context: object): UpstreamCluster => {
      const message = { name: 'test', loadAssignment: assignment(port), transportSocket: tlsSocket(context) };
      const { cluster } = test.cluster(message as ClusterMessage);
      cleanups.push(() => cluster.close());
      return cluster;
    };
    expect(await request(make({}), requestContext())).toMatchObject({ status: 200 });
    const validationContext = { trustedCa: { specifier: 'inlineString', inlineString: stranger.rootsPem } };
    const distrusting = make({
      commonTlsContext: { validationContextType: 'validationContext', validationContext },
    });
    expect(await request(distrusting, requestContext())).toMatchObject({
      kind: 'connect-failure',
      reason: expect.stringContaining('CERTIFICATE_VERIFY_FAILED'),
    });
    expect(test.stats.values.get('cluster.test.ssl.fail_verify_error')).toBe(1);
  });
});

describe('an internal listener as upstream', () => {
  const internalCluster = (passthrough: object[]): ClusterMessage =>
    ({
      name: 'test',
      loadAssignment: {
        clusterName: 'test',
        endpoints: [
          {
            lbEndpoints: [
              {
                hostIdentifier: 'endpoint',
                endpoint: {
                  address: {
                    address: 'envoyInternalAddress',
                    envoyInternalAddress: {
                      addressNameSpecifier: 'serverListenerName',
                      serverListenerName: 'connect_originate',
                      endpointId: '10.0.0.1:80',
                    },
                  },
                },
                metadata: {
                  filterMetadata: {
                    'envoy.filters.listener.original_dst': {
                      fields: { local: { kind: 'stringValue', stringValue: '10.0.0.1:80' } },
                    },
                    secret: { fields: { x: { kind: 'stringValue', stringValue: 'stays here' } } },
                  },
                },
              },
            ],
          },
        ],
      },
      transportSocket: {
        name: 'internal_upstream',
        configType: 'typedConfig',
        typedConfig: any(
          envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport,
          'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
          {
            passthroughMetadata: passthrough,
            transportSocket: { name: 'envoy.transport_sockets.raw_buffer' },
          },
        ),
      },
    }) as ClusterMessage;
  const hostMetadata = { kind: { kind: 'host', host: {} }, name: 'envoy.filters.listener.original_dst' };

  function echoListener() {
    const accepted: ByteStream[] = [];
    const listeners = new InternalListenerTable(() => 0);
    listeners.register('connect_originate', (stream) => {
      accepted.push(stream);
      stream.onData = (chunk) => void stream.write(chunk);
      stream.onEnd = () => stream.end();
      stream.resume();
    });
    return { listeners, accepted };
  }

  it('gets the host’s metadata that pass through, and the shared filter state, and nothing else', async () => {
    const { listeners, accepted } = echoListener();
    const test = createTestEngine({ internalListeners: listeners });
    const { cluster } = test.cluster(internalCluster([hostMetadata]));
    cleanups.push(() => cluster.close());
    const filterState = new FilterState();
    filterState.set('private', 'a');
    filterState.set('once', 'b', { sharedWithUpstream: 'once' });
    const result = await connect(cluster, requestContext({ filterState }));
    if (!('stream' in result)) throw new Error(result.kind);
    let echoed = '';
    result.stream.onData = (chunk) => {
      echoed += chunk.toString();
    };
    const closed = new Promise<void>((resolve) => {
      result.stream.onClose = () => resolve();
    });
    result.stream.resume();
    result.stream.write(Buffer.from('through'));
    result.stream.end();
    await closed;
    expect(echoed).toBe('through');
    const info = accepted[0]?.info;
    expect([...(info?.dynamicMetadata ?? [])]).toEqual([
      ['envoy.filters.listener.original_dst', { local: '10.0.0.1:80' }],
    ]);
    expect([info?.filterState.get('once'), info?.filterState.get('private')]).toEqual(['b', undefined]);
    expect(info?.localAddress).toEqual({
      kind: 'internal',
      listener: 'connect_originate',
      endpointId: '10.0.0.1:80',
    });
    expect(cluster.breakersByPriority.default.connections.current).toBe(0);
  });

  it('splits pools by shared filter state, so that nobody travels under another’s', async () => {
    const accepted: ByteStream[] = [];
    const listeners = new InternalListenerTable(() => 0);
    listeners.register('connect_originate', (stream) => {
      accepted.push(stream);
      stream.onData = () => void stream.write(Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
      stream.resume();
    });
    const test = createTestEngine({ internalListeners: listeners });
    const { cluster } = test.cluster(internalCluster([hostMetadata]));
    cleanups.push(() => cluster.close());
    const as = (principal: string) => {
      const filterState = new FilterState();
      filterState.set('io.istio.peer_principal', principal, { sharedWithUpstream: 'once' });
      return requestContext({ filterState });
    };
    for (const principal of ['a', 'b', 'a', 'b']) {
      expect(await request(cluster, as(principal))).toMatchObject({ status: 200 });
    }
    expect(accepted.map((stream) => stream.info.filterState.get('io.istio.peer_principal'))).toEqual([
      'a',
      'b',
    ]);
  });

  it('fails when there is no such listener', async () => {
    const test = createTestEngine({ internalListeners: new InternalListenerTable(() => 0) });
    const { cluster } = test.cluster(internalCluster([]));
    cleanups.push(() => cluster.close());
    expect(await request(cluster, requestContext())).toEqual({
      kind: 'connect-failure',
      reason: 'no internal listener connect_originate',
    });
  });
});
