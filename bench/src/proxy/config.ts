/** Envoy bootstraps for the suite; the engine and Envoy read the same text. */
export interface ProxyPorts {
  readonly listen: number;
  readonly upstream: number;
  readonly admin: number;
}

const ROUTES = 100;

/** A listener with a hundred routes of which the last one matches, to one upstream. */
export function proxyBootstrap({ listen, upstream, admin }: ProxyPorts): string {
  const routes = Array.from(
    { length: ROUTES },
    (_, i) => `                - { match: { prefix: "/route-${i}/" }, route: { cluster: upstream } }`,
  );
  return `${adminSection(admin)}
static_resources:
  listeners:
  - name: bench
    address: { socket_address: { address: 127.0.0.1, port_value: ${listen} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: AUTO
          route_config:
            name: bench
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
${routes.join('\n')}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: upstream
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } }
`;
}

/** Answers every request with 1 KB. */
export function upstreamBootstrap({ listen, admin }: Omit<ProxyPorts, 'upstream'>): string {
  return `${adminSection(admin)}
static_resources:
  listeners:
  - name: upstream
    address: { socket_address: { address: 127.0.0.1, port_value: ${listen} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: upstream
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "${'x'.repeat(1024)}" } } }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
`;
}

function adminSection(port: number): string {
  return `admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }`;
}

export const BENCH_PATH = `/route-${ROUTES - 1}/x`;
