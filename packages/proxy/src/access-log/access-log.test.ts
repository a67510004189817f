import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { envoy, google } from '@weft/api/envoy';
import { HeaderMap, type StreamInfo } from '../engine/types.ts';
import { testConnection, testContext, testEngine, testStream, testTls } from '../filters/testing/stream.ts';
import { accessLogFiles, compileAccessLogs } from './access-log.ts';
import { compileLogFilter } from './filter.ts';
import { compileFormat, compileJsonFormat } from './format.ts';
import { AccessLogFiles } from './sink.ts';

function finished(parts: Partial<StreamInfo> = {}): StreamInfo {
  const info = testStream({
    requestHeaders: HeaderMap.request({
      method: 'GET',
      path: '/a?b=c',
      authority: 'shop.test',
      fields: [
        ['user-agent', 'curl'],
        ['x-forwarded-for', '1.2.3.4'],
        ['x-two', 'a'],
        ['x-two', 'b'],
      ],
    }),
    responseHeaders: HeaderMap.response(200, { 'x-envoy-upstream-service-time': '7' }),
    responseCode: 200,
    responseCodeDetails: 'via_upstream',
    bytesReceived: 3,
    bytesSent: 4,
    timings: {
      start: 100,
      requestComplete: 101,
      upstreamFirstByteReceived: 110.9,
      downstreamLastByteSent: 115,
      end: 120,
    },
    requestId: 'r-1',
    ...parts,
  });
  info.dynamicMetadata.set('ns', { a: { b: 1 }, s: 'text' });
  info.filterState.set('key', 'value');
  info.filterState.set('object', { field: 'x' });
  return info;
}

describe('operators', () => {
  const tls = testTls({ peerUriSans: ['spiffe://a', 'spiffe://b'], sni: 's', version: 'TLSv1.3' });
  // Not it.each: it would take the operators for placeholders of its titles.
  const cases: readonly (readonly [string, string, Partial<StreamInfo>?])[] = [
    ['%START_TIME%', '2026-01-02T03:04:05.678Z'],
    ['%START_TIME(%Y/%m/%d %H:%M:%S.%3f)%', '2026/01/02 03:04:05.678'],
    ['%START_TIME(%s)%', '1767323045'],
    ['%START_TIME(%FT%T%z %b %e %j)%', '2026-01-02T03:04:05+0000 Jan  2 002'],
    ['%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%', 'GET /a?b=c HTTP/1.1'],
    ['%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/a?b=c'],
    ['%REQ(:PATH):2%', '/a'],
    ['%REQ_WITHOUT_QUERY(:PATH)%', '/a'],
    ['%PATH(NQ)%', '/a'],
    ['%QUERY_PARAM(b)%', 'c'],
    ['%REQ(missing)%', '-'],
    ['%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%', '7'],
    ['%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%', '200 via_upstream'],
    ['%RESPONSE_CODE_DETAILS%', 'a_b', { responseCodeDetails: 'a b' }],
    ['%RESPONSE_FLAGS%', '-'],
    ['%RESPONSE_FLAGS%', 'UF,URX', { responseFlags: new Set(['URX', 'UF'] as const) }],
    ['%RESPONSE_FLAGS_LONG%', 'NoRouteFound', { responseFlags: new Set(['NR'] as const) }],
    ['%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %REQUEST_DURATION% %RESPONSE_DURATION%', '3 4 20 1 10'],
    ['%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%', '10900'],
    ['%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%', '10.0.0.1:5555 10.0.0.9'],
    [
      '%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION%',
      'spiffe://a,spiffe://b TLSv1.3',
      { connection: testConnection({ tls }) },
    ],
    ['%DOWNSTREAM_PEER_URI_SAN%', '-'],
    ['%UPSTREAM_HOST% %UPSTREAM_CLUSTER_RAW% %ROUTE_NAME%', '- - -'],
    ['%DYNAMIC_METADATA(ns:a:b)% %DYNAMIC_METADATA(ns:a)% %DYNAMIC_METADATA(no)%', '1 {"b":1} -'],
    ['%METADATA(DYNAMIC:ns:s)%', 'text'],
    [
      '%FILTER_STATE(key:PLAIN)% %FILTER_STATE(object:FIELD:field)% %FILTER_STATE(object)% %FILTER_STATE(no)%',
      'value x {"field":"x"} -',
    ],
    ['100%% of %STREAM_ID%', '100% of stream-1'],
    ['', ''],
  ];
  for (const [format, expected, parts] of cases) {
    it(`prints ${format}`, () => {
      expect(compileFormat(format)(finished(parts))).toBe(expected);
    });
  }

  it('gives the gRPC status of trailers or of headers alone', () => {
    const grpc = (parts: Partial<StreamInfo>) =>
      finished({
        requestHeaders: HeaderMap.request({ method: 'POST', fields: [['content-type', 'application/grpc']] }),
        ...parts,
      });
    const format = compileFormat('%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%');
    const trailers = new HeaderMap(['grpc-status', '4']);
    expect(format(grpc({ responseTrailers: trailers }))).toBe('DeadlineExceeded DEADLINE_EXCEEDED 4');
    expect(format(grpc({ responseHeaders: new HeaderMap(['grpc-status', '0']) }))).toBe('OK OK 0');
    expect(format(finished({ responseTrailers: trailers }))).toBe('- - -');
  });

  for (const format of [
    '%NOPE%',
    '%REQ()%',
    '%REQ%',
    '% x',
    '%req(a)%',
    '%START_TIME',
    '%PROTOCOL(x)%',
    '%FILTER_STATE(a:b)%',
    '%COMMON_DURATION(a:b)%',
    '%METADATA(x:y)%',
  ]) {
    it(`refuses ${format}`, () => {
      expect(() => compileFormat(format)).toThrow();
    });
  }

  it('copies text without operators', () => {
    fc.assert(
      fc.property(
        fc.string().filter((s) => !s.includes('%')),
        (text) => {
          expect(compileFormat(text)(finished())).toBe(text);
        },
      ),
    );
  });
});

