import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { type AccessLogFormat, parseAccessLogs } from './access-log-settings.ts';
import { Fields } from './config-fields.ts';
import { defaultMesh, meshConfigReport } from './mesh.ts';

const parsed = (text: string) => parseAccessLogs(new Fields(parse(text) ?? {}, ''));
const format = (text: string): AccessLogFormat | undefined => parsed(text)[0]?.format;
const providers = `
extensionProviders:
  - { name: plain, envoyFileAccessLog: { path: /var/log/plain, logFormat: { text: "%PROTOCOL%" } } }
  - { name: labels, envoyFileAccessLog: { logFormat: { labels: { code: "%RESPONSE_CODE%" } } } }
  - { name: default, envoyFileAccessLog: {} }
  - { name: otel, envoyOtelAls: { service: otel.example.com, port: 4317 } }
`;

describe('access logs of waypoints', () => {
  it('are none unless a file or a provider is named', () => {
    expect(parsed('')).toEqual([]);
    expect(parsed(`accessLogFile: ""${providers}`)).toEqual([]);
  });

  it('are of Istio’s default format, in text or JSON', () => {
    const text = format('accessLogFile: /dev/stdout');
    expect(text).toEqual({
      kind: 'text',
      text: '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n',
    });
    const json = format('{ accessLogFile: /dev/stdout, accessLogEncoding: JSON }');
    expect(json?.kind === 'json' && Object.keys(json.fields)).toHaveLength(24);
  });

  it('are of the format that is written, which ends its lines', () => {
    const text = { kind: 'text', text: '%PROTOCOL%\n' };
    expect(format('{ accessLogFile: /dev/stdout, accessLogFormat: "%PROTOCOL%" }')).toEqual(text);
    expect(format('{ accessLogFile: /dev/stdout, accessLogFormat: "%PROTOCOL%\\n" }')).toEqual(text);
    expect(
      format(`{ accessLogFile: /log, accessLogEncoding: JSON, accessLogFormat: '{"a":{"b":"%PROTOCOL%"}}' }`),
    ).toEqual({ kind: 'json', fields: { a: { b: '%PROTOCOL%' } } });
  });

  it('are those of the default providers where any is named, the built-in one in the format of the mesh', () => {
    const names = 'defaultProviders: { accessLogging: [plain, labels, default, envoy, otel] }';
    const text = `${names}\naccessLogFile: /ignored\naccessLogFormat: mine${providers}`;
    expect(parsed(text)).toEqual([
      { path: '/var/log/plain', format: { kind: 'text', text: '%PROTOCOL%\n' } },
      { path: '/dev/stdout', format: { kind: 'json', fields: { code: '%RESPONSE_CODE%' } } },
      { path: '/dev/stdout', format: { kind: 'text', text: expect.stringContaining('[%START_TIME%]') } },
      { path: '/dev/stdout', format: { kind: 'text', text: 'mine\n' } },
    ]);
    const defaults = defaultMesh({ trustDomain: 'cluster.local', rootNamespace: 'istio-system' });
    expect(meshConfigReport(text, defaults).notices).toEqual([
      'defaultProviders.accessLogging: otel has no effect: it is no provider that logs to a file',
    ]);
  });

  it.each([
    ['accessLogEncoding: XML', 'accessLogEncoding is none of TEXT, JSON'],
    [
      '{ accessLogEncoding: JSON, accessLogFormat: "%PROTOCOL%" }',
      'accessLogFormat is not an object in JSON',
    ],
    ['{ accessLogEncoding: JSON, accessLogFormat: "[]" }', 'accessLogFormat is not an object in JSON'],
    ['accessLogFile: 1', 'accessLogFile is not a text'],
    ['defaultProviders: { accessLogging: envoy }', 'defaultProviders.accessLogging is not a list'],
  ])('are refused where they say %s', (text, message) => {
    expect(() => parsed(text)).toThrow(message);
  });
});
