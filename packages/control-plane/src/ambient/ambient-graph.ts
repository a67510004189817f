import { Label } from '@weft/api';
import { type Collection, type Graph, type Index, labelKeys, selectorKey, selects } from '@weft/collections';
import type { PodFacts, ServiceFacts } from '../sources/facts.ts';
import type { AuthorizationPolicySpec, PolicyObject } from '../sources/policy-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { waypointAllowances } from './allow-waypoint.ts';
import { type UsableProvider, createAuthorizationProviders } from './authorization-providers.ts';
import type { ConvertedPolicy } from './authorization-policies.ts';
import { type EntryServices, createEntryResources, createEntryServices } from './entry-graph.ts';
import { type EntryWaypoints, createEntryWaypoints } from './entry-waypoints.ts';
import { type Mesh, defaultMesh as meshOf } from './mesh.ts';
import { type MeshGraph, createMeshGraph } from './mesh-graph.ts';
import { gatewayOf } from './networks.ts';
import { attachedPolicies, createPolicyGraph } from './policy-graph.ts';
import { type EncodedResource, named, sameResource, serviceResource, workloadResource } from './resources.ts';
import type { RequireWaypointDefault } from './require-waypoint.ts';
import type { ServiceEndpoint } from './service-endpoints.ts';
import { createRequirementPolicies } from './requirement-policies.ts';
import { requirementsOf, waypointAddress, waypointFields } from './service-waypoint.ts';
import { kubernetesService } from './services.ts';
import { bindWaypoint } from './waypoint-binding.ts';
import {
  type WaypointGraph,
  createAllowPolicies,
  createServiceEndpoints,
  createWaypointGraph,
} from './waypoint-graph.ts';
import { type ClusterNames, podWorkload, sliceWorkloads } from './workloads.ts';

export interface AmbientOptions extends ClusterNames {
  readonly systemNamespace: string;
  /** Until the mesh configuration says otherwise. */
  readonly defaults: { readonly trustDomain: string; readonly rootNamespace: string };
  /** `policy` unless told otherwise. */
  readonly requireWaypoint?: RequireWaypointDefault;
  /** Workloads behind waypoints allow them. */
  readonly allowWaypoints?: boolean;
  /** Policies in dry run are sent, marked as such. */
  readonly sendDryRun?: boolean;
}

/** Everything that ztunnels are told, and what else is derived on the way. */
export interface Ambient extends MeshGraph, WaypointGraph, EntryServices, EntryWaypoints {
  readonly services: Collection<EncodedResource>;
  readonly workloads: Collection<EncodedResource>;
  /** Workloads and services, by resource name. */
  readonly addresses: Collection<EncodedResource>;
  readonly authorizations: Collection<EncodedResource>;
  readonly policies: Collection<ConvertedPolicy>;
  /** As users wrote them, but for the mesh's trust domains, which count alike. */
  readonly authorizationPolicies: Collection<PolicyObject<AuthorizationPolicySpec>>;
  readonly authorizationProviders: Collection<UsableProvider>;
  /** Workloads of Services that L7 proxies have to know, by `namespace/hostname`. */
  readonly endpointsByService: Index<ServiceEndpoint>;
  /** By `node/namespace/serviceAccount`. */
  readonly podsByNodeIdentity: Index<PodFacts>;
  readonly defaultMesh: Mesh;
}

export function nodeIdentityKey(nodeName: string, namespace: string, serviceAccount: string): string {
  return `${nodeName}/${namespace}/${serviceAccount}`;
}