describe('JSON', () => {
  const struct = (fields: Record<string, google.protobuf.Value.$Properties>) =>
    google.protobuf.Struct.decode(google.protobuf.Struct.encode({ fields }).finish());

  it('keeps types, nests, sorts keys and says null', () => {
    const format = compileJsonFormat(
      struct({
        b: { stringValue: '%RESPONSE_CODE%' },
        a: { stringValue: '%PROTOCOL% %RESPONSE_CODE%' },
        none: { stringValue: '%ROUTE_NAME%' },
        nested: { structValue: { fields: { x: { stringValue: '%BYTES_SENT%' }, n: { numberValue: 1 } } } },
      }),
    );
    expect(JSON.stringify(format(finished()))).toBe(
      '{"a":"HTTP/1.1 200","b":200,"nested":{"n":1,"x":4},"none":null}',
    );
  });

  it('leaves out what is absent when told to', () => {
    const format = compileJsonFormat(struct({ none: { stringValue: '%ROUTE_NAME%' } }), {
      omitEmptyValues: true,
    });
    expect(format(finished())).toEqual({});
  });
});

describe('filters', () => {
  const { AccessLogFilter, ComparisonFilter } = envoy.config.accesslog.v3;
  type Filter = envoy.config.accesslog.v3.AccessLogFilter.$Properties;
  const wants = (filter: Filter, info: StreamInfo) =>
    compileLogFilter(AccessLogFilter.decode(AccessLogFilter.encode(filter).finish()), () => 0.5)(info);
  const status = (op: envoy.config.accesslog.v3.ComparisonFilter.Op, defaultValue: number): Filter => ({
    statusCodeFilter: { comparison: { op, value: { defaultValue, runtimeKey: 'x' } } },
  });
  const { GE, LE, EQ } = ComparisonFilter.Op;

  it.each<[string, Filter, boolean]>([
    ['status at least', status(GE, 200), true],
    ['status at most', status(LE, 199), false],
    ['status equal', status(EQ, 200), true],
    [
      'duration',
      { durationFilter: { comparison: { op: GE, value: { defaultValue: 21, runtimeKey: 'x' } } } },
      false,
    ],
    ['any flag', { responseFlagFilter: {} }, true],
    ['that flag', { responseFlagFilter: { flags: ['NR'] } }, true],
    ['another flag', { responseFlagFilter: { flags: ['UF'] } }, false],
    ['all of', { andFilter: { filters: [status(GE, 200), status(GE, 500)] } }, false],
    ['any of', { orFilter: { filters: [status(GE, 200), status(GE, 500)] } }, true],
    ['header', { headerFilter: { header: { name: 'user-agent', stringMatch: { exact: 'curl' } } } }, true],
    ['half of them', { runtimeFilter: { runtimeKey: 'x', percentSampled: { numerator: 51 } } }, true],
    [
      'metadata that is absent',
      {
        metadataFilter: {
          matchIfKeyNotFound: { value: false },
          matcher: { filter: 'zz', path: [{ key: 'a' }], value: { presentMatch: true } },
        },
      },
      false,
    ],
  ])('%s', (_name, filter, expected) => {
    expect(wants(filter, finished({ responseFlags: new Set(['NR'] as const) }))).toBe(expected);
  });

  it('refuses a flag that is none', () => {
    expect(() => wants({ responseFlagFilter: { flags: ['XX'] } }, finished())).toThrow(
      /response_flag_filter/,
    );
  });
});

