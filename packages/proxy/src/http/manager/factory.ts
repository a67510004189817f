import { envoy } from '@weft/api/envoy';
import { compileAccessLogs } from '../../access-log/index.ts';
import { typedConfig } from '../../config/typed-config.ts';
import type {
  CompileContext,
  CompiledHttpFilter,
  HttpFilterFactory,
  NetworkFilterFactory,
} from '../../engine/types.ts';
import { compileMessage, durationMs } from '../../filters/message.ts';
import { at, compileCidr, invalid } from '../../matching/index.ts';
import type { HttpCodecOptions } from '../codec.ts';
import { compileHeaderKeyFormat } from '../http1/header-key-format.ts';
import type { RouterOptions } from '../router/router-host.ts';
import { shortType } from '../route/filter-configs.ts';
import { compileRouteTable, decodeRouteTable, type RouteTable } from '../route/route-table.ts';
import type { ManagerConfig, NamedFilter } from './config.ts';
import { ManagedConnection } from './connection.ts';
import type { ClientCertMode, EdgeOptions } from './edge-headers.ts';
import { compileLocalReplyMapper } from './local-reply.ts';
import type { PathOptions } from './path-normalization.ts';
import { ManagerStats } from './stats.ts';

const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
type Config = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager;

const DEFAULT_IDLE_MS = 3_600_000;
const DEFAULT_STREAM_IDLE_MS = 300_000;
const DEFAULT_DRAIN_MS = 5_000;
const DEFAULT_BUFFER_LIMIT_BYTES = 1024 * 1024;
const ROUTER_TYPE = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

/** The router, which only the connection manager knows how to run. */
class RouterFilter implements CompiledHttpFilter {
  readonly options: RouterOptions;

  constructor(options: RouterOptions) {
    this.options = options;
  }

  create(): undefined {
    return undefined;
  }
}

export const router: HttpFilterFactory = {
  name: 'envoy.filters.http.router',
  typeUrls: [ROUTER_TYPE],
  compile: (bytes, context) =>
    compileMessage(
      envoy.extensions.filters.http.router.v3.Router,
      bytes,
      context,
      (config) => new RouterFilter({ suppressEnvoyHeaders: config.suppressEnvoyHeaders }),
    ),
};

export const httpConnectionManager: NetworkFilterFactory = {
  name: 'envoy.filters.network.http_connection_manager',
  typeUrls: [
    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  ],
  compile(bytes, context) {
    const { config, close } = compileMessage(HttpConnectionManager, bytes, context, (message) =>
      compileManager(message, context),
    );
    return {
      kind: 'terminal',
      accept: (connection, info, done) => void new ManagedConnection(config, connection, info, done),
      close,
    };
  },
};

/** @throws InvalidValue, ConfigError */
export function compileManager(
  message: Config,
  context: CompileContext,
): { readonly config: ManagerConfig; readonly close: () => void } {
  const { engine, listener } = context;
  const statPrefix = `http.${message.statPrefix}`;
  const { filters, router } = compileFilters(message, { ...context, statPrefix });
  const routes = compileRoutes(message, context);
  const common = message.commonHttpProtocolOptions ?? {};
  const bufferLimitBytes = listener?.bufferLimitBytes ?? DEFAULT_BUFFER_LIMIT_BYTES;
  const config: ManagerConfig = {
    engine,
    listener,
    stats: new ManagerStats(engine.stats.scope(statPrefix)),
    codecType: codecType(message),
    codec: codecOptions(message, bufferLimitBytes),
    filters,
    router,
    routes: routes.current,
    accessLog: compileAccessLogs(message.accessLog, context),
    edge: edgeOptions(message, context),
    path: pathOptions(message, context),
    stripPort:
      message.stripAnyHostPort === true ? 'any' : message.stripMatchingHostPort ? 'matching' : 'none',
    stripTrailingHostDot: message.stripTrailingHostDot,
    proxy100Continue: message.proxy_100Continue,
    upgrades: new Map(
      (message.upgradeConfigs ?? []).map((upgrade) => [
        (upgrade.upgradeType ?? '').toUpperCase(),
        upgrade.enabled?.value !== false,
      ]),
    ),
    localReply: at('local_reply_config', () =>
      compileLocalReplyMapper(message.localReplyConfig, () => engine.random()),
    ),
    serverName: message.serverName || 'envoy',
    serverHeader:
      (['overwrite', 'append-if-absent', 'pass-through'] as const)[message.serverHeaderTransformation] ??
      'overwrite',
    requestIdInResponse: message.alwaysSetRequestIdInResponse,
    bufferLimitBytes,
    timeouts: {
      idleMs: durationMs(common.idleTimeout) ?? DEFAULT_IDLE_MS,
      streamIdleMs: durationMs(message.streamIdleTimeout) ?? DEFAULT_STREAM_IDLE_MS,
      requestMs: durationMs(message.requestTimeout) ?? 0,
      requestHeadersMs: durationMs(message.requestHeadersTimeout) ?? 0,
      maxConnectionMs: durationMs(common.maxConnectionDuration) ?? 0,
      maxStreamMs: durationMs(common.maxStreamDuration) ?? 0,
      drainMs: durationMs(message.drainTimeout) ?? DEFAULT_DRAIN_MS,
    },
    maxRequestsPerConnection: common.maxRequestsPerConnection?.value ?? 0,
  };
  return {
    config,
    close: () => {
      routes.close();
      for (const { filter } of filters) filter.close?.();
    },
  };
}

