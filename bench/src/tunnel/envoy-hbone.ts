import type { TlsFiles } from './paths.ts';

const HBONE_PORT = 15_008;
const CONNECTION_WINDOW_BYTES = 16_777_216;
const STREAM_WINDOW_BYTES = 4_194_304;

interface Side {
  readonly serverIp: string;
  readonly ports: readonly number[];
  readonly tls: TlsFiles;
}

const TCP_PROXY = `name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`;

const WINDOWS = `{ initial_stream_window_size: ${STREAM_WINDOW_BYTES}, initial_connection_window_size: ${CONNECTION_WINDOW_BYTES}, allow_connect: true, max_concurrent_streams: 100 }`;

/** Takes plain TCP on each port of the loopback address and tunnels it to the same port of the server. */
export function hboneClientBootstrap({ serverIp, ports, tls }: Side): string {
  const listeners = ports.map(
    (port) => `  - name: outbound-${port}
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - ${TCP_PROXY}
          stat_prefix: outbound
          cluster: hbone
          tunneling_config: { hostname: "${serverIp}:${port}" }`,
  );
  return `static_resources:
  listeners:
${listeners.join('\n')}
  clusters:
  - name: hbone
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: hbone
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: ${serverIp}, port_value: ${HBONE_PORT} } } }
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: ${WINDOWS}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
${commonTls(tls)}
`;
}

/** Ends the tunnels and connects to the same port of the pod's loopback address. */
export function hboneServerBootstrap({ serverIp, ports, tls }: Side): string {
  const hosts = ports.map(
    (port) => `            - name: to-${port}
              domains: ["${serverIp}:${port}"]
              routes:
              - match: { connect_matcher: {} }
                route: { cluster: local-${port}, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] }`,
  );
  const clusters = ports.map(
    (port) => `  - name: local-${port}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: local-${port}
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }`,
  );
  return `static_resources:
  listeners:
  - name: hbone
    address: { socket_address: { address: 0.0.0.0, port_value: ${HBONE_PORT} } }
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
${commonTls(tls, '  ')}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: hbone
          codec_type: HTTP2
          http2_protocol_options: ${WINDOWS}
          upgrade_configs: [{ upgrade_type: CONNECT }]
          route_config:
            name: hbone
            virtual_hosts:
${hosts.join('\n')}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
${clusters.join('\n')}
`;
}

function commonTls({ key, chain, roots }: TlsFiles, indent = ''): string {
  return `          alpn_protocols: [h2]
          tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }
          tls_certificates:
          - { certificate_chain: { filename: ${chain} }, private_key: { filename: ${key} } }
          validation_context: { trusted_ca: { filename: ${roots} } }`
    .split('\n')
    .map((line) => indent + line)
    .join('\n');
}