/** Weaves the pure functions of this folder over the sources. */
export function createAmbientGraph(graph: Graph, sources: Sources, options: AmbientOptions): Ambient {
  const { clusterId, clusterDomain, systemNamespace } = options;
  const names: ClusterNames = { clusterId, clusterDomain };
  const defaultMesh = meshOf(options.defaults);

  const meshGraph = createMeshGraph(graph, sources, { defaultMesh, systemNamespace });
  const { mesh } = meshGraph;

  const {
    policies,
    authorizationPolicies,
    resources: policyResources,
    attachment,
  } = createPolicyGraph(graph, sources, {
    mesh,
    defaultMesh,
    sendDryRun: options.sendDryRun ?? false,
  });
  const entryServices = createEntryServices(graph, sources, { mesh, defaultMesh, clusterDomain });
  const { entryServicesBySelector, gatewaysByNetwork } = entryServices;
  const authorizationProviders = createAuthorizationProviders(graph, sources, { mesh, clusterDomain });
  const requireByDefault = options.requireWaypoint ?? 'policy';
  const waypointGraph = createWaypointGraph(graph, sources, {
    mesh,
    authorizationProviders,
    defaultMesh,
    requireByDefault,
  });
  const { waypoints, serviceWaypoints } = waypointGraph;
  const entryWaypoints = createEntryWaypoints(graph, sources, {
    ...entryServices,
    ...waypointGraph,
    mesh,
    defaultMesh,
    requireByDefault,
  });
  const servicesBySelector = sources.services.index('selector', ({ namespace, selector }) =>
    isEmpty(selector) ? [] : [selectorKey(namespace, selector)],
  );
  const selectorlessServices = graph.map('selectorlessServices', {
    from: sources.services,
    transform: (service) => (isEmpty(service.selector) ? service : undefined),
  });
  // Slices of the other Services repeat what the selector says, and change with every pod.
  const selectorlessSlices = graph.map('selectorlessSlices', {
    from: sources.endpointSlices,
    uses: { selectorlessServices },
    transform: (slice, fetch) => {
      const service = fetch.selectorlessServices.get(`${slice.namespace}/${slice.serviceName}`);
      return service === undefined ? undefined : { slice, service };
    },
  });
  const slicesByPod = selectorlessSlices.index('pod', ({ slice: { namespace, endpoints } }) =>
    endpoints.flatMap(({ podName }) => (podName === undefined ? [] : [`${namespace}/${podName}`])),
  );

  const endpointsByService = createServiceEndpoints(graph, sources, waypointGraph, {
    ...names,
    mesh,
    defaultMesh,
    servicesBySelector,
    slicesByPod,
    ...entryServices,
    ...entryWaypoints,
  });
  const requirementPolicies = createRequirementPolicies(graph, sources, waypointGraph, {
    mesh,
    defaultMesh,
    clusterDomain,
    endpointsByService,
    ...entryServices,
    ...entryWaypoints,
  });
  const allowPolicies = createAllowPolicies(graph, waypointGraph, {
    mesh,
    defaultMesh,
    isAsked: options.allowWaypoints ?? false,
  });
  const authorizations = graph.join(
    'authorizations',
    [...policyResources, ...requirementPolicies, allowPolicies],
    {
      equal: sameResource,
    },
  );

  const kubernetesServices = graph.flatMap('serviceResources', {
    from: sources.services,
    uses: { mesh, namespaces: sources.namespaces, serviceWaypoints },
    equal: sameResource,
    transform: (service, fetch, key) => {
      const { network } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const namespace = fetch.namespaces.get(service.namespace);
      const own = fetch.serviceWaypoints.get(key);
      const context = { network, clusterDomain };
      const waypoint = own === undefined ? {} : waypointFields(service, own, context);
      return [named(serviceResource(kubernetesService(service, { ...context, namespace, waypoint })))];
    },
  });

  const podWorkloads = graph.flatMap('podWorkloads', {
    from: sources.pods,
    uses: {
      mesh,
      nodes: sources.nodes,
      servicesBySelector,
      slicesByPod,
      entryServicesBySelector,
      gatewaysByNetwork,
      ...attachment,
      namespaces: sources.namespaces,
      waypoints,
      serviceWaypoints,
      entryWaypoints: entryWaypoints.entryWaypoints,
    },
    equal: sameResource,
    transform: (pod, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { namespace, labels } = pod;
      const ownKeys = labelKeys(namespace, labels);
      const services = ownKeys
        .flatMap((at) => fetch.servicesBySelector.lookup(at))
        .filter(({ selector }) => selects(selector, labels));
      const sliceServices = fetch.slicesByPod.lookup(key);
      // A waypoint's own pods can't be behind one.
      const gateway = labels[Label.gatewayName];
      const binding =
        gateway === undefined
          ? bindWaypoint(
              {
                kind: 'workload',
                namespace,
                labels,
                namespaceLabels: fetch.namespaces.get(namespace)?.labels ?? {},
              },
              { waypoint: (at) => fetch.waypoints.get(at) },
            )
          : undefined;
      const reachable = [...services, ...sliceServices.map(({ service }) => service)];
      const entries = ownKeys
        .flatMap((at) => fetch.entryServicesBySelector.lookup(at))
        .filter(({ selector = {} }) => selects(selector, labels));
      const waypointOf = (service: string) => fetch.serviceWaypoints.get(service);
      const entryWaypointOf = (entry: string) => fetch.entryWaypoints.get(entry);
      const workload = podWorkload(pod, {
        ...names,
        mesh: meshNow,
        node: pod.nodeName === '' ? undefined : fetch.nodes.get(pod.nodeName),
        services,
        sliceServices,
        policies: [
          ...attachedPolicies(pod, meshNow.rootNamespace, fetch),
          ...(options.allowWaypoints === true
            ? waypointAllowances(binding, [
                ...reachable.map((service) => waypointOf(`${service.namespace}/${service.name}`)),
                ...entries.map((entry) => entryWaypointOf(`${entry.namespace}/${entry.name}`)),
              ])
            : []),
          ...requirementsOf('Service', reachable, waypointOf),
          ...requirementsOf('ServiceEntry', entries, entryWaypointOf),
        ],
        entries,
        waypoint: binding?.kind === 'bound' ? waypointAddress(binding.waypoint, meshNow) : undefined,
        networkGateway: gatewayOf(meshNow.network, fetch.gatewaysByNetwork),
        applicationTunnel:
          gateway === undefined ? undefined : fetch.waypoints.get(`${namespace}/${gateway}`)?.inboundBinding,
      });
      return workload === undefined ? [] : [named(workloadResource(workload))];
    },
  });

  const sliceWorkloadResources = graph.flatMap('sliceWorkloads', {
    from: sources.endpointSlices,
    uses: { mesh, services: sources.services, gatewaysByNetwork },
    equal: sameResource,
    transform: (slice, fetch) => {
      if (slice.endpoints.every(({ podName }) => podName !== undefined)) return [];
      const service: ServiceFacts | undefined = fetch.services.get(`${slice.namespace}/${slice.serviceName}`);
      if (service === undefined) return [];
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const networkGateway = gatewayOf(meshNow.network, fetch.gatewaysByNetwork);
      const context = { ...names, mesh: meshNow, networkGateway };
      return sliceWorkloads(slice, service, context).map((workload) => named(workloadResource(workload)));
    },
  });

  const entryResources = createEntryResources(graph, sources, {
    ...names,
    ...entryServices,
    ...entryWaypoints,
    mesh,
    defaultMesh,
    attachment,
    waypoints,
    serviceWaypoints,
    servicesBySelector,
    allowWaypoints: options.allowWaypoints ?? false,
  });
  const services = graph.join('meshServices', [kubernetesServices, entryResources.services], {
    equal: sameResource,
  });
  const workloads = graph.join(
    'workloads',
    [podWorkloads, sliceWorkloadResources, ...entryResources.workloads],
    { equal: sameResource },
  );
  const addresses = graph.join('addresses', [workloads, services], { equal: sameResource });
  const podsByNodeIdentity = sources.pods.index('nodeIdentity', (pod) =>
    pod.nodeName === '' ? [] : [nodeIdentityKey(pod.nodeName, pod.namespace, pod.serviceAccount)],
  );
  return {
    ...meshGraph,
    services,
    workloads,
    addresses,
    authorizations,
    policies,
    authorizationPolicies,
    authorizationProviders,
    ...waypointGraph,
    ...entryServices,
    ...entryWaypoints,
    endpointsByService,
    podsByNodeIdentity,
    defaultMesh,
  };
}

function isEmpty(labels: Readonly<Record<string, string>>): boolean {
  for (const _ in labels) return false;
  return true;
}
