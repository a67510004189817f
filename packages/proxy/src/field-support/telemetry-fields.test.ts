import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { accessLogFiles } from '../access-log/index.ts';
import { HeaderMap, type Cluster, type Endpoint, type StreamInfo } from '../engine/types.ts';
import { grpcStats } from '../filters/grpc-stats.ts';
import { peerMetadata } from '../filters/istio/peer-metadata.ts';
import { httpIstioStats, networkIstioStats } from '../filters/istio/stats-filter.ts';
import { get, pass, testContext, testEngine, testStream } from '../filters/testing/stream.ts';
import { tcpProxyConfig } from '../network/tcp-proxy/config.ts';
import { StatsStore, prometheusText } from '../stats/index.ts';
import { checkFields } from './check-fields.ts';

function encoded(type: string, json: object): Uint8Array {
  const bytes = envoyFromJson(type, json);
  checkFields(type, bytes, { resource: 'r' });
  return bytes;
}

/** A stream that went to an endpoint of a cluster that counts into `stats`. */
function finished(stats: StatsStore, parts: Partial<StreamInfo> = {}): StreamInfo {
  const endpoint: Partial<Endpoint> = {
    address: { kind: 'internal', listener: 'connect_originate', endpointId: '10.0.0.7:80' },
    metadata: new Map([['istio', { workload: 'reviews;shop;reviews;v1;c' }]]),
  };
  const cluster: Partial<Cluster> = { name: 'c', statName: 'c', stats, metadata: new Map() };
  return testStream({
    requestHeaders: get('/pkg.Service/Method', { 'content-type': 'application/grpc' }),
    responseHeaders: HeaderMap.response(200, { 'grpc-status': '0' }),
    responseCode: 200,
    timings: { start: 1, end: 2 },
    // What telemetry reads of an upstream.
    upstream: { cluster, endpoint } as StreamInfo['upstream'] & object,
    ...parts,
  });
}

describe('a field of telemetry has its effect', () => {
  it('grpc_stats.stats_for_all_methods', () => {
    const named = (stats_for_all_methods: boolean) => {
      const stats = new StatsStore();
      const bytes = encoded('envoy.extensions.filters.http.grpc_stats.v3.FilterConfig', {
        stats_for_all_methods,
      });
      const info = finished(stats);
      const filter = grpcStats.compile(bytes, testContext(), '').create(info);
      pass(filter, info.requestHeaders ?? get(), { info });
      filter?.onComplete?.(info);
      return [...stats.all()].map(({ fullName }) => fullName).find((name) => name.endsWith('.success'));
    };
    expect(named(true)).toBe('grpc.pkg.Service.Method.success');
    expect(named(false)).toBe('grpc.success');
  });

  it('istio.stats: disable_host_header_fallback', () => {
    const destination = (disable_host_header_fallback: boolean) => {
      const engine = testEngine();
      const bytes = encoded('stats.PluginConfig', { disable_host_header_fallback });
      const info = finished(engine.stats);
      const filter = httpIstioStats.compile(bytes, testContext(engine), '').create(info);
      filter?.onComplete?.(info);
      const text = prometheusText(engine.stats.all());
      return /istio_requests_total\{.*destination_service="([^"]*)"/.exec(text)?.[1];
    };
    expect([destination(false), destination(true)]).toEqual(['shop.test', 'unknown']);
  });

  it('istio.stats: tcp_reporting_duration', async () => {
    const engine = testEngine();
    const bytes = encoded('stats.PluginConfig', { tcp_reporting_duration: '1s' });
    const compiled = networkIstioStats.compile(bytes, testContext(engine), '');
    if (compiled.kind !== 'filter') throw new Error('no filter');
    const filter = compiled.create();
    const info = testStream({ kind: 'tcp', bytesReceived: 10 });
    filter.onNewConnection(undefined as never, info); // the stream itself isn't used
    await engine.clock.advance(1_000);
    expect(prometheusText(engine.stats.all())).toMatch(/istio_tcp_received_bytes_total\{.*} 10\n/);
    filter.onComplete?.(info);
  });

  it('istio.stats: an expression that is no constant is refused', () => {
    const bytes = encoded('stats.PluginConfig', { metrics: [{ dimensions: { host: 'request.host' } }] });
    expect(() => httpIstioStats.compile(bytes, testContext(), '')).toThrow(
      'metrics.dimensions["host"]: CEL is not supported',
    );
  });

  it('peer_metadata.upstream_discovery', () => {
    const info = finished(new StatsStore());
    const bytes = encoded('io.istio.http.peer_metadata.Config', {
      upstream_discovery: [{ workload_discovery: {} }],
    });
    const filter = peerMetadata.compile(bytes, testContext(), '').create(info);
    filter?.onResponseHeaders?.(HeaderMap.response(200), true, { info } as never); // it uses nothing else
    expect(info.filterState.get('upstream_peer')).toMatchObject({ name: 'reviews', namespace: 'shop' });
  });

  it('tcp_proxy.access_log', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-telemetry-fields-'));
    const file = path.join(directory, 'log');
    const engine = testEngine();
    const { TcpProxy } = envoy.extensions.filters.network.tcp_proxy.v3;
    const bytes = encoded('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
      stat_prefix: 'x',
      cluster: 'c',
      access_log: [
        {
          name: 'file',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: file,
            log_format: { text_format: '%BYTES_SENT%\n' },
          },
        },
      ],
    });
    tcpProxyConfig(TcpProxy.decode(bytes), testContext(engine)).accessLog.log(testStream({ bytesSent: 7 }));
    await accessLogFiles(engine).close();
    expect(readFileSync(file, 'utf8')).toBe('7\n');
    rmSync(directory, { recursive: true });
  });
});
