import { envoy } from '@weft/api/envoy';
import { substitution } from '../access-log/index.ts';
import type {
  FilterState,
  FilterStateSharing,
  HttpFilterFactory,
  NetworkFilterFactory,
  StreamInfo,
} from '../engine/types.ts';
import { at, invalid } from '../matching/index.ts';
import { compileMessage } from './message.ts';

type Value = envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue.$Properties;

/** Sets the values on a connection's or request's filter state, in order: later formats see earlier values. */
export type FilterStateSetter = (info: StreamInfo, target: FilterState) => void;

const SHARING: readonly FilterStateSharing[] = ['none', 'once', 'transitive'];

/** The kinds of object whose text form is all that is needed. Others are refused: their readers would not find them. */
const FACTORIES: ReadonlySet<string> = new Set([
  'envoy.string',
  'envoy.hashable_string',
  'istio.hashable_string',
  'envoy.network.upstream_server_name',
  'envoy.network.upstream_subject_alt_names',
  'envoy.network.application_protocols',
  'envoy.network.transport_socket.original_dst_address',
  'envoy.filters.listener.original_dst.local_ip',
  'envoy.filters.listener.original_dst.remote_ip',
  'envoy.upstream.dynamic_host',
  'envoy.upstream.dynamic_port',
  'envoy.tcp_proxy.cluster',
  'envoy.tcp_proxy.disable_tunneling',
  'envoy.tcp_proxy.per_connection_idle_timeout_ms',
]);

export function compileFilterStateValues(values: readonly Value[], path: string): FilterStateSetter {
  const setters = values.map((value, i) => at(`${path}[${i}]`, () => compileValue(value)));
  return (info, target) => {
    for (const set of setters) set(info, target);
  };
}

function compileValue(value: Value): FilterStateSetter {
  const key = value.objectKey ?? '';
  if (key === '') invalid('must not be empty', 'object_key');
  const factory = value.factoryKey || key;
  if (!FACTORIES.has(factory)) invalid(`no object factory "${factory}" is registered`, 'factory_key');
  const { formatString } = value;
  if (!formatString) return invalid('value is required', 'format_string');
  // Absent is empty here, not `-`: a policy on "any principal" must not be met by a dash.
  const format = at('format_string', () => substitution({ ...formatString, omitEmptyValues: true }));
  const options = {
    readOnly: value.readOnly === true,
    sharedWithUpstream: SHARING[value.sharedWithUpstream ?? 0] ?? 'none',
  };
  return (info, target) => {
    const text = format(info);
    if (text !== '' || value.skipIfEmpty !== true) target.set(key, text, options);
  };
}

export const httpSetFilterState: HttpFilterFactory = {
  name: 'envoy.filters.http.set_filter_state',
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config'],
  compile(config, context) {
    const { Config } = envoy.extensions.filters.http.set_filter_state.v3;
    const set = compileMessage(Config, config, context, ({ onRequestHeaders }) =>
      compileFilterStateValues(onRequestHeaders, 'on_request_headers'),
    );
    return {
      create: () => ({
        onRequestHeaders: (_headers, _endStream, { info }) => {
          set(info, info.filterState);
          return 'continue';
        },
      }),
    };
  },
};

export const networkSetFilterState: NetworkFilterFactory = {
  name: 'envoy.filters.network.set_filter_state',
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config'],
  compile(config, context) {
    const { Config } = envoy.extensions.filters.network.set_filter_state.v3;
    const set = compileMessage(Config, config, context, ({ onNewConnection }) =>
      compileFilterStateValues(onNewConnection, 'on_new_connection'),
    );
    return {
      kind: 'filter',
      create: () => ({
        onNewConnection: (_connection, info) => {
          set(info, info.connection.filterState);
          return 'continue';
        },
      }),
    };
  },
};
