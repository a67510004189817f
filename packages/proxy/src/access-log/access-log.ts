import { envoy, type google } from '@weft/api/envoy';
import type { CompileContext, Engine, StreamInfo } from '../engine/types.ts';
import { at, invalid, InvalidValue } from '../matching/index.ts';
import { compileLogFilter, type LogFilter } from './filter.ts';
import { compileFormat, compileJsonFormat } from './format.ts';
import { AccessLogFiles, type AccessLogSink } from './sink.ts';

/** Writes a line for each finished stream that its filters want. */
export interface AccessLogger {
  log(info: StreamInfo): void;
}

type AccessLog = envoy.config.accesslog.v3.AccessLog.$Properties;
type LineFormatter = (info: StreamInfo) => string;

/** What Envoy prints when no format is given. */
const DEFAULT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

const PREFIX = 'type.googleapis.com/envoy.extensions.access_loggers.';

/** Compiles a listener's, connection manager's or TCP proxy's `access_log`. */
export function compileAccessLogs(
  logs: readonly AccessLog[] | null | undefined,
  context: CompileContext,
): AccessLogger {
  const compiled = (logs ?? []).flatMap((log, i) => {
    const place = context.at(`access_log[${i}]`);
    try {
      return [compileAccessLog(log, place)];
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      return (error.path === '' ? place : place.at(error.path)).fail(error.reason);
    }
  });
  return {
    log: (info) => {
      for (const { wanted, format, sink } of compiled) if (wanted(info)) sink.write(format(info));
    },
  };
}

// One set of files for each engine; the engine's interface stays free of what only logs use.
const filesOf = new WeakMap<Engine, AccessLogFiles>();

/** The open log files of an engine: to reopen after rotation, to close at the end. */
export function accessLogFiles(engine: Engine): AccessLogFiles {
  let files = filesOf.get(engine);
  if (files === undefined) {
    files = new AccessLogFiles();
    filesOf.set(engine, files);
  }
  return files;
}

function compileAccessLog(
  log: AccessLog,
  context: CompileContext,
): { readonly wanted: LogFilter; readonly format: LineFormatter; readonly sink: AccessLogSink } {
  const { filter } = log;
  const wanted = filter
    ? at('filter', () => compileLogFilter(filter, () => context.engine.random()))
    : () => true;
  const typeUrl = log.typedConfig?.type_url ?? '';
  const bytes = log.typedConfig?.value ?? new Uint8Array();
  return at('typed_config', () => {
    const { path, format } = compileSink(typeUrl, bytes);
    return { wanted, format, sink: accessLogFiles(context.engine).open(path) };
  });
}

function compileSink(
  typeUrl: string,
  bytes: Uint8Array,
): { readonly path: string; readonly format: LineFormatter } {
  const { file, stream } = envoy.extensions.access_loggers;
  switch (typeUrl) {
    case `${PREFIX}file.v3.FileAccessLog`: {
      const config = file.v3.FileAccessLog.decode(bytes);
      if (config.path === '') invalid('must not be empty', 'path');
      return { path: config.path, format: fileFormat(config) };
    }
    case `${PREFIX}stream.v3.StdoutAccessLog`: {
      const { logFormat } = stream.v3.StdoutAccessLog.decode(bytes);
      return { path: '/dev/stdout', format: substitution(logFormat) };
    }
    case `${PREFIX}stream.v3.StderrAccessLog`: {
      const { logFormat } = stream.v3.StderrAccessLog.decode(bytes);
      return { path: '/dev/stderr', format: substitution(logFormat) };
    }
    default:
      return invalid(`no access logger is registered for "${typeUrl}"`);
  }
}

function fileFormat(config: envoy.extensions.access_loggers.file.v3.FileAccessLog): LineFormatter {
  switch (config.accessLogFormat) {
    case 'format':
      return at('format', () => compileFormat(config.format ?? ''));
    case 'jsonFormat':
      return at('json_format', () => jsonLines(config.jsonFormat ?? {}, false));
    case 'typedJsonFormat':
      return at('typed_json_format', () => jsonLines(config.typedJsonFormat ?? {}, false));
    default:
      return at('log_format', () => substitution(config.logFormat));
  }
}

/** A `SubstitutionFormatString` as text; JSON ends with a line break, text ends as it is written. */
export function substitution(
  config: envoy.config.core.v3.SubstitutionFormatString.$Properties | null | undefined,
): LineFormatter {
  if (!config) return compileFormat(DEFAULT_FORMAT);
  const omitEmptyValues = config.omitEmptyValues === true;
  switch (config.format ?? memberOf(config)) {
    case 'textFormat':
      return at('text_format', () => compileFormat(config.textFormat ?? '', { omitEmptyValues }));
    case 'jsonFormat':
      return at('json_format', () => jsonLines(config.jsonFormat ?? {}, omitEmptyValues));
    case 'textFormatSource': {
      const { inlineString, inlineBytes } = config.textFormatSource ?? {};
      const text = inlineString ?? (inlineBytes ? Buffer.from(inlineBytes).toString('utf8') : undefined);
      if (text === undefined) return invalid('only inline sources are supported', 'text_format_source');
      return at('text_format_source', () => compileFormat(text, { omitEmptyValues }));
    }
    default:
      return invalid('format is required');
  }
}

/** Which format a plain object has; the discriminator is a getter of decoded messages, which copying loses. */
function memberOf(config: envoy.config.core.v3.SubstitutionFormatString.$Properties): typeof config.format {
  const members = ['textFormat', 'jsonFormat', 'textFormatSource'] as const;
  return members.find((member) => Object.hasOwn(config, member) && config[member] !== null);
}

function jsonLines(struct: google.protobuf.Struct.$Properties, omitEmptyValues: boolean): LineFormatter {
  const format = compileJsonFormat(struct, { omitEmptyValues });
  return (info) => `${JSON.stringify(format(info))}\n`;
}
