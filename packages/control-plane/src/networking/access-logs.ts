import { envoy } from '@weft/api/envoy';
import { structOf } from '@weft/xds';
import type { AccessLogFile, AccessLogFormat } from '../ambient/access-log-settings.ts';
import { extension } from './any.ts';

type AccessLog = envoy.config.accesslog.v3.AccessLog.$Properties;
type Filter = envoy.config.accesslog.v3.AccessLogFilter.$Properties;
type Format = envoy.config.core.v3.SubstitutionFormatString.$Properties;

const { FileAccessLog } = envoy.extensions.access_loggers.file.v3;
const { Op } = envoy.config.accesslog.v3.ComparisonFilter;

/** @param filter which requests or connections are logged; all unless given */
export function accessLogs(files: readonly AccessLogFile[], filter?: Filter): AccessLog[] {
  return files.map(({ path, format }) => ({
    ...extension('envoy.access_loggers.file', FileAccessLog, { path, logFormat: formatString(format) }),
    ...(filter === undefined ? {} : { filter }),
  }));
}

export function flagged(flag: 'NR' | 'UF'): Filter {
  return { responseFlagFilter: { flags: [flag] } };
}

/** Answers of this status and above. */
export function statusFrom(status: number): Filter {
  // Envoy wants a name for the threshold, by which its runtime could override it.
  const value = { defaultValue: status, runtimeKey: 'access_log.hbone_status' };
  return { statusCodeFilter: { comparison: { op: Op.GE, value } } };
}

function formatString(format: AccessLogFormat): Format {
  switch (format.kind) {
    case 'text':
      return { textFormatSource: { inlineString: format.text } };
    case 'json':
      return { jsonFormat: structOf(Object.entries(format.fields)) };
  }
}
