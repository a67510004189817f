import { describe, expect, it } from '@jest/globals';
import Long from 'long';
import { envoy, io, stats as istio } from '@weft/api/envoy';
import { FilterState, type Cluster, type Endpoint, type MetadataStruct } from '../engine/types.ts';
import { prometheusText } from '../stats/index.ts';
import { cors } from './cors.ts';
import { fault } from './fault.ts';
import { GRPC_COUNTS_KEY, GrpcFrameCounter, grpcStats } from './grpc-stats.ts';
import { headerMutation } from './header-mutation.ts';
import { FilterRegistry } from './index.ts';
import { peerMetadata } from './istio/peer-metadata.ts';
import { httpIstioStats, networkIstioStats } from './istio/stats-filter.ts';
import { httpSetFilterState } from './set-filter-state.ts';
import {
  compile,
  get,
  pass,
  respond,
  testConnection,
  testContext,
  testEngine,
  testRoute,
  testStream,
  testTls,
} from './testing/stream.ts';

describe('cors', () => {
  const { Cors, CorsPolicy } = envoy.extensions.filters.http.cors.v3;
  const policy = (p: envoy.extensions.filters.http.cors.v3.CorsPolicy.$Properties) =>
    testRoute({
      [cors.name]: cors.compileRoute?.(
        CorsPolicy.encode({
          allowOriginStringMatch: [{ suffix: '.good.test' }],
          allowMethods: 'GET',
          maxAge: '60',
          ...p,
        }).finish(),
        testContext(),
        '',
      ),
    });
  const preflight = (origin: string) => {
    const headers = get('/', { origin, 'access-control-request-method': 'PUT' });
    headers.method = 'OPTIONS';
    return headers;
  };
  const filter = () => compile(cors, Cors, {}).create(testStream());

  it('answers the preflight of an allowed origin', () => {
    const { reply } = pass(filter(), preflight('http://a.good.test'), {
      route: policy({ allowCredentials: { value: true } }),
    });
    expect(reply).toEqual({
      status: 200,
      details: 'cors_response',
      unrouted: true,
      headers: [
        ['access-control-allow-origin', 'http://a.good.test'],
        ['access-control-allow-credentials', 'true'],
        ['access-control-allow-methods', 'GET'],
        ['access-control-max-age', '60'],
      ],
    });
  });

  it('forwards or answers bare the preflight of another', () => {
    expect(pass(filter(), preflight('http://bad'), { route: policy({}) }).status).toBe('continued');
    const strict = policy({ forwardNotMatchingPreflights: { value: false } });
    expect(pass(filter(), preflight('http://bad'), { route: strict }).reply).toMatchObject({
      status: 200,
      headers: [],
    });
  });

  it('marks the response for an allowed origin only', () => {
    const info = testStream();
    const good = filter();
    pass(good, get('/', { origin: 'http://a.good.test' }), { info, route: policy({ exposeHeaders: 'x' }) });
    expect([...respond(good, info)]).toEqual([
      ['access-control-allow-origin', 'http://a.good.test'],
      ['access-control-expose-headers', 'x'],
    ]);
    const bad = filter();
    pass(bad, get('/', { origin: 'http://bad' }), { info, route: policy({}) });
    expect([...respond(bad, info)]).toEqual([]);
  });
});

