import { hostname } from 'node:os';
import {
  formatAddress,
  type HeaderMap,
  type MetadataStruct,
  type MetadataValue,
  type SocketAddress,
  type StreamInfo,
  type StreamTimings,
  type TlsInfo,
} from '../engine/types.ts';
import { invalid, pathOf, valueAt } from '../matching/index.ts';
import type { FormatContext, FormatValue, ValueFormatter } from './format.ts';
import { grpcStatusName, grpcStatusOf } from './grpc-status.ts';
import { formatFlags, formatFlagsLong } from './response-flags.ts';
import { compileTimeFormat } from './start-time.ts';

type Headers = (info: StreamInfo, context: FormatContext) => HeaderMap | undefined;

/** Finds the operator of a name. Throws `InvalidValue` when there is none: a typo must not become a column of dashes. */
export function compileOperator(name: string, argument: string | undefined): ValueFormatter {
  const fixed = Object.hasOwn(simple, name) ? simple[name] : undefined;
  if (fixed !== undefined) {
    if (argument !== undefined && argument !== '') invalid(`%${name}% takes no argument`);
    return fixed;
  }
  const make = Object.hasOwn(withArgument, name) ? withArgument[name] : undefined;
  return make === undefined ? invalid(`%${name}% is not a known operator`) : make(argument, name);
}

