import { envoy } from '@weft/api/envoy';
import { durationMs } from '../../filters/message.ts';
import type { HttpCodecOptions } from '../../http/codec.ts';
import { compileHeaderKeyFormat } from '../../http/http1/header-key-format.ts';
import { at, invalid } from '../../matching/index.ts';

type ClusterMessage = envoy.config.cluster.v3.Cluster.$Properties;
type Http1 = envoy.config.core.v3.Http1ProtocolOptions.$Properties;
type Http2 = envoy.config.core.v3.Http2ProtocolOptions.$Properties;

const EXTENSION = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const TYPE_URL = `type.googleapis.com/${EXTENSION}`;
const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;
const DEFAULT_MAX_CONCURRENT_STREAMS = 1024;

/** What the upstream speaks: always the same, what the downstream speaks, or what TLS agrees on. */
export type ProtocolChoice = 'http1' | 'http2' | 'downstream' | 'alpn';

export interface HttpConfig {
  readonly protocol: ProtocolChoice;
  readonly http1: HttpCodecOptions;
  readonly http2: HttpCodecOptions;
  /** 0 = none. */
  readonly idleTimeoutMs: number;
  /** 0 = none. */
  readonly maxConnectionDurationMs: number;
  /** 0 = none. */
  readonly maxStreamDurationMs: number;
  /** 0 = any number. */
  readonly maxRequestsPerConnection: number;
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
  readonly overrideAutoSniHeader: string;
}

export function compileHttpOptions(cluster: ClusterMessage): HttpConfig {
  const any = cluster.typedExtensionProtocolOptions?.[EXTENSION];
  const config =
    any === undefined
      ? fromClusterFields(cluster)
      : at(`typed_extension_protocol_options[${EXTENSION}]`, () => {
          if (any.type_url !== TYPE_URL) invalid(`expected ${TYPE_URL}`, 'type_url');
          const bytes = any.value ?? new Uint8Array();
          return fromExtension(envoy.extensions.upstreams.http.v3.HttpProtocolOptions.decode(bytes));
        });
  // The older field counts wherever the newer one is silent.
  const maxRequestsPerConnection =
    config.maxRequestsPerConnection || (cluster.maxRequestsPerConnection?.value ?? 0);
  return { ...config, maxRequestsPerConnection };
}

function fromExtension(m: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.$Properties): HttpConfig {
  if ((m.httpFilters ?? []).length > 0) invalid('upstream HTTP filters are not supported', 'http_filters');
  const common = commonOptions(m.commonHttpProtocolOptions, m.upstreamHttpProtocolOptions);
  switch (m.upstreamProtocolOptions) {
    case 'explicitHttpConfig': {
      const { protocolConfig, httpProtocolOptions, http2ProtocolOptions } = m.explicitHttpConfig ?? {};
      if (protocolConfig === 'http3ProtocolOptions')
        return invalid('HTTP/3 is not supported', 'explicit_http_config');
      const protocol = protocolConfig === 'http2ProtocolOptions' ? 'http2' : 'http1';
      return { ...common, protocol, http1: http1(httpProtocolOptions), http2: http2(http2ProtocolOptions) };
    }
    case 'useDownstreamProtocolConfig': {
      const { httpProtocolOptions, http2ProtocolOptions } = m.useDownstreamProtocolConfig ?? {};
      return {
        ...common,
        protocol: 'downstream',
        http1: http1(httpProtocolOptions),
        http2: http2(http2ProtocolOptions),
      };
    }
    case 'autoConfig': {
      const { httpProtocolOptions, http2ProtocolOptions } = m.autoConfig ?? {};
      return {
        ...common,
        protocol: 'alpn',
        http1: http1(httpProtocolOptions),
        http2: http2(http2ProtocolOptions),
      };
    }
    default:
      return invalid('is required', 'upstream_protocol_options');
  }
}

/** The older place of the same options. */
function fromClusterFields(cluster: ClusterMessage): HttpConfig {
  const common = commonOptions(cluster.commonHttpProtocolOptions, cluster.upstreamHttpProtocolOptions);
  const { USE_DOWNSTREAM_PROTOCOL } = envoy.config.cluster.v3.Cluster.ClusterProtocolSelection;
  const chosen = cluster.http2ProtocolOptions ? 'http2' : 'http1';
  return {
    ...common,
    protocol: cluster.protocolSelection === USE_DOWNSTREAM_PROTOCOL ? 'downstream' : chosen,
    http1: http1(cluster.httpProtocolOptions),
    http2: http2(cluster.http2ProtocolOptions),
  };
}

function commonOptions(
  common: envoy.config.core.v3.HttpProtocolOptions.$Properties | null | undefined,
  upstream: envoy.config.core.v3.UpstreamHttpProtocolOptions.$Properties | null | undefined,
): Omit<HttpConfig, 'protocol' | 'http1' | 'http2'> {
  return {
    idleTimeoutMs: durationMs(common?.idleTimeout) ?? DEFAULT_IDLE_TIMEOUT_MS,
    maxConnectionDurationMs: durationMs(common?.maxConnectionDuration) ?? 0,
    maxStreamDurationMs: durationMs(common?.maxStreamDuration) ?? 0,
    maxRequestsPerConnection: common?.maxRequestsPerConnection?.value ?? 0,
    autoSni: upstream?.autoSni ?? false,
    autoSanValidation: upstream?.autoSanValidation ?? false,
    overrideAutoSniHeader: upstream?.overrideAutoSniHeader || ':authority',
  };
}

function http1(m: Http1 | null | undefined): HttpCodecOptions {
  return {
    enableTrailers: m?.enableTrailers ?? false,
    allowChunkedLength: m?.allowChunkedLength ?? false,
    headerKeyFormat: compileHeaderKeyFormat(m?.headerKeyFormat),
  };
}

function http2(m: Http2 | null | undefined): HttpCodecOptions {
  const keepalive = m?.connectionKeepalive;
  const intervalMs = durationMs(keepalive?.interval);
  return {
    maxConcurrentStreams: m?.maxConcurrentStreams?.value ?? DEFAULT_MAX_CONCURRENT_STREAMS,
    allowConnect: m?.allowConnect ?? false,
    ...(m?.initialStreamWindowSize?.value == null
      ? {}
      : { initialStreamWindowBytes: m.initialStreamWindowSize.value }),
    ...(m?.initialConnectionWindowSize?.value == null
      ? {}
      : { initialConnectionWindowBytes: m.initialConnectionWindowSize.value }),
    ...(intervalMs === undefined || intervalMs === 0
      ? {}
      : { keepalive: { intervalMs, timeoutMs: durationMs(keepalive?.timeout) ?? intervalMs } }),
  };
}
