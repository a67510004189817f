import { envoy, xds } from '@weft/api/envoy';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { duration, extension } from './any.ts';

/**
 * ServiceEntries of resolution DYNAMIC_DNS: a wildcard, and each request or TLS handshake says which of its hosts is
 * meant. Without a check of what is said a waypoint would forward to anywhere.
 */

type Cluster = envoy.config.cluster.v3.Cluster.$Properties;
type HttpFilter = envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.$Properties;
type NetworkFilter = envoy.config.listener.v3.Filter.$Properties;
type OnMatch = xds.type.matcher.v3.Matcher.OnMatch.$Properties;
type Matcher = xds.type.matcher.v3.Matcher.$Properties;
type DnsCache = envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig.$Properties;

const { ClusterConfig } = envoy.extensions.clusters.dynamic_forward_proxy.v3;
const httpFilter = envoy.extensions.filters.http.dynamic_forward_proxy.v3;
const sniFilter = envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3;
const { ServerNameInput } = envoy.extensions.matching.common_inputs.network.v3;
const { DnsLookupFamily } = envoy.config.cluster.v3.Cluster;

const HTTP_PORT = 80;

export function forwardingCluster(settings: WaypointSettings): Pick<Cluster, 'clusterType'> {
  return {
    clusterType: extension('envoy.clusters.dynamic_forward_proxy', ClusterConfig, {
      dnsCacheConfig: dnsCache(settings),
      // What it is about, whom to expect behind TLS, doesn't arise: the client's own TLS goes through.
      allowInsecureClusterOptions: true,
    }),
  };
}

export function forwardingHttpFilter(settings: WaypointSettings): HttpFilter {
  return extension('envoy.filters.http.dynamic_forward_proxy', httpFilter.FilterConfig, {
    dnsCacheConfig: dnsCache(settings),
  });
}

/** @param port at whatever host the handshake names */
export function forwardingNetworkFilter(port: number, settings: WaypointSettings): NetworkFilter {
  return extension('envoy.filters.network.sni_dynamic_forward_proxy', sniFilter.FilterConfig, {
    dnsCacheConfig: dnsCache(settings),
    portValue: port,
  });
}

/** Clusters and filters of one cache have to agree on all of it, so that another setting is another cache. */
function dnsCache({ dnsRefreshRateMs }: WaypointSettings): DnsCache {
  return {
    name: `hosts-named-by-clients-${dnsRefreshRateMs}ms`,
    dnsLookupFamily: DnsLookupFamily.V4_PREFERRED,
    dnsRefreshRate: duration(dnsRefreshRateMs),
  };
}

/** The hosts of which requests to a port are forwarded. The port that a client names is where it goes, so it counts. */
export function forwardedDomains(host: string, port: number): string[] {
  const withPort = `${host}:${port}`;
  return port === HTTP_PORT ? [host, withPort] : [withPort];
}

/** Handshakes that name another host, or none, find no chain. */
export function byServerName(host: string, onMatch: OnMatch): Matcher {
  const name = host.startsWith('*') ? { suffix: host.slice(1) } : { exact: host };
  const singlePredicate = {
    input: extension('server-name', ServerNameInput, {}),
    valueMatch: { ...name, ignoreCase: true },
  };
  return { matcherList: { matchers: [{ predicate: { singlePredicate }, onMatch }] } };
}
