import type { SupportTable } from '../support.ts';

/** Where resources come from, and the bootstrap. */
export const discovery: SupportTable = {
  'envoy.config.bootstrap.v3.Bootstrap': {
    works: {
      'proxy.test.ts': 'node static_resources dynamic_resources',
      'differential.kernel.test.ts': 'admin',
      'waypoint-layout.test.ts': 'bootstrap_extensions',
      'field-support/bootstrap-fields.test.ts': 'layered_runtime',
    },
    ignored: {
      'there is no sink to flush to': 'stats_flush_interval stats_flush_on_admin',
      'every regular expression is RE2': 'default_regex_engine',
    },
  },
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources': {
    works: {
      'proxy.test.ts': 'listeners clusters',
      'field-support/resource-checks.test.ts': 'secrets',
    },
  },
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources': {
    works: { 'proxy.test.ts': 'lds_config cds_config ads_config' },
  },
  'envoy.config.bootstrap.v3.Admin': { works: { 'differential.kernel.test.ts': 'address' } },
  'envoy.config.bootstrap.v3.LayeredRuntime': {
    works: { 'field-support/bootstrap-fields.test.ts': 'layers' },
  },
  'envoy.config.bootstrap.v3.RuntimeLayer': {
    works: { 'field-support/bootstrap-fields.test.ts': 'static_layer' },
    ignored: {
      'names are for the reader': 'name',
      'the administration pages change no runtime keys': 'admin_layer',
    },
  },
  'envoy.config.core.v3.ConfigSource': {
    works: {
      'proxy.test.ts': 'ads initial_fetch_timeout',
      'waypoint-layout.test.ts': 'api_config_source',
      'field-support/resource-checks.test.ts': 'path path_config_source',
    },
    ignored: { 'there is one version': 'resource_api_version' },
    only: { resource_api_version: ['V3'] },
  },
  'envoy.config.core.v3.AggregatedConfigSource': {},
  'envoy.config.core.v3.PathConfigSource': {
    works: { 'field-support/resource-checks.test.ts': 'path watched_directory' },
  },
  'envoy.config.core.v3.WatchedDirectory': {
    works: { 'field-support/resource-checks.test.ts': 'path' },
  },
  'envoy.config.core.v3.ApiConfigSource': {
    works: { 'proxy.test.ts': 'api_type grpc_services' },
    ignored: {
      'there is one version': 'transport_api_version',
      'the node is sent with the first message of a stream only': 'set_node_on_first_message_only',
    },
    only: {
      api_type: ['GRPC', 'DELTA_GRPC', 'AGGREGATED_GRPC', 'AGGREGATED_DELTA_GRPC'],
      transport_api_version: ['V3'],
    },
  },
  'envoy.config.core.v3.GrpcService': {
    works: {
      'proxy.test.ts': 'envoy_grpc',
      'field-support/bootstrap-fields.test.ts': 'google_grpc initial_metadata',
      'filters/ext-authz/ext-authz.test.ts': 'timeout',
    },
  },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    works: { 'proxy.test.ts': 'cluster_name', 'filters/ext-authz/ext-authz.test.ts': 'authority' },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc': {
    works: { 'field-support/bootstrap-fields.test.ts': 'target_uri' },
    ignored: { 'it names statistics of Envoy’s gRPC library': 'stat_prefix' },
  },
  'envoy.extensions.bootstrap.internal_listener.v3.InternalListener': {
    works: { 'waypoint-layout.test.ts': 'buffer_size_kb' },
  },
};
