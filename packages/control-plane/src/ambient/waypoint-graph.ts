import { Label } from '@weft/api';
import {
  type Collection,
  type Graph,
  type Index,
  type Labels,
  labelKeys,
  selectorKey,
  selects,
} from '@weft/collections';
import type { PodFacts, ServiceFacts } from '../sources/facts.ts';
import { backendKey, backendKeys } from '../sources/backend-references.ts';
import type { GrpcRouteFacts, HttpRouteFacts } from '../sources/gateway-objects.ts';
import {
  type AuthorizationPolicySpec,
  type PolicyObject,
  type RequestAuthenticationSpec,
  isDryRun,
} from '../sources/policy-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { EntryServices } from './entry-graph.ts';
import type { EntryWaypoints, ProxiedEntry } from './entry-waypoints.ts';
import type { EntryService } from './entry-services.ts';
import { serviceEntryWorkloads, workloadEntryWorkload } from './entry-workloads.ts';
import type { UsableProvider } from './authorization-providers.ts';
import type { Mesh } from './mesh.ts';
import { trustDomains } from './trust-domain-aliases.ts';
import { gatewayOf } from './networks.ts';
import { allowWaypointPolicy } from './allow-waypoint.ts';
import { attachmentKeys, attachmentKeysOf, isTargeted } from './policy-targets.ts';
import type { RequireWaypointDefault } from './require-waypoint.ts';
import { type EncodedResource, authorizationResource, named, sameResource } from './resources.ts';
import { type ServiceEndpoint, serviceEndpoints } from './service-endpoints.ts';
import { type ServiceWaypoint, principalsOf, serviceWaypoint } from './service-waypoint.ts';
import { waypointReference } from './waypoint-binding.ts';
import { type Waypoint, waypointOf } from './waypoints.ts';
import { type ClusterNames, type SliceService, podWorkload, sliceWorkloads } from './workloads.ts';

/** Who uses which waypoint. */
export interface WaypointGraph {
  readonly waypoints: Collection<Waypoint>;
  /** By `namespace/name` of the Service. */
  readonly serviceWaypoints: Collection<ServiceWaypoint>;
  /** Policies that every request has to meet, by what they are attached to. */
  readonly decidingPolicies: {
    readonly authorizations: Index<PolicyObject<AuthorizationPolicySpec>>;
    readonly authentications: Index<PolicyObject<RequestAuthenticationSpec>>;
  };
  /** Routes by what they send requests to. */
  readonly backendReferences: {
    readonly httpBackends: Index<HttpRouteFacts>;
    readonly grpcBackends: Index<GrpcRouteFacts>;
  };
  /** Pods of Gateways, by `namespace/name` of the Gateway. */
  readonly podsByGateway: Index<PodFacts>;
  /** Services whose endpoints an L7 proxy, or the policy that requires one, has to know. */
  readonly proxiedServices: Collection<true>;
}