describe('fault', () => {
  const { HTTPFault } = envoy.extensions.filters.http.fault.v3;
  const always = { numerator: 100 };
  const create = (
    config: envoy.extensions.filters.http.fault.v3.HTTPFault.$Properties,
    engine = testEngine(),
  ) => ({
    engine,
    filter: compile(fault, HTTPFault, config, engine),
  });

  it('aborts with its status and flag', () => {
    const { filter } = create({ abort: { httpStatus: 503, percentage: always } });
    expect(pass(filter.create(testStream()), get()).reply).toEqual({
      status: 503,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flag: 'FI',
    });
  });

  it('delays, and leaves no timer when the stream ends first', async () => {
    const { filter, engine } = create({
      delay: { fixedDelay: { seconds: Long.fromNumber(2) }, percentage: always },
    });
    const first = pass(filter.create(testStream()), get());
    await engine.clock.advance(1_999);
    expect(first.status).toBe('waiting');
    await engine.clock.advance(1);
    expect([first.status, [...first.info.responseFlags]]).toEqual(['continued', ['DI']]);
    const gone = filter.create(testStream());
    pass(gone, get());
    gone?.onDestroy?.();
    expect(engine.clock.pending).toBe(0);
    expect(engine.stats.gauge('http.test.fault.active_faults').value).toBe(0);
  });

  it('takes a share, only matching requests, and only so many at a time', () => {
    const half = create({ abort: { httpStatus: 503, percentage: { numerator: 50 } } }).filter;
    // The test's random number is 0.5.
    expect(pass(half.create(testStream()), get()).status).toBe('continued');
    const matching = create({
      abort: { httpStatus: 503, percentage: always },
      headers: [{ name: 'x', presentMatch: true }],
    }).filter;
    expect(pass(matching.create(testStream()), get()).status).toBe('continued');
    const bounded = create({
      delay: { fixedDelay: { seconds: Long.fromNumber(2) }, percentage: always },
      maxActiveFaults: { value: 1 },
    }).filter;
    expect(pass(bounded.create(testStream()), get()).status).toBe('waiting');
    expect(pass(bounded.create(testStream()), get()).status).toBe('continued');
  });
});