describe('loggers', () => {
  const { FileAccessLog } = envoy.extensions.access_loggers.file.v3;
  const log = (config: envoy.extensions.access_loggers.file.v3.FileAccessLog.$Properties) => ({
    name: 'file',
    typedConfig: { type_url: FileAccessLog.getTypeUrl(), value: FileAccessLog.encode(config).finish() },
  });

  it('write a line for each stream, two of one path to one file', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-access-log-'));
    const file = path.join(directory, 'access.log');
    const engine = testEngine();
    const logs = compileAccessLogs(
      [
        log({ path: file, logFormat: { textFormat: '%RESPONSE_CODE%\n' } }),
        log({ path: file, logFormat: { jsonFormat: { fields: { c: { stringValue: '%RESPONSE_CODE%' } } } } }),
      ],
      testContext(engine),
    );
    logs.log(finished());
    await accessLogFiles(engine).close();
    expect(readFileSync(file, 'utf8')).toBe('200\n{"c":200}\n');
    rmSync(directory, { recursive: true });
  });

  it('go on in a new file after rotation', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-access-log-'));
    const file = path.join(directory, 'access.log');
    const files = new AccessLogFiles();
    const sink = files.open(file);
    const until = async (text: string, where: string) => {
      for (let i = 0; i < 200 && !existing(where).includes(text); i++) {
        await new Promise((resolve) => {
          setTimeout(resolve, 5);
        });
      }
    };
    sink.write('one\n');
    await until('one', file);
    renameSync(file, `${file}.1`);
    files.reopen();
    sink.write('two\n');
    await until('two', file);
    await files.close();
    expect([existing(`${file}.1`), existing(file)]).toEqual(['one\n', 'two\n']);
    rmSync(directory, { recursive: true });
  });

  it('survive a file that cannot be opened', async () => {
    const files = new AccessLogFiles();
    const sink = files.open('/proc/nowhere/access.log');
    sink.write('x\n');
    for (let i = 0; i < 200 && sink.dropped === 0; i++) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
    expect(sink.dropped).toBe(1);
    await files.close();
  });

  it.each([
    [
      'an unknown logger',
      { typedConfig: { type_url: 'type.googleapis.com/x.Y', value: new Uint8Array() } },
      'test: access_log[0].typed_config: no access logger is registered for "type.googleapis.com/x.Y"',
    ],
    [
      'an unknown operator',
      log({ path: 'x', format: '%X%' }),
      'test: access_log[0].typed_config.format: %X% is not a known operator',
    ],
  ])('refuse %s', (_name, config, message) => {
    expect(() => compileAccessLogs([config], testContext())).toThrow(message);
  });
});

function existing(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