export function createWaypointGraph(
  graph: Graph,
  sources: Sources,
  options: {
    readonly mesh: Collection<Mesh>;
    readonly authorizationProviders: Collection<UsableProvider>;
    readonly defaultMesh: Mesh;
    readonly requireByDefault: RequireWaypointDefault;
  },
): WaypointGraph {
  const { mesh, defaultMesh, authorizationProviders, requireByDefault } = options;
  const waypoints = graph.map('waypoints', {
    from: sources.gateways,
    uses: { classes: sources.gatewayClasses },
    transform: (gateway, fetch) => waypointOf(gateway, fetch.classes.get(gateway.spec.gatewayClassName)),
  });
  // What only reports doesn't have to be met by every request.
  const authorizations = sources.authorizationPolicies.index('decides', (policy) =>
    policy.spec.action === 'AUDIT' || isDryRun(policy) ? [] : attachmentKeys(policy),
  );
  const authentications = sources.requestAuthentications.index('decides', attachmentKeys);
  const decidingPolicies = { authorizations, authentications };
  const serviceWaypoints = graph.map('serviceWaypoints', {
    from: sources.services,
    uses: { mesh, namespaces: sources.namespaces, waypoints, ...decidingPolicies },
    transform: (service, fetch, key) => {
      const namespace = fetch.namespaces.get(service.namespace);
      const asked = waypointReference({
        namespace: service.namespace,
        labels: service.labels,
        namespaceLabels: namespace?.labels ?? {},
      });
      const targets = attachmentKeysOf({
        service: key,
        waypoint: asked === undefined ? undefined : `${asked.namespace}/${asked.name}`,
        rootNamespace: (fetch.mesh.get(MESH_KEY) ?? defaultMesh).rootNamespace,
      });
      return serviceWaypoint(service, {
        namespace,
        waypoint: (at) => fetch.waypoints.get(at),
        isTargeted: isTargeted(targets, fetch),
        requireByDefault,
      });
    },
  });
  const httpBackends = sources.httpRoutes.index('backend', backendKeys);
  const grpcBackends = sources.grpcRoutes.index('backend', backendKeys);
  const providersByService = authorizationProviders.index('service', ({ service: { namespace, name } }) => [
    `${namespace}/${name}`,
  ]);
  const proxiedServices = graph.map('proxiedServices', {
    from: sources.services,
    uses: { serviceWaypoints, httpBackends, grpcBackends, providersByService },
    transform: (service, fetch, key): true | undefined => {
      const waypoint = fetch.serviceWaypoints.get(key);
      const { namespace, name } = service;
      const asBackend = backendKey({ kind: 'Service', namespace, name });
      const isProxied =
        waypoint?.required === true ||
        waypoint?.binding.kind === 'bound' ||
        fetch.httpBackends.lookup(asBackend).length > 0 ||
        fetch.grpcBackends.lookup(asBackend).length > 0 ||
        fetch.providersByService.lookup(key).length > 0;
      return isProxied || undefined;
    },
  });
  const podsByGateway = sources.pods.index('gateway', ({ namespace, labels }: PodFacts) => {
    const gateway = labels[Label.gatewayName];
    return gateway === undefined ? [] : [`${namespace}/${gateway}`];
  });
  return {
    waypoints,
    serviceWaypoints,
    decidingPolicies,
    backendReferences: { httpBackends, grpcBackends },
    podsByGateway,
    proxiedServices,
  };
}

export interface ServiceEndpointOptions
  extends ClusterNames,
    EntryServices,
    Pick<EntryWaypoints, 'proxiedEntries'> {
  readonly mesh: Collection<Mesh>;
  readonly defaultMesh: Mesh;
  readonly servicesBySelector: Index<ServiceFacts>;
  readonly slicesByPod: Index<SliceService>;
}

