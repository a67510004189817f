import { formatAddress, type SocketAddress } from '../engine/types.ts';
import type { BreakerLimits, ClusterStatus, HostStatus } from './sources.ts';

/** `/clusters`: `name::key::value` lines. */
export function clustersText(clusters: Iterable<ClusterStatus>): string {
  let out = '';
  for (const { name, hosts, circuitBreakers, addedViaApi } of clusters) {
    out += `${name}::observability_name::${name}\n`;
    for (const priority of ['default', 'high'] as const) {
      for (const [key, value] of Object.entries(limits(circuitBreakers[priority]))) {
        out += `${name}::${priority}_priority::${key}::${value}\n`;
      }
    }
    out += `${name}::added_via_api::${addedViaApi}\n`;
    for (const host of hosts) {
      for (const [key, value] of hostLines(host))
        out += `${name}::${formatAddress(host.address)}::${key}::${value}\n`;
    }
  }
  return out;
}

/** `/clusters?format=json`: `envoy.admin.v3.Clusters`. */
export function clustersJson(clusters: Iterable<ClusterStatus>): object {
  return {
    cluster_statuses: [...clusters].map((c) => ({
      name: c.name,
      added_via_api: c.addedViaApi,
      observability_name: c.name,
      circuit_breakers: {
        thresholds: (['default', 'high'] as const).map((p) => ({
          priority: p.toUpperCase(),
          ...limits(c.circuitBreakers[p]),
        })),
      },
      host_statuses: c.hosts.map(hostJson),
    })),
  };
}

function limits(breakers: BreakerLimits): Readonly<Record<string, number>> {
  return {
    max_connections: breakers.maxConnections,
    max_pending_requests: breakers.maxPendingRequests,
    max_requests: breakers.maxRequests,
    max_retries: breakers.maxRetries,
  };
}

function hostLines(host: HostStatus): readonly (readonly [string, string | number])[] {
  return [
    ...Object.entries(host.stats),
    ['hostname', host.hostname],
    ['health_flags', host.healthFlags.length === 0 ? 'healthy' : host.healthFlags.join('')],
    ['weight', host.weight],
    ['region', host.locality.region],
    ['zone', host.locality.zone],
    ['sub_zone', host.locality.subZone],
    ['canary', 'false'],
    ['priority', host.priority],
    ['success_rate', host.successRate],
    ['local_origin_success_rate', -1],
  ];
}

const GAUGES: ReadonlySet<string> = new Set(['cx_active', 'rq_active']);

function hostJson(host: HostStatus): object {
  const flags = new Set(host.healthFlags);
  return {
    address: addressJson(host.address),
    hostname: host.hostname,
    stats: Object.entries(host.stats).map(([name, value]) => ({
      name,
      value: String(value),
      type: GAUGES.has(name) ? 'GAUGE' : 'COUNTER',
    })),
    health_status: {
      eds_health_status: flags.has('/failed_eds_health') ? 'UNHEALTHY' : 'HEALTHY',
      ...(flags.has('/failed_outlier_check') ? { failed_outlier_check: true } : {}),
      ...(flags.has('/failed_active_hc') ? { failed_active_health_check: true } : {}),
    },
    weight: host.weight,
    priority: host.priority,
    locality: { region: host.locality.region, zone: host.locality.zone, sub_zone: host.locality.subZone },
    ...(host.successRate < 0 ? {} : { success_rate: { value: host.successRate } }),
  };
}

export function addressJson(address: SocketAddress): object {
  return address.kind === 'ip'
    ? { socket_address: { address: address.ip, port_value: address.port } }
    : { envoy_internal_address: { server_listener_name: address.listener, endpoint_id: address.endpointId } };
}