function compileFilters(
  message: Config,
  context: CompileContext,
): { readonly filters: NamedFilter[]; readonly router: RouterOptions } {
  const filters: NamedFilter[] = [];
  const all = message.httpFilters ?? [];
  for (const [i, entry] of all.entries()) {
    const name = entry.name ?? '';
    const place = { ...context.at(`http_filters[${i}]`), filterName: name, ...statPrefixOf(context) };
    const config = typedConfig(entry.typedConfig, place);
    if (config === undefined) return place.fail('typed_config is required');
    const factory = config.typeUrl === ROUTER_TYPE ? router : context.engine.httpFilter(config.typeUrl);
    if (factory === undefined) {
      if (entry.isOptional === true) continue;
      return place.fail(
        `Didn't find a registered implementation for '${name}' with type URL: '${shortType(config.typeUrl)}'`,
      );
    }
    const filter = factory.compile(config.value, place, config.typeUrl);
    const last = i === all.length - 1;
    if (filter instanceof RouterFilter) {
      if (!last) return place.fail('a terminal filter must be the last one');
      return { filters, router: filter.options };
    }
    filters.push({ name, filter, disabled: entry.disabled === true });
  }
  return invalid('the last filter must be envoy.filters.http.router', 'http_filters');
}

function statPrefixOf(context: CompileContext): { readonly statPrefix?: string } {
  return context.statPrefix === undefined ? {} : { statPrefix: context.statPrefix };
}

function compileRoutes(
  message: Config,
  context: CompileContext,
): { readonly current: () => RouteTable | undefined; readonly close: () => void } {
  switch (message.routeSpecifier) {
    case 'routeConfig': {
      const table = compileRouteTable(message.routeConfig ?? {}, context.at('route_config'));
      return { current: () => table, close: () => undefined };
    }
    case 'rds': {
      const { routeConfigName = '', configSource } = message.rds ?? {};
      let table: RouteTable | undefined;
      const warm = context.warmUp(`route configuration "${routeConfigName}"`);
      const place = context.at('rds');
      const close = context.engine.routes.watch({
        name: routeConfigName ?? '',
        configSource: envoy.config.core.v3.ConfigSource.encode(configSource ?? {}).finish(),
        check: (bytes) => void decodeRouteTable(bytes, place),
        onChange: (bytes) => {
          table = decodeRouteTable(bytes, place);
          warm();
        },
        onMissing: () => warm(),
      });
      return { current: () => table, close };
    }
    default:
      return invalid('route_config or rds is required');
  }
}

function codecType(message: Config): ManagerConfig['codecType'] {
  const { CodecType } = HttpConnectionManager;
  switch (message.codecType) {
    case CodecType.HTTP1:
      return 'http1';
    case CodecType.HTTP2:
      return 'http2';
    case CodecType.HTTP3:
      return invalid('HTTP/3 is not supported', 'codec_type');
    default:
      return 'auto';
  }
}

