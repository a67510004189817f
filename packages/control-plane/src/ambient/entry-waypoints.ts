import { Annotation } from '@weft/api';
import type { Collection, Graph } from '@weft/collections';
import { backendKey } from '../sources/backend-references.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { EntryServices } from './entry-graph.ts';
import type { EntryService } from './entry-services.ts';
import type { Mesh } from './mesh.ts';
import { attachmentKeysOf, isTargeted } from './policy-targets.ts';
import type { RequireWaypointDefault } from './require-waypoint.ts';
import { type ServiceWaypoint, serviceWaypoint } from './service-waypoint.ts';
import { type WaypointBinding, bindWaypoint, waypointReference } from './waypoint-binding.ts';
import type { WaypointGraph } from './waypoint-graph.ts';

export interface ProxiedEntry {
  readonly service: EntryService;
  readonly waypoint: ServiceWaypoint;
}

/** Who serves what users wrote down. */
export interface EntryWaypoints {
  /** By `namespace/name` of the ServiceEntry. */
  readonly entryWaypoints: Collection<ServiceWaypoint>;
  /** Services of ServiceEntries whose endpoints an L7 proxy, or the policy that requires one, has to know. By `namespace/hostname`. */
  readonly proxiedEntries: Collection<ProxiedEntry>;
  /** By `namespace/name` of the WorkloadEntry. */
  readonly workloadEntryBindings: Collection<WaypointBinding>;
}

export interface EntryWaypointOptions
  extends Pick<EntryServices, 'visibleEntries' | 'entryServices'>,
    Pick<WaypointGraph, 'waypoints' | 'decidingPolicies' | 'backendReferences'> {
  readonly mesh: Collection<Mesh>;
  readonly defaultMesh: Mesh;
  readonly requireByDefault: RequireWaypointDefault;
}

export function createEntryWaypoints(
  graph: Graph,
  sources: Sources,
  options: EntryWaypointOptions,
): EntryWaypoints {
  const { visibleEntries, entryServices, waypoints, mesh, defaultMesh, requireByDefault } = options;
  const { decidingPolicies, backendReferences } = options;
  const uses = { namespaces: sources.namespaces, waypoints };
  const entryWaypoints = graph.map('entryWaypoints', {
    from: visibleEntries,
    uses: { ...uses, mesh, ...decidingPolicies },
    transform: ({ entry, visibility }, fetch, key) => {
      const { namespace: own, labels, annotations } = entry;
      const namespace = fetch.namespaces.get(own);
      const asked = waypointReference({ namespace: own, labels, namespaceLabels: namespace?.labels ?? {} });
      const targets = attachmentKeysOf({
        service: undefined,
        serviceEntry: key,
        waypoint: asked === undefined ? undefined : `${asked.namespace}/${asked.name}`,
        rootNamespace: (fetch.mesh.get(MESH_KEY) ?? defaultMesh).rootNamespace,
      });
      const canaryWeight = annotations[Annotation.canaryWeight];
      return serviceWaypoint(
        { namespace: own, labels, canaryWeight, isPrivate: visibility === 'NAMESPACE' },
        {
          namespace,
          waypoint: (at) => fetch.waypoints.get(at),
          isTargeted: isTargeted(targets, fetch),
          requireByDefault,
        },
      );
    },
  });
  const proxiedEntries = graph.map('proxiedEntries', {
    from: entryServices,
    uses: { entryWaypoints, ...backendReferences },
    transform: (service, fetch): ProxiedEntry | undefined => {
      const waypoint = fetch.entryWaypoints.get(`${service.namespace}/${service.name}`);
      if (waypoint === undefined) return undefined;
      const asBackend = backendKey({ kind: 'Hostname', hostname: service.hostname });
      const isProxied =
        waypoint.required ||
        waypoint.binding.kind === 'bound' ||
        fetch.httpBackends.lookup(asBackend).length > 0 ||
        fetch.grpcBackends.lookup(asBackend).length > 0;
      return isProxied ? { service, waypoint } : undefined;
    },
  });
  const workloadEntryBindings = graph.map('workloadEntryBindings', {
    from: sources.workloadEntries,
    uses,
    transform: ({ namespace, labels }, fetch) =>
      bindWaypoint(
        {
          kind: 'workload',
          namespace,
          labels,
          namespaceLabels: fetch.namespaces.get(namespace)?.labels ?? {},
        },
        { waypoint: (at) => fetch.waypoints.get(at) },
      ),
  });
  return { entryWaypoints, proxiedEntries, workloadEntryBindings };
}
