import { Port } from '@weft/api';
import { TRUSTED_PREFIX } from './bench-path.ts';
import { identityOf, type TlsFiles } from './certificates.ts';

/** Bootstraps of Envoy in ProtoJSON, for the work that ztunnel and waypoint do. */

const CONNECTION_WINDOW_BYTES = 16_777_216;
const STREAM_WINDOW_BYTES = 4_194_304;
const STREAMS_PER_TUNNEL = 100;
/** Envoy's own is 1,024 of each, less than what is asked of it here. */
const UNLIMITED = 1_000_000;
const SOL_SOCKET = 1;
const SO_MARK = 36;

const typed = (name: string, type: string, fields: object = {}): object => ({
  name,
  typed_config: { '@type': `type.googleapis.com/${type}`, ...fields },
});
const filter = (kind: string, version: string, fields: object): object =>
  typed(`envoy.filters.${kind}`, `envoy.extensions.filters.${kind}.${version}`, fields);
const socketAddress = (address: string, port: number): object => ({
  socket_address: { address, port_value: port },
});
const internalAddress = (listener: string): object => ({
  envoy_internal_address: { server_listener_name: listener, endpoint_id: 'one' },
});
const accessLog = [
  typed('envoy.access_loggers.stdout', 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog'),
];
const router = typed('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router');
const http2Options = {
  initial_stream_window_size: STREAM_WINDOW_BYTES,
  initial_connection_window_size: CONNECTION_WINDOW_BYTES,
  allow_connect: true,
  max_concurrent_streams: STREAMS_PER_TUNNEL,
};

/** Whoever is of the namespace may, as ztunnel's policies in these benchmarks have it. */
const policy = filter('http.rbac', 'v3.RBAC', {
  rules: {
    action: 'ALLOW',
    policies: {
      bench: {
        permissions: [{ any: true }],
        principals: [{ authenticated: { principal_name: { prefix: `spiffe://${TRUSTED_PREFIX}` } } }],
      },
    },
  },
});

export interface EnvoySide {
  readonly serverIp: string;
  readonly ports: readonly number[];
  readonly tls: TlsFiles;
  /** Service account of the other end. */
  readonly peer: string;
  /** Of its own connections, so that the pod's rules let them through. */
  readonly mark?: number;
  /** Has its tunnels take AES-256, as ztunnel's do; both ends need that, and keys on P-384. */
  readonly aes256?: boolean;
}

/** Takes the connections that the pod's rules redirect, and tunnels each to the port of the server that it was for. */
export function hboneClientBootstrap(side: EnvoySide): object {
  return {
    static_resources: {
      listeners: [
        {
          name: 'outbound',
          address: socketAddress('0.0.0.0', Port.outboundCapture),
          listener_filters: [filter('listener.original_dst', 'v3.OriginalDst', {})],
          filter_chains: side.ports.map((port) => ({
            filter_chain_match: { destination_port: port },
            filters: [tunnellingProxy(`${side.serverIp}:${port}`)],
          })),
        },
      ],
      clusters: [hboneCluster(side)],
    },
  };
}

/** Ends the tunnels and connects to the same port of the pod. */
export function hboneServerBootstrap(side: EnvoySide): object {
  const { serverIp, ports } = side;
  const virtualHosts = ports.map((port) => ({
    name: `to-${port}`,
    domains: [`${serverIp}:${port}`],
    routes: [connectRoute(`local-${port}`)],
  }));
  return {
    static_resources: {
      listeners: [hboneListener(side, virtualHosts)],
      clusters: ports.map((port) => staticCluster(`local-${port}`, socketAddress(serverIp, port), side)),
    },
  };
}

/** Ends the tunnels, routes the HTTP requests inside, and tunnels them to the server: a waypoint of one service. */
export function waypointBootstrap(side: EnvoySide): object {
  const [port = 0] = side.ports;
  const http = {
    stat_prefix: 'service',
    access_log: accessLog,
    route_config: {
      name: 'service',
      virtual_hosts: [
        {
          name: 'service',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'service', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [router],
  };
  return {
    bootstrap_extensions: [
      typed(
        'envoy.bootstrap.internal_listener',
        'envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
      ),
    ],
    static_resources: {
      listeners: [
        hboneListener(side, [{ name: 'default', domains: ['*'], routes: [connectRoute('main_internal')] }]),
        internalListener(
          'main_internal',
          filter('network.http_connection_manager', 'v3.HttpConnectionManager', http),
        ),
        internalListener('connect_originate', tunnellingProxy(`${side.serverIp}:${port}`)),
      ],
      clusters: [
        staticCluster('main_internal', internalAddress('main_internal')),
        staticCluster('service', internalAddress('connect_originate')),
        hboneCluster(side),
      ],
    },
  };
}

function tunnellingProxy(authority: string): object {
  return filter('network.tcp_proxy', 'v3.TcpProxy', {
    stat_prefix: 'outbound',
    cluster: 'hbone',
    access_log: accessLog,
    tunneling_config: { hostname: authority },
  });
}

function connectRoute(cluster: string): object {
  return {
    match: { connect_matcher: {} },
    route: { cluster, timeout: '0s', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
  };
}

function hboneListener(side: EnvoySide, virtualHosts: readonly object[]): object {
  return {
    name: 'hbone',
    address: socketAddress('0.0.0.0', Port.hbone),
    filter_chains: [
      {
        transport_socket: typed(
          'envoy.transport_sockets.tls',
          'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          {
            require_client_certificate: true,
            common_tls_context: commonTls(side, { prefix: `spiffe://${TRUSTED_PREFIX}` }),
          },
        ),
        filters: [
          filter('network.http_connection_manager', 'v3.HttpConnectionManager', {
            stat_prefix: 'hbone',
            codec_type: 'HTTP2',
            stream_idle_timeout: '0s',
            http2_protocol_options: http2Options,
            upgrade_configs: [{ upgrade_type: 'CONNECT' }],
            access_log: accessLog,
            route_config: { name: 'hbone', virtual_hosts: virtualHosts },
            http_filters: [policy, router],
          }),
        ],
      },
    ],
  };
}

function internalListener(name: string, networkFilter: object): object {
  return { name, internal_listener: {}, filter_chains: [{ filters: [networkFilter] }] };
}

function hboneCluster(side: EnvoySide): object {
  return {
    ...staticCluster('hbone', socketAddress(side.serverIp, Port.hbone), side),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: http2Options },
      },
    },
    transport_socket: typed(
      'envoy.transport_sockets.tls',
      'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      { common_tls_context: commonTls(side, { exact: identityOf(side.peer) }) },
    ),
  };
}

function staticCluster(name: string, address: object, { mark }: Pick<EnvoySide, 'mark'> = {}): object {
  return {
    name,
    type: 'STATIC',
    ...(mark === undefined
      ? {}
      : {
          upstream_bind_config: { socket_options: [{ level: SOL_SOCKET, name: SO_MARK, int_value: mark }] },
        }),
    connect_timeout: '5s',
    circuit_breakers: {
      thresholds: [{ max_connections: UNLIMITED, max_pending_requests: UNLIMITED, max_requests: UNLIMITED }],
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

function commonTls({ tls, aes256 = false }: EnvoySide, peerIdentity: object): object {
  const { key, chain, roots } = tls;
  return {
    alpn_protocols: ['h2'],
    tls_params: {
      tls_minimum_protocol_version: 'TLSv1_3',
      tls_maximum_protocol_version: 'TLSv1_3',
      ...(aes256 ? { compliance_policies: ['CNSA1_202603'] } : {}),
    },
    tls_certificates: [{ certificate_chain: { filename: chain }, private_key: { filename: key } }],
    validation_context: {
      trusted_ca: { filename: roots },
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: peerIdentity }],
    },
  };
}
