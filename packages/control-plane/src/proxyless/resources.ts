import { envoy } from '@weft/api/envoy';
import { any, duration, extension } from '../networking/any.ts';

type Listener = envoy.config.listener.v3.Listener.$Properties;
type RouteConfiguration = envoy.config.route.v3.RouteConfiguration.$Properties;
type Cluster = envoy.config.cluster.v3.Cluster.$Properties;

const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
const { Router } = envoy.extensions.filters.http.router.v3;
const { DiscoveryType, LbPolicy } = envoy.config.cluster.v3.Cluster;

const NO_TIMEOUT_MS = 0;

/** What a gRPC client without a proxy is told of one port of a Service, in the form that gRFC A27 wants. */

/** @param target what the client dials, which is the listener's name */
export function clientListener(target: string, cluster: string): Listener {
  return {
    name: target,
    apiListener: {
      apiListener: any(HttpConnectionManager, {
        statPrefix: target,
        rds: { routeConfigName: cluster, configSource: ads() },
        httpFilters: [extension('envoy.filters.http.router', Router, {})],
      }),
    },
  };
}

/** Named as the cluster to which all of it goes: a gRPC client sets deadlines itself. */
export function routeConfiguration(cluster: string): RouteConfiguration {
  return {
    name: cluster,
    virtualHosts: [
      {
        name: cluster,
        domains: ['*'],
        routes: [{ match: { prefix: '' }, route: { cluster, timeout: duration(NO_TIMEOUT_MS) } }],
      },
    ],
  };
}

export function edsCluster(cluster: string): Cluster {
  return {
    name: cluster,
    type: DiscoveryType.EDS,
    edsClusterConfig: { serviceName: cluster, edsConfig: ads() },
    lbPolicy: LbPolicy.ROUND_ROBIN,
  };
}

function ads(): envoy.config.core.v3.ConfigSource.$Properties {
  return { ads: {}, resourceApiVersion: envoy.config.core.v3.ApiVersion.V3 };
}