function codecOptions(message: Config, bufferLimitBytes: number): HttpCodecOptions {
  const http1 = message.httpProtocolOptions ?? {};
  const http2 = message.http2ProtocolOptions ?? {};
  const common = message.commonHttpProtocolOptions ?? {};
  const keepalive = http2.connectionKeepalive;
  const intervalMs = durationMs(keepalive?.interval);
  const streamWindow = http2.initialStreamWindowSize?.value;
  const connectionWindow = http2.initialConnectionWindowSize?.value;
  const maxStreams = http2.maxConcurrentStreams?.value;
  return {
    maxHeadersKb: message.maxRequestHeadersKb?.value ?? 60,
    maxHeaders: common.maxHeadersCount?.value ?? 100,
    bufferLimitBytes,
    acceptHttp10: http1.acceptHttp_10 === true,
    ...(http1.defaultHostForHttp_10 ? { defaultHostForHttp10: http1.defaultHostForHttp_10 } : {}),
    headerKeyFormat: at('http_protocol_options.header_key_format', () =>
      compileHeaderKeyFormat(http1.headerKeyFormat),
    ),
    enableTrailers: http1.enableTrailers === true,
    allowChunkedLength: http1.allowChunkedLength === true,
    underscores:
      (['allow', 'reject-request', 'drop-header'] as const)[common.headersWithUnderscoresAction ?? 0] ??
      'allow',
    allowConnect: http2.allowConnect === true,
    ...(maxStreams ? { maxConcurrentStreams: maxStreams } : {}),
    ...(streamWindow ? { initialStreamWindowBytes: streamWindow } : {}),
    ...(connectionWindow ? { initialConnectionWindowBytes: connectionWindow } : {}),
    streamErrorOnInvalidMessage:
      http2.overrideStreamErrorOnInvalidHttpMessage?.value ??
      message.streamErrorOnInvalidHttpMessage?.value ??
      false,
    ...(intervalMs === undefined || intervalMs === 0
      ? {}
      : { keepalive: { intervalMs, timeoutMs: durationMs(keepalive?.timeout) ?? 20_000 } }),
  };
}

const certModes: readonly ClientCertMode[] = [
  'sanitize',
  'forward-only',
  'append-forward',
  'sanitize-set',
  'always-forward-only',
];

function edgeOptions(message: Config, context: CompileContext): EdgeOptions {
  const internal = (message.internalAddressConfig?.cidrRanges ?? []).map((range, i) =>
    at(`internal_address_config.cidr_ranges[${i}]`, () =>
      compileCidr({ addressPrefix: range.addressPrefix ?? '', prefixLen: range.prefixLen ?? null }),
    ),
  );
  const details = message.setCurrentClientCertDetails ?? {};
  return {
    useRemoteAddress: message.useRemoteAddress?.value === true,
    trustedHops: message.xffNumTrustedHops,
    skipXffAppend: message.skipXffAppend,
    appendForwardedPort: message.appendXForwardedPort,
    isInternal: (ip) => internal.some((contains) => contains(ip)),
    generateRequestId: message.generateRequestId?.value !== false,
    preserveExternalRequestId: message.preserveExternalRequestId,
    via: message.via,
    userAgent: message.addUserAgent?.value === true ? context.engine.node.cluster : undefined,
    clientCert: {
      mode: certModes[message.forwardClientCertDetails] ?? 'sanitize',
      subject: details.subject?.value === true,
      cert: details.cert === true,
      dns: details.dns === true,
      uri: details.uri === true,
    },
  };
}

function pathOptions(message: Config, context: CompileContext): PathOptions {
  // IMPLEMENTATION_SPECIFIC_DEFAULT, KEEP_UNCHANGED, REJECT_REQUEST, UNESCAPE_AND_REDIRECT, UNESCAPE_AND_FORWARD
  const actions = ['keep', 'keep', 'reject', 'redirect', 'forward'] as const;
  const rejectFragment = context.engine.runtime('envoy.reloadable_features.http_reject_path_with_fragment');
  return {
    normalize: message.normalizePath?.value === true,
    mergeSlashes: message.mergeSlashes,
    escapedSlashes: actions[message.pathWithEscapedSlashesAction] ?? 'keep',
    stripFragment: rejectFragment === false || rejectFragment === 'false',
  };
}
