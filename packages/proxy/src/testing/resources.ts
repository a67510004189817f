/** Resources in ProtoJSON, as short as tests need them. */

const type = (name: string) => `type.googleapis.com/${name}`;

export const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };

export function httpFilterChain(o: {
  readonly name?: string;
  /** Routes inline, or the name of a route table that comes by ADS. */
  readonly routes: readonly object[] | string;
  readonly httpFilters?: readonly object[];
  readonly match?: object;
}): object {
  const { name = 'http', routes } = o;
  return {
    name,
    ...(o.match === undefined ? {} : { filter_chain_match: o.match }),
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: {
          '@type': type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
          stat_prefix: name,
          ...(typeof routes === 'string'
            ? { rds: { route_config_name: routes, config_source: ads } }
            : { route_config: routeTable(name, routes) }),
          http_filters: [
            ...(o.httpFilters ?? []),
            {
              name: 'envoy.filters.http.router',
              typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
            },
          ],
        },
      },
    ],
  };
}

export function tcpFilterChain(
  cluster: string,
  o: { readonly name?: string; readonly match?: object } = {},
): object {
  return {
    name: o.name ?? cluster,
    ...(o.match === undefined ? {} : { filter_chain_match: o.match }),
    filters: [
      {
        name: 'envoy.filters.network.tcp_proxy',
        typed_config: {
          '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
          stat_prefix: cluster,
          cluster,
        },
      },
    ],
  };
}

export function routeTable(name: string, routes: readonly object[]): object {
  return { name, virtual_hosts: [{ name: 'all', domains: ['*'], routes }] };
}

export function reply(prefix: string, body: string, status = 200): object {
  return { match: { prefix }, direct_response: { status, body: { inline_string: body } } };
}

export function listener(name: string, chains: readonly object[], fields: object = {}): object {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: chains,
    ...fields,
  };
}

export function staticCluster(name: string, port: number): object {
  return { name, type: 'STATIC', load_assignment: assignment(name, [port]) };
}

export function edsCluster(name: string): object {
  return { name, type: 'EDS', eds_cluster_config: { eds_config: ads } };
}

export function assignment(name: string, ports: readonly number[]): object {
  return {
    cluster_name: name,
    endpoints: [
      {
        lb_endpoints: ports.map((port) => ({
          endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
        })),
      },
    ],
  };
}
