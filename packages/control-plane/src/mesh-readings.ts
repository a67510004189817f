import type { Ambient } from './ambient/ambient-graph.ts';
import { type PushFaults, type PushFaultsOptions, pushFaults } from './debug/push-status.ts';
import type { registerReadings } from './metrics.ts';
import type { Sources } from './sources/sources.ts';

/** What `/metrics` says of the mesh as it is. */
export function meshReadings(
  options: PushFaultsOptions & {
    readonly sources: Pick<Sources, 'httpRoutes' | 'grpcRoutes' | 'tcpRoutes' | 'tlsRoutes'>;
    readonly ambient: Pick<Ambient, 'services' | 'workloads' | 'authorizations'>;
  },
): Parameters<typeof registerReadings>[1] {
  const { services, workloads, authorizations } = options.ambient;
  const { httpRoutes, grpcRoutes, tcpRoutes, tlsRoutes } = options.sources;
  const faults = (metric: keyof PushFaults) => () => pushFaults(options)[metric].length;
  const sizes =
    (...collections: readonly { readonly size: number }[]) =>
    () =>
      collections.reduce((sum, { size }) => sum + size, 0);
  return {
    pilot_services: { help: 'Services known to the mesh', read: sizes(services) },
    // Istio makes one of each route.
    pilot_virt_services: {
      help: 'Routes of Services and Gateways',
      read: sizes(httpRoutes, grpcRoutes, tcpRoutes, tlsRoutes),
    },
    pilot_no_ip: { help: 'Pods without an address', read: faults('pilot_no_ip') },
    pilot_endpoint_not_ready: { help: 'Pods that are not ready', read: faults('pilot_endpoint_not_ready') },
    pilot_eds_no_instances: {
      help: 'Clusters of waypoints without endpoints',
      read: faults('pilot_eds_no_instances'),
    },
    weft_workloads: { help: 'Workloads known to the mesh', read: sizes(workloads) },
    weft_authorizations: { help: 'Layer 4 policies sent to proxies', read: sizes(authorizations) },
  };
}
