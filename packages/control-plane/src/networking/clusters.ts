import { Port } from '@weft/api';
import { type google, envoy } from '@weft/api/envoy';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { any, duration, extension, NO_LIMIT } from './any.ts';
import { forwardingCluster } from './hosts-named-by-clients.ts';
import { Metadata, Name } from './names.ts';
import { rawBuffer, tunnelClientTls } from './tls.ts';

type Cluster = envoy.config.cluster.v3.Cluster.$Properties;
type TransportSocket = envoy.config.core.v3.TransportSocket.$Properties;

const { DiscoveryType, DnsLookupFamily, LbPolicy } = envoy.config.cluster.v3.Cluster;
const { HttpProtocolOptions } = envoy.extensions.upstreams.http.v3;
const { InternalUpstreamTransport } = envoy.extensions.transport_sockets.internal_upstream.v3;

/** How a Service's port wants to be spoken to. `downstream`: as the client spoke. */
export type UpstreamProtocol = 'tcp' | 'http1' | 'http2' | 'downstream';

const TUNNEL_IDLE_TIMEOUT_MS = 3_600_000;
const CLEANUP_INTERVAL_MS = 60_000;
/** Envoy's own defaults would reject requests under load that other proxies take. */
const UNLIMITED = 0xffff_ffff;

/** Where a cluster's endpoints come from. */
export type EndpointSource =
  /** The proxy asks for them, by the cluster's name unless another is given. */
  | { readonly kind: 'discovery'; readonly name?: string }
  /** They have names, which the proxy looks up itself. `rotating`: of all answers only the latest counts. */
  | {
      readonly kind: 'dns';
      readonly assignment: envoy.config.endpoint.v3.ClusterLoadAssignment.$Properties;
      readonly rotating: boolean;
    }
  /** Wherever the client was going, at another port where one is given. */
  | { readonly kind: 'original-destination'; readonly port: number | undefined }
  /** Whatever host the client names. */
  | { readonly kind: 'named-by-client' };

export interface ServiceClusterOptions {
  readonly name: string;
  readonly protocol: UpstreamProtocol;
  readonly endpoints: EndpointSource;
  readonly service: { readonly hostname: string; readonly name: string; readonly namespace: string };
  readonly settings: WaypointSettings;
}

/** One port of a Service. Its endpoints are addresses of the internal listener, or plain ones. */
export function serviceCluster({
  name,
  protocol,
  service,
  endpoints,
  settings,
}: ServiceClusterOptions): Cluster {
  return {
    name,
    altStatName: `${name};`,
    ...discovery(name, endpoints, settings),
    connectTimeout: duration(settings.connectTimeoutMs),
    circuitBreakers: unlimited(),
    transportSocket: internalUpstream([Metadata.originalDestination, Metadata.istio, Metadata.weft]),
    ...upstreamProtocol(protocol),
    metadata: { filterMetadata: { [Metadata.istio]: { fields: { services: servicesMetadata(service) } } } },
  };
}

function discovery(name: string, endpoints: EndpointSource, settings: WaypointSettings): Cluster {
  switch (endpoints.kind) {
    case 'discovery':
      return {
        type: DiscoveryType.EDS,
        edsClusterConfig: { serviceName: endpoints.name ?? name, edsConfig: adsSource() },
        lbPolicy: LbPolicy.LEAST_REQUEST,
      };
    case 'dns':
      return {
        type: endpoints.rotating ? DiscoveryType.LOGICAL_DNS : DiscoveryType.STRICT_DNS,
        loadAssignment: endpoints.assignment,
        dnsRefreshRate: duration(settings.dnsRefreshRateMs),
        respectDnsTtl: true,
        // Envoy's own choice, IPv6 where there is any, fails wherever pods have IPv4 alone.
        dnsLookupFamily: DnsLookupFamily.V4_PREFERRED,
        lbPolicy: LbPolicy.LEAST_REQUEST,
        ...keepalive(settings),
      };
    case 'original-destination':
      return {
        type: DiscoveryType.ORIGINAL_DST,
        lbPolicy: LbPolicy.CLUSTER_PROVIDED,
        cleanupInterval: duration(CLEANUP_INTERVAL_MS),
        ...keepalive(settings),
        ...(endpoints.port === undefined
          ? {}
          : { originalDstLbConfig: { upstreamPortOverride: { value: endpoints.port } } }),
      };
    case 'named-by-client':
      return {
        ...forwardingCluster(settings),
        lbPolicy: LbPolicy.CLUSTER_PROVIDED,
      };
  }
}