/** Workloads of proxied Services, by `namespace/hostname`. */
export function createServiceEndpoints(
  graph: Graph,
  sources: Sources,
  { proxiedServices }: WaypointGraph,
  options: ServiceEndpointOptions,
): Index<ServiceEndpoint> {
  const { mesh, defaultMesh, servicesBySelector, slicesByPod, gatewaysByNetwork, clusterId, clusterDomain } =
    options;
  const names = { clusterId, clusterDomain };
  const { visibleEntries, proxiedEntries } = options;
  const entriesBySelector = proxiedEntries.index('selector', ({ service: { namespace, selector } }) =>
    selector === undefined ? [] : [selectorKey(namespace, selector)],
  );
  const proxiedByEntry = proxiedEntries.index('entry', ({ service: { namespace, name } }) => [
    `${namespace}/${name}`,
  ]);
  const ofPods = graph.flatMap('podEndpoints', {
    from: sources.pods,
    uses: {
      mesh,
      nodes: sources.nodes,
      servicesBySelector,
      slicesByPod,
      proxiedServices,
      entriesBySelector,
    },
    transform: (pod, fetch, key) => {
      const isProxied = ({ namespace, name }: ServiceFacts): boolean =>
        fetch.proxiedServices.get(`${namespace}/${name}`) === true;
      const services = labelKeys(pod.namespace, pod.labels)
        .flatMap((at) => fetch.servicesBySelector.lookup(at))
        .filter(isProxied);
      const sliceServices = fetch.slicesByPod.lookup(key).filter(({ service }) => isProxied(service));
      const entries = selectedEntries(pod, fetch.entriesBySelector);
      if (services.length + sliceServices.length + entries.length === 0) return [];
      const workload = podWorkload(pod, {
        ...names,
        mesh: fetch.mesh.get(MESH_KEY) ?? defaultMesh,
        node: pod.nodeName === '' ? undefined : fetch.nodes.get(pod.nodeName),
        services,
        sliceServices,
        entries,
        policies: [],
      });
      return workload === undefined ? [] : serviceEndpoints(workload);
    },
  });
  const ofSlices = graph.flatMap('sliceEndpoints', {
    from: sources.endpointSlices,
    uses: { mesh, services: sources.services, proxiedServices },
    transform: (slice, fetch) => {
      const key = `${slice.namespace}/${slice.serviceName}`;
      const service = fetch.proxiedServices.get(key) === true ? fetch.services.get(key) : undefined;
      if (service === undefined) return [];
      const context = { ...names, mesh: fetch.mesh.get(MESH_KEY) ?? defaultMesh };
      return sliceWorkloads(slice, service, context).flatMap(serviceEndpoints);
    },
  });
  const ofWorkloadEntries = graph.flatMap('workloadEntryEndpoints', {
    from: sources.workloadEntries,
    uses: { mesh, servicesBySelector, proxiedServices, gatewaysByNetwork, entriesBySelector },
    transform: (entry, fetch) => {
      const services = labelKeys(entry.namespace, entry.labels)
        .flatMap((at) => fetch.servicesBySelector.lookup(at))
        .filter(
          ({ selector, namespace, name }) =>
            selects(selector, entry.labels) && fetch.proxiedServices.get(`${namespace}/${name}`) === true,
        );
      const entries = selectedEntries(entry, fetch.entriesBySelector);
      if (services.length === 0 && entries.length === 0) return [];
      const workload = workloadEntryWorkload(entry, {
        ...names,
        mesh: fetch.mesh.get(MESH_KEY) ?? defaultMesh,
        policies: [],
        waypoint: undefined,
        networkGateway: (network) => gatewayOf(network, fetch.gatewaysByNetwork),
        services,
        entries,
      });
      return workload === undefined ? [] : serviceEndpoints(workload);
    },
  });
  const inline = graph.flatMap('serviceEntryEndpoints', {
    from: visibleEntries,
    uses: { mesh, proxiedByEntry, gatewaysByNetwork },
    transform: ({ entry }, fetch, key) =>
      serviceEntryWorkloads(
        entry,
        fetch.proxiedByEntry.lookup(key).map(({ service }) => service),
        {
          ...names,
          mesh: fetch.mesh.get(MESH_KEY) ?? defaultMesh,
          policies: [],
          waypoint: undefined,
          networkGateway: (network) => gatewayOf(network, fetch.gatewaysByNetwork),
        },
      ).flatMap(serviceEndpoints),
  });
  return graph
    .join('serviceEndpoints', [ofPods, ofSlices, ofWorkloadEntries, inline])
    .index('service', ({ service }: ServiceEndpoint) => [service]);
}

function selectedEntries(
  { namespace, labels }: { readonly namespace: string; readonly labels: Labels },
  proxied: { lookup(at: string): readonly ProxiedEntry[] },
): readonly EntryService[] {
  return labelKeys(namespace, labels)
    .flatMap((at) => proxied.lookup(at))
    .map(({ service }) => service)
    .filter(({ selector = {} }) => selects(selector, labels));
}

/** The policies by which workloads allow their waypoints; none unless that is asked for. */
export function createAllowPolicies(
  graph: Graph,
  { waypoints, podsByGateway }: WaypointGraph,
  {
    mesh,
    defaultMesh,
    isAsked,
  }: { readonly mesh: Collection<Mesh>; readonly defaultMesh: Mesh; readonly isAsked: boolean },
): Collection<EncodedResource> {
  return graph.flatMap('waypointAllowPolicies', {
    from: waypoints,
    uses: { mesh, waypoints, podsByGateway },
    equal: sameResource,
    transform: (waypoint, fetch) => {
      if (!isAsked || waypoint.address === undefined) return [];
      const principals = principalsOf([waypoint], {
        trustDomains: trustDomains(fetch.mesh.get(MESH_KEY) ?? defaultMesh),
        waypoint: (at) => fetch.waypoints.get(at),
        accountsOf: (at) => fetch.podsByGateway.lookup(at).map(({ serviceAccount }) => serviceAccount),
      });
      return [named(authorizationResource(allowWaypointPolicy(waypoint, principals)))];
    },
  });
}
