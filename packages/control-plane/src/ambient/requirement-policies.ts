import type { Collection, Fetch, Graph, Index } from '@weft/collections';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { EntryServices } from './entry-graph.ts';
import { entryServiceKey } from './entry-services.ts';
import type { EntryWaypoints } from './entry-waypoints.ts';
import type { Mesh } from './mesh.ts';
import { type RequiringObject, requireWaypointPolicy } from './require-waypoint.ts';
import { type EncodedResource, authorizationResource, named, sameResource } from './resources.ts';
import type { ServiceEndpoint } from './service-endpoints.ts';
import { type ServiceWaypoint, waypointPrincipals } from './service-waypoint.ts';
import { serviceHostname } from './services.ts';
import { trustDomains } from './trust-domain-aliases.ts';
import type { WaypointGraph } from './waypoint-graph.ts';

export interface RequirementPolicyOptions
  extends Pick<EntryServices, 'entryServicesByEntry'>,
    Pick<EntryWaypoints, 'entryWaypoints'> {
  readonly mesh: Collection<Mesh>;
  readonly defaultMesh: Mesh;
  readonly clusterDomain: string;
  readonly endpointsByService: Index<ServiceEndpoint>;
}

/** The policies that make Services and ServiceEntries unreachable but through their waypoints. */
export function createRequirementPolicies(
  graph: Graph,
  sources: Sources,
  { waypoints, serviceWaypoints, podsByGateway }: WaypointGraph,
  options: RequirementPolicyOptions,
): readonly Collection<EncodedResource>[] {
  const { mesh, defaultMesh, clusterDomain, endpointsByService, entryServicesByEntry, entryWaypoints } =
    options;
  const uses = { mesh, waypoints, podsByGateway, endpointsByService };
  const policy = (
    object: RequiringObject,
    waypoint: ServiceWaypoint,
    declaredPorts: readonly number[],
    hosts: readonly string[],
    fetch: Fetch<typeof uses>,
  ): readonly [string, EncodedResource] => {
    const principals = waypointPrincipals(waypoint, {
      trustDomains: trustDomains(fetch.mesh.get(MESH_KEY) ?? defaultMesh),
      waypoint: (at) => fetch.waypoints.get(at),
      accountsOf: (at) => fetch.podsByGateway.lookup(at).map(({ serviceAccount }) => serviceAccount),
    });
    // Named ports are numbers in the workloads, and may be another one in each.
    const actualPorts = hosts
      .flatMap((host) => fetch.endpointsByService.lookup(host))
      .flatMap((endpoint) => endpoint.ports.map(({ targetPort }) => targetPort));
    const targetPorts = [...declaredPorts, ...actualPorts];
    return named(authorizationResource(requireWaypointPolicy({ ...object, principals, targetPorts })));
  };
  const ofServices = graph.flatMap('requirementPolicies', {
    from: sources.services,
    uses: { ...uses, serviceWaypoints },
    equal: sameResource,
    transform: ({ namespace, name, ports }, fetch, key) => {
      const waypoint = fetch.serviceWaypoints.get(key);
      if (waypoint?.required !== true) return [];
      const declared = ports.flatMap(({ targetPort }) =>
        typeof targetPort === 'number' ? [targetPort] : [],
      );
      const host = `${namespace}/${serviceHostname(name, namespace, clusterDomain)}`;
      return [policy({ kind: 'Service', namespace, name }, waypoint, declared, [host], fetch)];
    },
  });
  const ofEntries = graph.flatMap('entryRequirementPolicies', {
    from: sources.serviceEntries,
    uses: { ...uses, entryWaypoints, entryServicesByEntry },
    equal: sameResource,
    transform: ({ namespace, name, spec: { ports = [] } }, fetch, key) => {
      const waypoint = fetch.entryWaypoints.get(key);
      if (waypoint?.required !== true) return [];
      const declared = ports.map(({ number, targetPort }) => targetPort || number);
      const hosts = fetch.entryServicesByEntry.lookup(key).map(entryServiceKey);
      return [policy({ kind: 'ServiceEntry', namespace, name }, waypoint, declared, hosts, fetch)];
    },
  });
  return [ofServices, ofEntries];
}