/** Clusters that every waypoint has, by name. */
export function sharedClusters(trustDomains: readonly string[], settings: WaypointSettings): Cluster[] {
  const connectTimeout = duration(settings.connectTimeoutMs);
  return [
    internalCluster(Name.mainInternal, Name.mainInternal, connectTimeout),
    internalCluster(Name.encap, Name.connectOriginate, connectTimeout),
    {
      name: Name.passthrough,
      type: DiscoveryType.ORIGINAL_DST,
      lbPolicy: LbPolicy.CLUSTER_PROVIDED,
      connectTimeout,
      cleanupInterval: duration(CLEANUP_INTERVAL_MS),
      ...keepalive(settings),
      circuitBreakers: unlimited(),
      ...upstreamProtocol('downstream'),
    },
    {
      name: Name.connectOriginate,
      type: DiscoveryType.ORIGINAL_DST,
      lbPolicy: LbPolicy.CLUSTER_PROVIDED,
      connectTimeout,
      cleanupInterval: duration(CLEANUP_INTERVAL_MS),
      ...keepalive(settings),
      circuitBreakers: unlimited(),
      originalDstLbConfig: {
        upstreamPortOverride: { value: Port.hbone },
        metadataKey: { key: Metadata.originalDestination, path: [{ key: 'waypoint' }] },
      },
      transportSocket: tunnelClientTls(trustDomains),
      typedExtensionProtocolOptions: {
        [HTTP_OPTIONS]: any(HttpProtocolOptions, {
          commonHttpProtocolOptions: { idleTimeout: duration(TUNNEL_IDLE_TIMEOUT_MS) },
          explicitHttpConfig: { http2ProtocolOptions: { allowConnect: true } },
        }),
      },
    },
  ];
}

/** For clusters whose connections are sockets; others are within the process. */
function keepalive({ tcpKeepalive }: WaypointSettings): Pick<Cluster, 'upstreamConnectionOptions'> {
  if (tcpKeepalive === undefined) return {};
  const { probes, time, interval } = tcpKeepalive;
  return {
    upstreamConnectionOptions: {
      tcpKeepalive: {
        ...(probes === undefined ? {} : { keepaliveProbes: { value: probes } }),
        ...(time === undefined ? {} : { keepaliveTime: { value: time } }),
        ...(interval === undefined ? {} : { keepaliveInterval: { value: interval } }),
      },
    },
  };
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function upstreamProtocol(protocol: UpstreamProtocol): Pick<Cluster, 'typedExtensionProtocolOptions'> {
  switch (protocol) {
    case 'tcp':
    case 'http1':
      return {};
    case 'http2':
      return {
        typedExtensionProtocolOptions: {
          [HTTP_OPTIONS]: any(HttpProtocolOptions, { explicitHttpConfig: { http2ProtocolOptions: {} } }),
        },
      };
    case 'downstream':
      return {
        typedExtensionProtocolOptions: {
          [HTTP_OPTIONS]: any(HttpProtocolOptions, {
            useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
          }),
        },
      };
  }
}

function internalCluster(
  name: string,
  listener: string,
  connectTimeout: google.protobuf.Duration.$Properties,
): Cluster {
  return {
    name,
    type: DiscoveryType.STATIC,
    connectTimeout,
    circuitBreakers: unlimited(),
    transportSocket: internalUpstream([]),
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [
            { endpoint: { address: { envoyInternalAddress: { serverListenerName: listener } } } },
          ],
        },
      ],
    },
    ...upstreamProtocol('downstream'),
  };
}

function internalUpstream(passthrough: readonly string[]): TransportSocket {
  return extension('envoy.transport_sockets.internal_upstream', InternalUpstreamTransport, {
    passthroughMetadata: passthrough.map((name) => ({ kind: { host: {} }, name })),
    transportSocket: rawBuffer(),
  });
}

function unlimited(): envoy.config.cluster.v3.CircuitBreakers.$Properties {
  const value = { value: UNLIMITED };
  return {
    thresholds: [
      {
        maxConnections: value,
        maxPendingRequests: value,
        maxRequests: value,
        maxRetries: value,
        trackRemaining: true,
      },
    ],
  };
}

function adsSource(): envoy.config.core.v3.ConfigSource.$Properties {
  return { ads: {}, initialFetchTimeout: NO_LIMIT, resourceApiVersion: envoy.config.core.v3.ApiVersion.V3 };
}

function servicesMetadata({ hostname, name, namespace }: ServiceClusterOptions['service']) {
  const fields = {
    host: { stringValue: hostname },
    name: { stringValue: name },
    namespace: { stringValue: namespace },
  };
  return { listValue: { values: [{ structValue: { fields } }] } };
}