describe('header mutation', () => {
  const { HeaderMutation } = envoy.extensions.filters.http.header_mutation.v3;
  const { HeaderAppendAction } = envoy.config.core.v3.HeaderValueOption;
  const append = (
    key: string,
    value: string,
    appendAction?: envoy.config.core.v3.HeaderValueOption.HeaderAppendAction,
  ) => ({
    append: { header: { key, value }, ...(appendAction === undefined ? {} : { appendAction }) },
  });
  it('removes, appends, adds, overwrites, with formats', () => {
    const requestMutations = [
      { remove: 'x-gone' },
      append('x-a', '2'),
      append('x-b', 'new', HeaderAppendAction.ADD_IF_ABSENT),
      append('x-c', 'new', HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
      append('x-d', 'new', HeaderAppendAction.OVERWRITE_IF_EXISTS),
      append('x-path', '%REQ(:PATH)%'),
      append('x-none', '%REQ(missing)%'),
    ];
    const headers = get('/p', { 'x-gone': '1', 'x-a': '1', 'x-b': 'old', 'x-c': 'old' });
    pass(
      compile(headerMutation, HeaderMutation, { mutations: { requestMutations } }).create(testStream()),
      headers,
    );
    expect([...headers].map((line) => line.join(': '))).toEqual([
      'x-a: 1',
      'x-b: old',
      'x-c: new',
      'x-a: 2',
      'x-path: /p',
    ]);
  });

  it.each([':path', 'Host', ''])('refuses to change "%s"', (key) => {
    expect(() =>
      compile(headerMutation, HeaderMutation, { mutations: { requestMutations: [append(key, 'x')] } }),
    ).toThrow(/^test: mutations\.request_mutations\[0\]\.append\.header\.key: /);
  });
});

describe('set_filter_state', () => {
  const { Config } = envoy.extensions.filters.http.set_filter_state.v3;
  const { ONCE } = envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue.SharedWithUpstream;
  const value = (objectKey: string, textFormat: string, factoryKey = 'envoy.string') => ({
    objectKey,
    factoryKey,
    formatString: { textFormat },
    sharedWithUpstream: ONCE,
  });

  it('puts formatted values where the next hop finds them, and never a dash for what is absent', () => {
    const onRequestHeaders = [
      value('io.istio.connect_authority', '%REQ(:AUTHORITY)%'),
      value('io.istio.peer_principal', '%DOWNSTREAM_PEER_URI_SAN%'),
    ];
    const { info } = pass(
      compile(httpSetFilterState, Config, { onRequestHeaders }).create(testStream()),
      get(),
    );
    const shared = info.filterState.sharedWithUpstream();
    expect(shared.get('io.istio.connect_authority')).toBe('shop.test');
    expect(shared.get('io.istio.peer_principal')).toBe('');
  });

  it('refuses an object of an unknown kind', () => {
    expect(() => compile(httpSetFilterState, Config, { onRequestHeaders: [value('k', 'v', 'x.y')] })).toThrow(
      /factory_key/,
    );
  });
});

describe('gRPC message counts', () => {
  const frame = (length: number) => {
    const bytes = Buffer.alloc(5 + length);
    bytes.writeUInt32BE(length, 1);
    return bytes;
  };
  it('do not depend on how the bytes are cut', () => {
    const bytes = Buffer.concat([frame(0), frame(3), frame(300), frame(7)]);
    for (const size of [1, 2, 5, 6, 100, 1_000]) {
      const counter = new GrpcFrameCounter();
      let count = 0;
      for (let i = 0; i < bytes.length; i += size) count += counter.count(bytes.subarray(i, i + size));
      expect([size, count]).toEqual([size, 4]);
    }
  });

  it('are left for the metrics', () => {
    const { FilterConfig } = envoy.extensions.filters.http.grpc_stats.v3;
    const filter = compile(grpcStats, FilterConfig, { emitFilterState: true }).create(testStream());
    const { info } = pass(filter, get('/s/m', { 'content-type': 'application/grpc' }));
    filter?.onRequestData?.(frame(1), true, undefined as never); // it takes no callbacks
    expect(info.filterState.get(GRPC_COUNTS_KEY)).toEqual({ requestMessages: 1, responseMessages: 0 });
  });
});

describe('Istio metrics', () => {
  const { PluginConfig, Reporter } = istio;
  const endpoint: Partial<Endpoint> = {
    address: { kind: 'internal', listener: 'connect_originate', endpointId: '10.0.0.9:8080' },
    metadata: new Map<string, MetadataStruct>([
      ['istio', { workload: 'web-v1;shop;web;v1;Kubernetes' }],
      ['weft.dev', { identity: 'spiffe://td/ns/shop/sa/web' }],
    ]),
  };
  const cluster: Partial<Cluster> = {
    name: 'inbound-vip|80|http|web.shop.svc',
    metadata: new Map([['istio', { services: [{ host: 'web.shop.svc', name: 'web', namespace: 'shop' }] }]]),
  };
  // Labels look at these members only.
  const upstream = { cluster: cluster as Cluster, endpoint: endpoint as Endpoint };
  const workloads = {
    byAddress: (ip: string) =>
      ip === '10.0.0.1' ? { name: 'client', namespace: 'ns', canonicalName: 'client' } : undefined,
  };

  it('name both sides at a waypoint', () => {
    const engine = testEngine({ workloads });
    const filterState = new FilterState();
    filterState.set('io.istio.peer_principal', 'spiffe://td/ns/ns/sa/client');
    const info = testStream({ requestHeaders: get(), responseCode: 200, upstream, filterState });
    compile(httpIstioStats, PluginConfig, { reporter: Reporter.SERVER_GATEWAY }, engine)
      .create(info)
      ?.onComplete?.(info);
    const [line = ''] = prometheusText(engine.stats.all())
      .split('\n')
      .filter((l) => l.startsWith('istio_requests_total'));
    for (const label of [
      'reporter="waypoint"',
      'source_workload="client"',
      'source_principal="spiffe://td/ns/ns/sa/client"',
      'destination_workload="web-v1"',
      'destination_principal="spiffe://td/ns/shop/sa/web"',
      'destination_workload_namespace="shop"',
      'destination_canonical_revision="v1"',
      'destination_service="web.shop.svc"',
      'destination_service_name="web"',
      'destination_cluster="Kubernetes"',
      'request_protocol="http"',
      'response_code="200"',
      'response_flags="-"',
      'connection_security_policy="mutual_tls"',
    ]) {
      expect(line).toContain(label);
    }
  });

  it('drop metrics and labels, and set constant ones', () => {
    const engine = testEngine();
    const metrics = [
      { name: 'request_bytes', drop: true },
      { tagsToRemove: ['source_app'], dimensions: { mesh: '"m1"' } },
    ];
    const info = testStream({ requestHeaders: get(), responseCode: 200 });
    compile(httpIstioStats, PluginConfig, { metrics }, engine).create(info)?.onComplete?.(info);
    const text = prometheusText(engine.stats.all());
    expect(text).not.toContain('istio_request_bytes');
    expect(text).not.toContain('source_app=');
    expect(text).toContain('mesh="m1"');
  });

  it('of a connection are reported while it lives, each byte once', async () => {
    const engine = testEngine();
    const compiled = networkIstioStats.compile(PluginConfig.encode({}).finish(), testContext(engine), '');
    if (compiled.kind !== 'filter') throw new Error('no filter');
    const filter = compiled.create();
    const info = testStream({ kind: 'tcp', bytesReceived: 10 });
    filter.onNewConnection(undefined as never, info); // the stream itself isn't used
    await engine.clock.advance(5_000);
    info.bytesReceived = 15;
    filter.onComplete?.(info);
    const text = prometheusText(engine.stats.all());
    expect(text).toMatch(/istio_tcp_received_bytes_total\{.*} 15\n/);
    expect(text).toMatch(/istio_tcp_connections_opened_total\{.*} 1\n/);
    expect(text).toMatch(/istio_tcp_connections_closed_total\{.*} 1\n/);
    expect(engine.clock.pending).toBe(0);
  });
});

describe('peer metadata', () => {
  const { Config } = io.istio.http.peer_metadata;
  it('is found by address, shared, and never taken from headers unless told to', () => {
    const workloads = { byAddress: () => ({ name: 'client' }) };
    const engine = testEngine({ workloads });
    const config = { downstreamDiscovery: [{ workloadDiscovery: {} }], sharedWithUpstream: true };
    const headers = get('/', { 'x-envoy-peer-metadata': 'forged', 'x-envoy-peer-metadata-id': 'forged' });
    const { info } = pass(compile(peerMetadata, Config, config, engine).create(testStream()), headers);
    expect(info.filterState.sharedWithUpstream().get('downstream_peer')).toEqual({ name: 'client' });
    expect(headers.size).toBe(0);
  });

  it('is read from baggage', () => {
    const headers = get('/', {
      baggage: 'k8s.deployment.name=web,k8s.namespace.name=shop,service.name=we%20b;p=1',
    });
    const { info } = pass(
      compile(peerMetadata, Config, { downstreamDiscovery: [{ baggage: {} }] }).create(testStream()),
      headers,
    );
    expect(info.filterState.get('downstream_peer')).toEqual({
      name: 'web',
      namespace: 'shop',
      canonicalName: 'we b',
      app: 'we b',
    });
  });
});

it('the registry knows filters by either type, and none that it does not have', () => {
  const registry = new FilterRegistry();
  expect(registry.httpFilter('type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC')?.name).toBe(
    'envoy.filters.http.rbac',
  );
  expect(
    registry.httpFilter('type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute')?.name,
  ).toBe('envoy.filters.http.rbac');
  expect(registry.httpFilter('type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua')).toBeUndefined();
  expect(registry.names().network).toContain('envoy.filters.network.rbac');
});

it('identities in metrics come from the certificate when nothing else tells', () => {
  const engine = testEngine();
  const connection = testConnection({
    tls: testTls({ peerUriSans: ['spiffe://a'], localUriSans: ['spiffe://b'] }),
  });
  const info = testStream({ connection, requestHeaders: get(), responseCode: 200 });
  compile(httpIstioStats, istio.PluginConfig, {}, engine).create(info)?.onComplete?.(info);
  const text = prometheusText(engine.stats.all());
  expect(text).toContain('source_principal="spiffe://a"');
  expect(text).toContain('destination_principal="spiffe://b"');
});
