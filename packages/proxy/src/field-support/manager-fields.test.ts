import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { testStream } from '../filters/testing/stream.ts';
import { compileManager } from '../http/manager/factory.ts';
import { buildLocalReply } from '../http/manager/local-reply.ts';
import { testContext, testEngine } from '../testing/compile.ts';
import { checkFields } from './check-fields.ts';

const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
const TYPE = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const typed = (name: string, config: object = {}) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.${name}`, ...config },
});
const router = typed('filters.http.router.v3.Router');

function compile(json: object) {
  const bytes = envoyFromJson(TYPE, { stat_prefix: 'x', route_config: {}, http_filters: [router], ...json });
  checkFields(TYPE, bytes, { resource: 'r' });
  const engine = testEngine({ node: { id: 'i', cluster: 'my-cluster', metadata: {} } });
  return compileManager(HttpConnectionManager.decode(bytes), testContext(engine)).config;
}

describe('a field of the HTTP connection manager has its effect', () => {
  it.each<[string, object, object]>([
    ['codec_type', { codec_type: 'HTTP2' }, { codecType: 'http2' }],
    ['add_user_agent', { add_user_agent: true }, { edge: { userAgent: 'my-cluster' } }],
    ['drain_timeout', { drain_timeout: '7s' }, { timeouts: { drainMs: 7_000 } }],
    ['skip_xff_append', { skip_xff_append: true }, { edge: { skipXffAppend: true } }],
    ['max_request_headers_kb', { max_request_headers_kb: 8 }, { codec: { maxHeadersKb: 8 } }],
    [
      'preserve_external_request_id',
      { preserve_external_request_id: true },
      { edge: { preserveExternalRequestId: true } },
    ],
    [
      'stream_error_on_invalid_http_message',
      { stream_error_on_invalid_http_message: true },
      { codec: { streamErrorOnInvalidMessage: true } },
    ],
    ['strip_trailing_host_dot', { strip_trailing_host_dot: true }, { stripTrailingHostDot: true }],
    ['append_x_forwarded_port', { append_x_forwarded_port: true }, { edge: { appendForwardedPort: true } }],
    [
      'set_current_client_cert_details.cert',
      { set_current_client_cert_details: { cert: true } },
      { edge: { clientCert: { cert: true } } },
    ],
    [
      'upgrade_configs.enabled',
      { upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] },
      { upgrades: new Map([['WEBSOCKET', false]]) },
    ],
    [
      'max_connection_duration',
      { common_http_protocol_options: { max_connection_duration: '3s' } },
      { timeouts: { maxConnectionMs: 3_000 } },
    ],
    [
      'header_key_format',
      { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
      { codec: { headerKeyFormat: 'proper-case' } },
    ],
    [
      'allow_chunked_length',
      { http_protocol_options: { allow_chunked_length: true, allow_absolute_url: true } },
      { codec: { allowChunkedLength: true } },
    ],
    [
      'http2_protocol_options: windows, errors and PINGs',
      {
        http2_protocol_options: {
          initial_stream_window_size: 65_535,
          initial_connection_window_size: 131_072,
          override_stream_error_on_invalid_http_message: true,
          connection_keepalive: { interval: '10s', timeout: '5s' },
        },
      },
      {
        codec: {
          initialStreamWindowBytes: 65_535,
          initialConnectionWindowBytes: 131_072,
          streamErrorOnInvalidMessage: true,
          keepalive: { intervalMs: 10_000, timeoutMs: 5_000 },
        },
      },
    ],
    [
      'http_filters.disabled',
      { http_filters: [{ ...typed('filters.http.cors.v3.Cors'), disabled: true }, router] },
      { filters: [{ name: 'filters.http.cors.v3.Cors', disabled: true }] },
    ],
    [
      'http_filters.is_optional: one that is not there is left out',
      { http_filters: [{ ...typed('filters.http.grpc_web.v3.GrpcWeb'), is_optional: true }, router] },
      { filters: [] },
    ],
    [
      'request_id_extension: UUIDs',
      {
        request_id_extension: {
          typed_config: typed('request_id.uuid.v3.UuidRequestIdConfig', { pack_trace_reason: false })
            .typed_config,
        },
      },
      { edge: { generateRequestId: true } },
    ],
  ])('%s', (_, json, expected) => {
    expect(compile(json)).toMatchObject(expected);
  });

  it('internal_address_config', () => {
    const cidr_ranges = [{ address_prefix: '10.0.0.0', prefix_len: 8 }];
    const { isInternal } = compile({ internal_address_config: { cidr_ranges } }).edge;
    expect([isInternal('10.1.2.3'), isInternal('11.1.2.3')]).toEqual([true, false]);
  });

  it('body_format_override and content_type of local replies', () => {
    const { localReply } = compile({
      local_reply_config: {
        mappers: [
          {
            filter: {
              status_code_filter: {
                comparison: { op: 'EQ', value: { default_value: 403, runtime_key: 'k' } },
              },
            },
            body_format_override: { text_format: '<b>%LOCAL_REPLY_BODY%</b>', content_type: 'text/html' },
          },
        ],
      },
    });
    const info = testStream({ responseCode: 403 });
    const reply = { status: 403, body: 'no', details: 'd' };
    const { headers, body } = buildLocalReply(reply, info, {
      grpc: false,
      head: false,
      route: undefined,
      map: localReply,
    });
    expect([headers.get('content-type'), body.toString()]).toEqual(['text/html', '<b>no</b>']);
  });
});
