import { Fields, list, record, text, wrong } from './config-fields.ts';

/** A file to which waypoints log requests and connections, and what a line looks like. */
export interface AccessLogFile {
  readonly path: string;
  readonly format: AccessLogFormat;
}

export type AccessLogFormat =
  | { readonly kind: 'text'; readonly text: string }
  /** Values are formats, or objects of formats. */
  | { readonly kind: 'json'; readonly fields: Readonly<Record<string, unknown>> };

const STDOUT = '/dev/stdout';
/** The provider that needs not be declared. */
const BUILT_IN = 'envoy';

/**
 * `defaultProviders.accessLogging` if it says anything, else `accessLogFile`.
 * @throws with the path of what is wrong
 */
export function parseAccessLogs(fields: Fields): readonly AccessLogFile[] {
  const own = meshFormat(fields);
  const path = fields.maybeEmpty('accessLogFile');
  const names = accessLogProviders(fields);
  if (names.length === 0) return path === '' ? [] : [{ path, format: own }];
  const files = fileProviders(fields, own);
  return names.flatMap((name) => files.get(name) ?? []);
}

/** Providers that are meant to log, but to no file. */
export function unsupportedLogProviders(fields: Fields): string[] {
  const files = fileProviders(fields, meshFormat(fields));
  return accessLogProviders(fields).filter((name) => !files.has(name));
}

function accessLogProviders(fields: Fields): string[] {
  const defaults = new Fields(fields.value('defaultProviders') ?? {}, 'defaultProviders');
  const path = defaults.at('accessLogging');
  return list(defaults.value('accessLogging') ?? [], path).map((name) => text(name, path));
}

function meshFormat(fields: Fields): AccessLogFormat {
  const written = fields.maybeEmpty('accessLogFormat');
  if (fields.oneOf('accessLogEncoding', ['TEXT', 'JSON']) === 'TEXT') return textFormat(written);
  if (written === '') return defaultJson;
  try {
    return { kind: 'json', fields: record(JSON.parse(written), 'accessLogFormat') };
  } catch {
    throw wrong('accessLogFormat', 'is not an object in JSON, as accessLogEncoding says');
  }
}

function fileProviders(fields: Fields, own: AccessLogFormat): Map<string, AccessLogFile> {
  const files = new Map<string, AccessLogFile>([[BUILT_IN, { path: STDOUT, format: own }]]);
  for (const [i, entry] of list(fields.value('extensionProviders') ?? [], 'extensionProviders').entries()) {
    const provider = new Fields(entry, `extensionProviders[${i}]`);
    const file = provider.value('envoyFileAccessLog');
    if (file === undefined) continue;
    const name = text(provider.value('name'), provider.at('name'));
    files.set(
      name,
      fileProvider(new Fields(file, provider.at('envoyFileAccessLog')), name === BUILT_IN ? own : undefined),
    );
  }
  return files;
}

function fileProvider(fields: Fields, own: AccessLogFormat = textFormat('')): AccessLogFile {
  const path = fields.maybeEmpty('path') || STDOUT;
  const written = fields.value('logFormat');
  if (written === undefined) return { path, format: own };
  const format = new Fields(written, fields.at('logFormat'));
  const labels = format.value('labels');
  if (labels === undefined) return { path, format: textFormat(format.maybeEmpty('text')) };
  const names = record(labels, format.at('labels'));
  return { path, format: Object.keys(names).length === 0 ? defaultJson : { kind: 'json', fields: names } };
}

function textFormat(written: string): AccessLogFormat {
  if (written === '') return { kind: 'text', text: DEFAULT_TEXT };
  return { kind: 'text', text: written.endsWith('\n') ? written : `${written}\n` };
}

/** Istio's default line, which log parsers know. */
const DEFAULT_TEXT = `${[
  '[%START_TIME%]',
  '"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"',
  '%RESPONSE_CODE%',
  '%RESPONSE_FLAGS%',
  '%RESPONSE_CODE_DETAILS%',
  '%CONNECTION_TERMINATION_DETAILS%',
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"',
  '%BYTES_RECEIVED%',
  '%BYTES_SENT%',
  '%DURATION%',
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  '"%REQ(X-FORWARDED-FOR)%"',
  '"%REQ(USER-AGENT)%"',
  '"%REQ(X-REQUEST-ID)%"',
  '"%REQ(:AUTHORITY)%"',
  '"%UPSTREAM_HOST%"',
  '%UPSTREAM_CLUSTER_RAW%',
  '%UPSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_REMOTE_ADDRESS%',
  '%REQUESTED_SERVER_NAME%',
  '%ROUTE_NAME%',
].join(' ')}\n`;

const defaultJson: AccessLogFormat = {
  kind: 'json',
  fields: {
    start_time: '%START_TIME%',
    route_name: '%ROUTE_NAME%',
    method: '%REQ(:METHOD)%',
    path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
    protocol: '%PROTOCOL%',
    response_code: '%RESPONSE_CODE%',
    response_flags: '%RESPONSE_FLAGS%',
    response_code_details: '%RESPONSE_CODE_DETAILS%',
    connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
    upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
    bytes_received: '%BYTES_RECEIVED%',
    bytes_sent: '%BYTES_SENT%',
    duration: '%DURATION%',
    upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
    x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
    user_agent: '%REQ(USER-AGENT)%',
    request_id: '%REQ(X-REQUEST-ID)%',
    authority: '%REQ(:AUTHORITY)%',
    upstream_host: '%UPSTREAM_HOST%',
    upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
    upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
    downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
    downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
    requested_server_name: '%REQUESTED_SERVER_NAME%',
  },
};