const simple: Readonly<Record<string, ValueFormatter>> = {
  PROTOCOL: (i) => i.protocol,
  RESPONSE_CODE: (i) => i.responseCode ?? 0,
  // White space would split the column.
  RESPONSE_CODE_DETAILS: (i) => i.responseCodeDetails?.replace(/\s/g, '_'),
  RESPONSE_FLAGS: (i) => formatFlags(i.responseFlags),
  RESPONSE_FLAGS_LONG: (i) => formatFlagsLong(i.responseFlags),
  CONNECTION_TERMINATION_DETAILS: (i) => i.terminationDetails ?? i.connection.terminationDetails,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (i) => i.upstream?.transportFailureReason?.replace(/\s/g, '_'),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: (i) => i.connection.transportFailureReason?.replace(/\s/g, '_'),
  BYTES_RECEIVED: (i) => i.bytesReceived,
  BYTES_SENT: (i) => i.bytesSent,
  DURATION: (i) => span(i.timings.start, i.timings.end ?? performance.now()),
  REQUEST_DURATION: (i) => span(i.timings.start, i.timings.requestComplete),
  REQUEST_TX_DURATION: (i) => span(i.timings.start, i.timings.upstreamLastByteSent),
  RESPONSE_DURATION: (i) => span(i.timings.start, i.timings.upstreamFirstByteReceived),
  RESPONSE_TX_DURATION: (i) =>
    span(i.timings.upstreamFirstByteReceived, i.timings.downstreamLastByteSent ?? i.timings.end),
  ROUTE_NAME: (i) => nonEmpty(i.route?.name),
  VIRTUAL_CLUSTER_NAME: () => undefined,
  UPSTREAM_HOST: (i) => address(i.upstream?.endpoint?.address),
  UPSTREAM_HOST_NAME: (i) => nonEmpty(i.upstream?.endpoint?.hostname),
  UPSTREAM_REMOTE_ADDRESS: (i) => address(i.upstream?.endpoint?.address),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (i) => host(i.upstream?.endpoint?.address),
  UPSTREAM_REMOTE_PORT: (i) => port(i.upstream?.endpoint?.address),
  UPSTREAM_CLUSTER: (i) => i.upstream?.cluster.statName ?? nonEmpty(i.route?.clusterName),
  UPSTREAM_CLUSTER_RAW: (i) => i.upstream?.cluster.name ?? nonEmpty(i.route?.clusterName),
  UPSTREAM_LOCAL_ADDRESS: (i) => address(i.upstream?.localAddress),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (i) => host(i.upstream?.localAddress),
  UPSTREAM_LOCAL_PORT: (i) => port(i.upstream?.localAddress),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (i) => i.attemptCount,
  UPSTREAM_TLS_VERSION: (i) => i.upstream?.tls?.version,
  UPSTREAM_TLS_CIPHER: (i) => i.upstream?.tls?.cipher,
  UPSTREAM_PEER_SUBJECT: (i) => i.upstream?.tls?.subjectPeer,
  UPSTREAM_PEER_URI_SAN: (i) => list(i.upstream?.tls?.peerUriSans),
  DOWNSTREAM_LOCAL_ADDRESS: (i) => address(i.connection.localAddress),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (i) => host(i.connection.localAddress),
  DOWNSTREAM_LOCAL_PORT: (i) => port(i.connection.localAddress),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS: (i) => address(i.connection.directLocalAddress),
  DOWNSTREAM_REMOTE_ADDRESS: (i) => address(i.remoteAddress),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (i) => host(i.remoteAddress),
  DOWNSTREAM_REMOTE_PORT: (i) => port(i.remoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (i) => address(i.connection.directRemoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (i) => host(i.connection.directRemoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_PORT: (i) => port(i.connection.directRemoteAddress),
  DOWNSTREAM_PEER_URI_SAN: tls((t) => list(t.peerUriSans)),
  DOWNSTREAM_PEER_DNS_SAN: tls((t) => list(t.peerDnsSans)),
  DOWNSTREAM_PEER_SUBJECT: tls((t) => t.subjectPeer),
  DOWNSTREAM_PEER_SERIAL: tls((t) => t.peerSerial),
  DOWNSTREAM_PEER_FINGERPRINT_256: tls((t) => t.peerFingerprint),
  DOWNSTREAM_PEER_CERT: tls((t) =>
    t.peerCertificatePem === undefined ? undefined : encodeURIComponent(t.peerCertificatePem),
  ),
  DOWNSTREAM_LOCAL_URI_SAN: tls((t) => list(t.localUriSans)),
  DOWNSTREAM_LOCAL_DNS_SAN: tls((t) => list(t.localDnsSans)),
  DOWNSTREAM_LOCAL_SUBJECT: tls((t) => t.subjectLocal),
  DOWNSTREAM_TLS_VERSION: tls((t) => t.version),
  DOWNSTREAM_TLS_CIPHER: tls((t) => t.cipher),
  DOWNSTREAM_TRANSPORT_PROTOCOL: (i) => i.connection.transportProtocol,
  REQUESTED_SERVER_NAME: (i) => nonEmpty(i.connection.requestedServerName),
  STREAM_ID: (i) => i.streamId,
  CONNECTION_ID: (i) => i.connection.id,
  REQUEST_ID: (i) => i.requestId,
  HOSTNAME: () => hostname(),
  LOCAL_REPLY_BODY: (_i, context) => context.localReplyBody,
  GRPC_STATUS_NUMBER: (i) => grpcStatusOf(i),
  TRACE_ID: (i) => /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(i.requestHeaders?.get('traceparent') ?? '')?.[1],
  ACCESS_LOG_TYPE: (i) => (i.kind === 'http' ? 'DownstreamEnd' : 'TcpConnectionEnd'),
};

const requestHeaders: Headers = (i, context) => context.requestHeaders ?? i.requestHeaders;

const withArgument: Readonly<Record<string, (argument: string | undefined, name: string) => ValueFormatter>> =
  {
    START_TIME: (argument) => {
      const format = compileTimeFormat(argument);
      return (i) => format(i.startTimeMs);
    },
    REQ: (argument) => headerOperator(argument, requestHeaders),
    RESP: (argument) => headerOperator(argument, (i) => i.responseHeaders),
    TRAILER: (argument) => headerOperator(argument, (i) => i.responseTrailers),
    REQ_WITHOUT_QUERY: (argument) => {
      const value = headerOperator(argument, requestHeaders);
      return (i, context) => {
        const text = value(i, context);
        return typeof text === 'string' ? pathOf(text) : text;
      };
    },
    PATH: compilePath,
    QUERY_PARAM: (argument) => (i) => {
      const query = (i.requestHeaders?.path ?? '').split('#', 1)[0]?.split(/\?(.*)/s)[1];
      return query === undefined ? undefined : (new URLSearchParams(query).get(argument ?? '') ?? undefined);
    },
    DYNAMIC_METADATA: (argument) => metadataOperator(argument, (i) => i.dynamicMetadata),
    CLUSTER_METADATA: (argument) => metadataOperator(argument, (i) => i.upstream?.cluster.metadata),
    UPSTREAM_METADATA: (argument) => metadataOperator(argument, (i) => i.upstream?.endpoint?.metadata),
    ROUTE_METADATA: (argument) => metadataOperator(argument, (i) => i.route?.metadata),
    METADATA: (argument) => {
      const [type = '', rest = ''] = (argument ?? '').split(/:(.*)/s);
      const source = metadataSources[type];
      return source === undefined ? invalid(`"${type}" is no metadata type`) : metadataOperator(rest, source);
    },
    FILTER_STATE: compileFilterState,
    UPSTREAM_FILTER_STATE: (argument) => {
      const [key = ''] = (argument ?? '').split(':');
      return (i) => i.upstream?.filterState?.text(key);
    },
    GRPC_STATUS: (argument) => {
      const style = argument ?? 'CAMEL_STRING';
      if (style === 'NUMBER') return (i) => grpcStatusOf(i);
      if (style !== 'CAMEL_STRING' && style !== 'SNAKE_STRING')
        return invalid(`"${style}" is no gRPC status format`);
      return (i) => {
        const status = grpcStatusOf(i);
        return status === undefined
          ? undefined
          : grpcStatusName(status, style === 'CAMEL_STRING' ? 'camel' : 'snake');
      };
    },
    ENVIRONMENT: (argument) => {
      const value = process.env[argument ?? ''];
      return () => value;
    },
    COMMON_DURATION: compileCommonDuration,
  };

const metadataSources: Readonly<Record<string, MetadataSource>> = {
  DYNAMIC: (i) => i.dynamicMetadata,
  CLUSTER: (i) => i.upstream?.cluster.metadata,
  ROUTE: (i) => i.route?.metadata,
  UPSTREAM_HOST: (i) => i.upstream?.endpoint?.metadata,
  VIRTUAL_HOST: (i) => i.route?.virtualHostMetadata,
};

type MetadataSource = (info: StreamInfo) => ReadonlyMap<string, MetadataStruct> | undefined;

/** `X?Y`: the second header stands in for the first. */
function headerOperator(argument: string | undefined, headers: Headers): ValueFormatter {
  const [first = '', second] = (argument ?? '').split('?', 2);
  if (first === '') return invalid('a header name is required');
  return (info, context) => {
    const map = headers(info, context);
    return map?.get(first) ?? (second === undefined ? undefined : map?.get(second));
  };
}

/** `%PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)%`. */
function compilePath(argument: string | undefined): ValueFormatter {
  const [query = 'WQ', which = 'ORIG_OR_PATH'] = (argument ?? '').split(':').filter((part) => part !== '');
  if (!['WQ', 'NQ'].includes(query) || !['ORIG', 'PATH', 'ORIG_OR_PATH'].includes(which)) {
    return invalid(`"${argument ?? ''}" is no path selection`);
  }
  return ({ requestHeaders: headers }) => {
    const original = which === 'PATH' ? undefined : headers?.get('x-envoy-original-path');
    const path = original ?? (which === 'ORIG' ? undefined : headers?.path);
    return path !== undefined && query === 'NQ' ? pathOf(path) : path;
  };
}

/** `namespace:key:key`. */
function metadataOperator(argument: string | undefined, source: MetadataSource): ValueFormatter {
  const [namespace = '', ...path] = (argument ?? '').split(':');
  if (namespace === '') return invalid('a metadata namespace is required');
  return (info) => valueAt(source(info)?.get(namespace), path);
}

/** `key:PLAIN`, `key:TYPED` (the default), `key:FIELD:name`. */
function compileFilterState(argument: string | undefined): ValueFormatter {
  const [key = '', style = 'TYPED', field = ''] = (argument ?? '').split(':');
  if (key === '') return invalid('a filter state key is required');
  if (!['PLAIN', 'TYPED', 'FIELD'].includes(style)) return invalid(`"${style}" is no filter state format`);
  return ({ filterState }) => {
    const value = filterState.get(key);
    if (value === undefined || typeof value === 'string') return value;
    const text = JSON.stringify(value);
    if (style === 'PLAIN') return text;
    const plain = JSON.parse(text) as MetadataValue; // what JSON makes is plain data
    return style === 'FIELD' ? valueAt(plain, [field]) : plain;
  };
}

const points: Readonly<Record<string, keyof StreamTimings>> = {
  DS_RX_BEG: 'start',
  DS_RX_END: 'requestComplete',
  US_TX_BEG: 'upstreamFirstByteSent',
  US_TX_END: 'upstreamLastByteSent',
  US_RX_BEG: 'upstreamFirstByteReceived',
  US_RX_END: 'upstreamLastByteReceived',
  DS_TX_BEG: 'downstreamFirstByteSent',
  DS_TX_END: 'downstreamLastByteSent',
};

/** `start:end[:ms|us|ns]`. */
function compileCommonDuration(argument: string | undefined): ValueFormatter {
  const [from = '', to = '', unit = 'ms'] = (argument ?? '').split(':');
  const start = points[from];
  const end = points[to];
  const factor = { ms: 1, us: 1e3, ns: 1e6 }[unit];
  if (start === undefined || end === undefined || factor === undefined) {
    return invalid(`"${argument ?? ''}" is no duration`);
  }
  return ({ timings }) => span(timings[start], timings[end], factor);
}

function span(from: number | undefined, to: number | undefined, factor = 1): number | undefined {
  return from === undefined || to === undefined ? undefined : Math.max(Math.floor((to - from) * factor), 0);
}
function tls(value: (tls: TlsInfo) => FormatValue): ValueFormatter {
  return ({ connection }) => (connection.tls === undefined ? undefined : value(connection.tls));
}
function list(values: readonly string[] | undefined): string | undefined {
  return values === undefined || values.length === 0 ? undefined : values.join(',');
}
function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
function address(a: SocketAddress | undefined): string | undefined {
  return a === undefined ? undefined : formatAddress(a);
}
function host(a: SocketAddress | undefined): string | undefined {
  return a?.kind === 'ip' ? a.ip : address(a);
}
function port(a: SocketAddress | undefined): number | undefined {
  return a?.kind === 'ip' ? a.port : undefined;
}
