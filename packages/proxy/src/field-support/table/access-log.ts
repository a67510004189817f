import type { SupportTable } from '../support.ts';

const FIELDS = 'field-support/filter-fields.test.ts';
const LOG = 'access-log/access-log.test.ts';

/** Access logs. */
export const accessLog: SupportTable = {
  'envoy.config.accesslog.v3.AccessLog': {
    works: { 'filters/policy.test.ts': 'typed_config', [FIELDS]: 'filter' },
    ignored: { 'names are for the reader: what counts is the type': 'name' },
  },
  'envoy.config.accesslog.v3.AccessLogFilter': {
    works: {
      [LOG]: `status_code_filter duration_filter runtime_filter and_filter or_filter header_filter
        response_flag_filter metadata_filter`,
      [FIELDS]: 'not_health_check_filter grpc_status_filter',
    },
  },
  'envoy.config.accesslog.v3.ComparisonFilter': { works: { [LOG]: 'op value' } },
  'envoy.config.accesslog.v3.StatusCodeFilter': { works: { [LOG]: 'comparison' } },
  'envoy.config.accesslog.v3.DurationFilter': { works: { [LOG]: 'comparison' } },
  'envoy.config.accesslog.v3.NotHealthCheckFilter': {},
  'envoy.config.accesslog.v3.RuntimeFilter': {
    works: { [LOG]: 'percent_sampled' },
    ignored: {
      'the default holds: nothing sets runtime keys': 'runtime_key',
      'every line is drawn for itself': 'use_independent_randomness',
    },
  },
  'envoy.config.accesslog.v3.AndFilter': { works: { [LOG]: 'filters' } },
  'envoy.config.accesslog.v3.OrFilter': { works: { [LOG]: 'filters' } },
  'envoy.config.accesslog.v3.HeaderFilter': { works: { [LOG]: 'header' } },
  'envoy.config.accesslog.v3.ResponseFlagFilter': { works: { [LOG]: 'flags' } },
  'envoy.config.accesslog.v3.GrpcStatusFilter': { works: { [FIELDS]: 'statuses exclude' } },
  'envoy.config.accesslog.v3.MetadataFilter': { works: { [LOG]: 'matcher match_if_key_not_found' } },
  'envoy.extensions.access_loggers.file.v3.FileAccessLog': {
    works: { [LOG]: 'path format log_format', [FIELDS]: 'json_format typed_json_format' },
  },
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': { works: { [FIELDS]: 'log_format' } },
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': { works: { [FIELDS]: 'log_format' } },
};
