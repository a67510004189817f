import { envoy } from '@weft/api/envoy';
import type { Collection, Graph } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { type EncodedResource, encoded, sameResource } from '../ambient/resources.ts';
import type { ServiceEndpoint } from '../ambient/service-endpoints.ts';
import { serviceHostname } from '../ambient/services.ts';
import type { Sources } from '../sources/sources.ts';
import { isDiscovered, isNamed } from './entry-config.ts';
import { loadAssignment } from './endpoints.ts';
import { assignmentName, inboundCluster, outboundCluster } from './names.ts';

/** Where the clusters of waypoints go, by the name under which they ask; the same for all who ask. */
export function createClusterEndpoints(
  graph: Graph,
  sources: Sources,
  ambient: Ambient,
  { clusterDomain }: { readonly clusterDomain: string },
): Collection<EncodedResource> {
  const { serviceWaypoints, endpointsByService, proxiedServices, proxiedEntries } = ambient;
  const services = graph.flatMap('clusterEndpoints', {
    from: proxiedServices,
    uses: { services: sources.services, serviceWaypoints, endpointsByService },
    equal: sameResource,
    transform: (_true, fetch, key) => {
      const service = fetch.services.get(key);
      if (service === undefined) return [];
      const { namespace, name, ports, publishNotReadyAddresses: unreadyToo } = service;
      const hostname = serviceHostname(name, namespace, clusterDomain);
      const found = fetch.endpointsByService.lookup(`${namespace}/${hostname}`);
      const isBound = fetch.serviceWaypoints.get(key)?.binding.kind === 'bound';
      const ofPort = { hostname, isBound, unreadyToo, namespace, canonical: true };
      return ports.flatMap(({ port }) => assignments({ ...ofPort, port }, found));
    },
  });
  const entries = graph.flatMap('entryClusterEndpoints', {
    from: proxiedEntries,
    uses: { endpointsByService },
    equal: sameResource,
    transform: ({ service, waypoint }, fetch, key) => {
      const found = fetch.endpointsByService.lookup(key);
      if (!isDiscovered(service, found)) return [];
      const { hostname, namespace, canonical, ports } = service;
      const addressed = found.filter((endpoint) => !isNamed(endpoint));
      const isBound = waypoint.binding.kind === 'bound';
      const ofPort = { hostname, isBound, unreadyToo: false, namespace, canonical };
      return ports.flatMap(({ number: port }) => assignments({ ...ofPort, port }, addressed));
    },
  });
  return graph.join('allClusterEndpoints', [services, entries], { equal: sameResource });
}

/** Of a port: for routes that send there, and for the waypoint that serves it. */
function assignments(
  o: {
    readonly hostname: string;
    readonly namespace: string;
    readonly canonical: boolean;
    readonly port: number;
    readonly isBound: boolean;
    readonly unreadyToo: boolean;
  },
  endpoints: readonly ServiceEndpoint[],
): (readonly [string, EncodedResource])[] {
  const { hostname, port, isBound, unreadyToo } = o;
  const clusters = [
    outboundCluster(port, hostname),
    ...(isBound ? [inboundCluster(port, 'http', hostname), inboundCluster(port, 'tcp', hostname)] : []),
  ];
  return clusters.map((cluster) => {
    const name = assignmentName(cluster, o);
    const assignment = loadAssignment(name, port, endpoints, { unreadyToo });
    return [name, encoded(name, envoy.config.endpoint.v3.ClusterLoadAssignment.encode(assignment).finish())];
  });
}
