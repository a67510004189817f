import { envoy } from '@weft/api/envoy';
import type { Collection, Graph } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { type EncodedResource, encoded } from '../ambient/resources.ts';
import { attachmentKeys, attachmentKeysOf, distinctPolicies } from '../ambient/policy-targets.ts';
import { trustDomains } from '../ambient/trust-domain-aliases.ts';
import { defaultWaypointSettings } from '../ambient/waypoint-settings.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { createClusterEndpoints } from './cluster-endpoints.ts';
import { sharedClusters } from './clusters.ts';
import { providerClusters } from './external-authorization.ts';
import { mainInternal } from './main-internal.ts';
import { connectOriginate, connectTerminate } from './shared-listeners.ts';
import { createServedWorkloads } from './served-workloads.ts';
import { createWaypointServices, distinctHosts } from './waypoint-services.ts';
import { workloadGroups } from './workload-config.ts';

type Listener = envoy.config.listener.v3.Listener.$Properties;
type Cluster = envoy.config.cluster.v3.Cluster.$Properties;

/** The resources of one type that one proxy gets, by name. */
export type ResourceSet = ReadonlyMap<string, EncodedResource>;

/** What waypoints are told. Sets are by `namespace/name` of the Gateway, so a change concerns its waypoint only. */
export interface Networking {
  readonly listeners: Collection<ResourceSet>;
  readonly clusters: Collection<ResourceSet>;
  /** By cluster name; the same for all who ask. */
  readonly endpoints: Collection<EncodedResource>;
}

export function createNetworkingGraph(
  graph: Graph,
  sources: Sources,
  ambient: Ambient,
  options: { readonly clusterDomain: string },
): Networking {
  const { clusterDomain } = options;
  const { mesh, defaultMesh, waypoints, waypointSettings } = ambient;
  const providers = ambient.authorizationProviders;

  const authorization = ambient.authorizationPolicies.index('target', attachmentKeys);
  const configs = createWaypointServices(graph, sources, ambient, { clusterDomain, authorization });
  const configsByWaypoint = configs.index('waypoint', ({ waypoint }) => [waypoint]);

  const workloadsByWaypoint = createServedWorkloads(graph, sources, ambient).index(
    'waypoint',
    ({ waypoint }) => [waypoint],
  );

  const listeners = graph.map('waypointListeners', {
    from: waypoints,
    uses: { mesh, waypointSettings, configsByWaypoint, workloadsByWaypoint, authorization, providers },
    equal: sameSet,
    transform: (_waypoint, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { rootNamespace } = meshNow;
      const settings = fetch.waypointSettings.get(MESH_KEY) ?? defaultWaypointSettings;
      // Of policies only those of the waypoint as a whole concern a workload: targets are Services, not pods.
      const policies = attachmentKeysOf({ service: undefined, waypoint: key, rootNamespace }).flatMap(
        (target) => fetch.authorization.lookup(target),
      );
      const workloads = workloadGroups(
        fetch.workloadsByWaypoint.lookup(key),
        distinctPolicies(policies),
        (name) => fetch.providers.get(name),
        settings,
      );
      const services = distinctHosts(fetch.configsByWaypoint.lookup(key));
      return resourceSet<Listener>(envoy.config.listener.v3.Listener, [
        connectTerminate(trustDomains(meshNow), settings),
        mainInternal(services, workloads, settings),
        connectOriginate(settings),
      ]);
    },
  });
  const clusters = graph.map('waypointClusters', {
    from: waypoints,
    uses: { mesh, waypointSettings, configsByWaypoint, authorization, providers },
    equal: sameSet,
    transform: (_waypoint, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { rootNamespace } = meshNow;
      const settings = fetch.waypointSettings.get(MESH_KEY) ?? defaultWaypointSettings;
      const policies = attachmentKeysOf({ service: undefined, waypoint: key, rootNamespace }).flatMap(
        (target) => fetch.authorization.lookup(target),
      );
      const ofServices = distinctHosts(fetch.configsByWaypoint.lookup(key)).flatMap(({ clusters: of }) => of);
      return resourceSet<Cluster>(envoy.config.cluster.v3.Cluster, [
        ...sharedClusters(trustDomains(meshNow), settings),
        ...providerClusters(policies, (name) => fetch.providers.get(name), settings),
        ...ofServices,
      ]);
    },
  });
  const endpoints = createClusterEndpoints(graph, sources, ambient, { clusterDomain });
  return { listeners, clusters, endpoints };
}

function sameSet(a: ResourceSet, b: ResourceSet): boolean {
  if (a.size !== b.size) return false;
  for (const [name, resource] of a) if (b.get(name)?.version !== resource.version) return false;
  return true;
}

/** Of equal names the first counts. */
function resourceSet<T extends { name?: string | null }>(
  type: { encode(message: T): { finish(): Uint8Array } },
  messages: readonly T[],
): ResourceSet {
  const set = new Map<string, EncodedResource>();
  for (const message of messages) {
    const name = message.name ?? '';
    if (!set.has(name)) set.set(name, encoded(name, type.encode(message).finish()));
  }
  return set;
}
