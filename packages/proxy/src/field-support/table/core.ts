import type { SupportTable } from '../support.ts';

const NAMES = 'names are for the reader: what counts is the type';

/** `envoy.config.core.v3`, `envoy.type` and what else is part of many resources. */
export const core: SupportTable = {
  'envoy.config.core.v3.Node': {
    works: {
      'field-support/bootstrap-fields.test.ts':
        'id cluster metadata locality dynamic_parameters user_agent_name user_agent_version user_agent_build_version extensions client_features listening_addresses',
    },
  },
  'envoy.config.core.v3.Locality': {
    works: { 'field-support/cluster-fields.test.ts': 'region zone sub_zone' },
  },
  'envoy.config.core.v3.BuildVersion': {
    works: { 'field-support/bootstrap-fields.test.ts': 'version metadata' },
  },
  'envoy.type.v3.SemanticVersion': {
    works: { 'field-support/bootstrap-fields.test.ts': 'major_number minor_number patch' },
  },
  'envoy.config.core.v3.Extension': {
    works: {
      'field-support/bootstrap-fields.test.ts': 'name category type_descriptor version disabled type_urls',
    },
  },
  'xds.core.v3.ContextParams': { works: { 'field-support/bootstrap-fields.test.ts': 'params' } },
  'envoy.config.core.v3.Metadata': { works: { 'upstream/hbone.test.ts': 'filter_metadata' } },
  'envoy.config.core.v3.RuntimeUInt32': {
    works: { 'access-log/access-log.test.ts': 'default_value' },
    ignored: { 'the default holds: nothing sets runtime keys': 'runtime_key' },
  },
  'envoy.config.core.v3.RuntimeDouble': {
    works: { 'field-support/cluster-fields.test.ts': 'default_value' },
    ignored: { 'the default holds: nothing sets runtime keys': 'runtime_key' },
  },
  'envoy.config.core.v3.RuntimeFractionalPercent': {
    works: { 'differential.kernel.test.ts': 'default_value' },
    ignored: { 'the default holds: nothing sets runtime keys': 'runtime_key' },
  },
  'envoy.config.core.v3.HeaderValue': { works: { 'http/route/route.test.ts': 'key value raw_value' } },
  'envoy.config.core.v3.HeaderValueOption': {
    works: {
      'http/route/route.test.ts': 'header',
      'filters/small-filters.test.ts': 'append_action',
      'differential.kernel.test.ts': 'keep_empty_value',
      'field-support/route-fields.test.ts': 'append',
    },
  },
  'envoy.config.core.v3.DataSource': {
    works: {
      'http/route/route.test.ts': 'inline_string',
      'field-support/tls-fields.test.ts': 'filename inline_bytes environment_variable',
    },
  },
  'envoy.config.core.v3.TransportSocket': {
    works: {
      'upstream/hbone.test.ts': 'name',
      'upstream/config/cluster-config.test.ts': 'typed_config',
    },
  },
  'envoy.config.core.v3.EnvoyInternalAddress': {
    works: { 'upstream/hbone.test.ts': 'server_listener_name endpoint_id' },
  },
  'envoy.config.core.v3.SocketAddress': {
    works: {
      'upstream/config/cluster-config.test.ts': 'address port_value',
      'field-support/listener-fields.test.ts': 'ipv4_compat',
    },
  },
  'envoy.config.core.v3.Address': {
    works: {
      'upstream/config/cluster-config.test.ts': 'socket_address',
      'upstream/hbone.test.ts': 'envoy_internal_address',
    },
  },
  'envoy.config.core.v3.CidrRange': {
    works: { 'filters/rbac/rbac.test.ts': 'address_prefix prefix_len' },
  },
  'envoy.config.core.v3.TypedExtensionConfig': {
    works: { 'upstream/config/cluster-config.test.ts': 'typed_config' },
    ignored: { [NAMES]: 'name' },
  },
  'envoy.extensions.formatter.metadata.v3.Metadata': {},
  'envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery': {},
  'envoy.config.core.v3.BindConfig': {
    works: { 'upstream/connect/tcp.test.ts': 'source_address extra_source_addresses' },
  },
  'envoy.config.core.v3.ExtraSourceAddress': { works: { 'upstream/connect/tcp.test.ts': 'address' } },
  'envoy.config.core.v3.HttpUri': {
    works: {
      'filters/jwt-authn/jwt-authn.test.ts': 'uri cluster',
      'filters/policy.test.ts': 'timeout',
    },
  },
  'envoy.config.core.v3.SubstitutionFormatString': {
    works: {
      'filters/small-filters.test.ts': 'text_format',
      'access-log/access-log.test.ts': 'json_format',
      'waypoint-layout.test.ts': 'omit_empty_values text_format_source',
      'field-support/manager-fields.test.ts': 'content_type',
    },
    ignored: { 'the operators of these formatters are built in': 'formatters' },
  },
  'envoy.config.core.v3.SocketOption': {
    ignored: {
      'keep-alive of accepted connections is the kernel’s': 'description level name int_value state',
    },
    // SOL_SOCKET with SO_KEEPALIVE, IPPROTO_TCP with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT.
    only: { level: ['1', '6'], name: ['4', '5', '6', '9'] },
  },
  'envoy.config.core.v3.TcpKeepalive': {
    works: { 'field-support/cluster-fields.test.ts': 'keepalive_time' },
    ignored: {
      'Node sets the time alone; the kernel’s count and interval hold': 'keepalive_probes keepalive_interval',
    },
  },
  'envoy.extensions.regex_engines.v3.GoogleRE2': {},
  'envoy.type.v3.Percent': { works: { 'field-support/cluster-fields.test.ts': 'value' } },
  'envoy.type.v3.FractionalPercent': {
    works: {
      'filters/small-filters.test.ts': 'numerator',
      'field-support/route-fields.test.ts': 'denominator',
    },
  },
  'envoy.type.v3.Int64Range': { works: { 'matching/matching.test.ts': 'start end' } },
  'envoy.type.v3.Int32Range': { works: { 'filters/rbac/rbac.test.ts': 'start end' } },
  'envoy.type.v3.DoubleRange': { works: { 'matching/matching.test.ts': 'start end' } },
  'envoy.type.metadata.v3.MetadataKey': { works: { 'upstream/cluster.test.ts': 'key path' } },
  'envoy.type.metadata.v3.MetadataKey.PathSegment': { works: { 'upstream/cluster.test.ts': 'key' } },
  'envoy.type.metadata.v3.MetadataKind': {
    works: {
      'upstream/hbone.test.ts': 'host',
      'field-support/cluster-fields.test.ts': 'request route cluster',
    },
  },
  'envoy.type.metadata.v3.MetadataKind.Host': {},
  'envoy.type.metadata.v3.MetadataKind.Request': {},
  'envoy.type.metadata.v3.MetadataKind.Route': {},
  'envoy.type.metadata.v3.MetadataKind.Cluster': {},
  'xds.core.v3.TypedExtensionConfig': {
    works: { 'network/matcher-tree.test.ts': 'typed_config' },
    ignored: { [NAMES]: 'name' },
  },
  'xds.core.v3.CidrRange': { works: { 'network/matcher-tree.test.ts': 'address_prefix prefix_len' } },
};
