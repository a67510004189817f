import { type Collection, type Graph, type Index, labelKeys, selectorKey, selects } from '@weft/collections';
import { waypointAllowances } from './allow-waypoint.ts';
import type { ServiceFacts } from '../sources/facts.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import {
  type EntryService,
  type VisibleEntry,
  entryServiceKey,
  entryServiceMessage,
  entryServices,
} from './entry-services.ts';
import type { EntryWaypoints } from './entry-waypoints.ts';
import { serviceEntryWorkloads, workloadEntryWorkload } from './entry-workloads.ts';
import { coversSearchDomains, kubernetesServiceKey, singleAddress } from './cluster-names.ts';
import type { Mesh } from './mesh.ts';
import { type NetworkGateway, gatewayOf, networkGatewayWorkload, networkGateways } from './networks.ts';
import { type AttachmentUses, attachedPolicies } from './policy-graph.ts';
import { type EncodedResource, named, sameResource, serviceResource, workloadResource } from './resources.ts';
import { type ServiceWaypoint, requirementsOf, waypointAddress, waypointFields } from './service-waypoint.ts';
import { visibilityOf } from './visibility.ts';
import { bindWaypoint } from './waypoint-binding.ts';
import type { Waypoint } from './waypoints.ts';
import type { ClusterNames } from './workloads.ts';

interface MeshOptions {
  readonly mesh: Collection<Mesh>;
  readonly defaultMesh: Mesh;
}

/** The services that ServiceEntries make, before anybody knows who serves them. */
export interface EntryServices {
  /** Entries that anybody may see, by `namespace/name`. */
  readonly visibleEntries: Collection<VisibleEntry>;
  /** By `namespace/hostname`. */
  readonly entryServices: Collection<EntryService>;
  readonly entryServicesBySelector: Index<EntryService>;
  /** By `namespace/name` of the ServiceEntry. */
  readonly entryServicesByEntry: Index<EntryService>;
  /** By hostname: one of each namespace that has it. */
  readonly entryServicesByHost: Index<EntryService>;
  /** Ways into networks, by network. */
  readonly gatewaysByNetwork: Index<NetworkGateway>;
  /** By resource name. */
  readonly networkGateways: Collection<NetworkGateway>;
}

export function createEntryServices(
  graph: Graph,
  sources: Sources,
  options: MeshOptions & { readonly clusterDomain: string },
): EntryServices {
  const { mesh, defaultMesh, clusterDomain } = options;
  const visibleEntries = graph.map('visibleEntries', {
    from: sources.serviceEntries,
    uses: { mesh, namespaces: sources.namespaces },
    transform: (entry, fetch): VisibleEntry | undefined => {
      const { namespace, spec } = entry;
      const { serviceEntryVisibility } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const labels = fetch.namespaces.get(namespace)?.labels ?? {};
      const visibility = visibilityOf({ namespace, exportTo: spec.exportTo }, labels, serviceEntryVisibility);
      return visibility === 'NONE' ? undefined : { entry, visibility };
    },
  });
  const entriesByHost = visibleEntries.index('host', ({ entry }) => new Set(entry.spec.hosts));
  const servicesByAddress = sources.services.index('address', ({ clusterIps }) =>
    clusterIps.flatMap((address) => singleAddress(address) ?? []),
  );
  const services = graph.flatMap('entryServices', {
    from: visibleEntries,
    uses: { mesh, entriesByHost, services: sources.services, servicesByAddress },
    transform: (visible, fetch) => {
      const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      return entryServices(visible, {
        kubernetesNamespace: (hostname) => {
          const key = kubernetesServiceKey(hostname, clusterDomain);
          return key === undefined ? undefined : fetch.services.get(key)?.namespace;
        },
        entries: (hostname) => fetch.entriesByHost.lookup(hostname),
        isForOwnNamespace: (hostname, namespace) =>
          namespace !== rootNamespace && coversSearchDomains(hostname, namespace, clusterDomain),
        addressNamespaces: (address) =>
          fetch.servicesByAddress.lookup(address).map(({ namespace }) => namespace),
      }).map((service) => [entryServiceKey(service), service] as const);
    },
  });
  const networkGatewayCollection = graph.flatMap('networkGateways', {
    from: sources.gateways,
    transform: (gateway) => networkGateways(gateway).map((one) => [one.uid, one] as const),
  });
  return {
    visibleEntries,
    entryServices: services,
    entryServicesBySelector: services.index('selector', ({ namespace, selector }) =>
      selector === undefined ? [] : [selectorKey(namespace, selector)],
    ),
    entryServicesByEntry: services.index('entry', ({ namespace, name }) => [`${namespace}/${name}`]),
    entryServicesByHost: services.index('host', ({ hostname }) => [hostname]),
    networkGateways: networkGatewayCollection,
    gatewaysByNetwork: networkGatewayCollection.index('network', ({ network }) => [network]),
  };
}

export interface EntryResourceOptions
  extends ClusterNames,
    MeshOptions,
    EntryServices,
    Pick<EntryWaypoints, 'entryWaypoints'> {
  readonly attachment: AttachmentUses;
  readonly waypoints: Collection<Waypoint>;
  readonly serviceWaypoints: Collection<ServiceWaypoint>;
  readonly servicesBySelector: Index<ServiceFacts>;
  readonly allowWaypoints: boolean;
}

/** What data planes are told of ServiceEntries, WorkloadEntries and the gateways of networks. */
export interface EntryResources {
  readonly services: Collection<EncodedResource>;
  readonly workloads: readonly Collection<EncodedResource>[];
}

export function createEntryResources(
  graph: Graph,
  sources: Sources,
  options: EntryResourceOptions,
): EntryResources {
  const { mesh, defaultMesh, attachment, waypoints, gatewaysByNetwork, clusterId, clusterDomain } = options;
  const { namespaces } = sources;
  const names: ClusterNames = { clusterId, clusterDomain };
  const { entryServicesByEntry, entryServicesBySelector, servicesBySelector, visibleEntries } = options;
  const { entryWaypoints } = options;

  const services = graph.map('entryServiceResources', {
    from: options.entryServices,
    uses: { mesh, namespaces, entryWaypoints },
    equal: sameResource,
    transform: (service, fetch) => {
      const { network } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const namespace = fetch.namespaces.get(service.namespace);
      const own = fetch.entryWaypoints.get(`${service.namespace}/${service.name}`);
      const waypoint = own === undefined ? {} : waypointFields(service, own, { network, clusterDomain });
      return serviceResource(entryServiceMessage(service, { network, namespace, waypoint }));
    },
  });
  const common = { mesh, namespaces, waypoints, gatewaysByNetwork, ...attachment };
  const workloadEntries = graph.flatMap('workloadEntryWorkloads', {
    from: sources.workloadEntries,
    uses: {
      ...common,
      serviceWaypoints: options.serviceWaypoints,
      entryWaypoints,
      entryServicesBySelector,
      servicesBySelector,
    },
    equal: sameResource,
    transform: (entry, fetch) => {
      const { namespace, labels } = entry;
      const keys = labelKeys(namespace, labels);
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const namespaceLabels = fetch.namespaces.get(namespace)?.labels ?? {};
      const binding = bindWaypoint(
        { kind: 'workload', namespace, labels, namespaceLabels },
        { waypoint: (at) => fetch.waypoints.get(at) },
      );
      const services = keys
        .flatMap((at) => fetch.servicesBySelector.lookup(at))
        .filter(({ selector }) => selects(selector, labels));
      const selecting = keys
        .flatMap((at) => fetch.entryServicesBySelector.lookup(at))
        .filter(({ selector = {} }) => selects(selector, labels));
      const waypointOf = (service: string) => fetch.serviceWaypoints.get(service);
      const entryWaypointOf = (serviceEntry: string) => fetch.entryWaypoints.get(serviceEntry);
      const workload = workloadEntryWorkload(entry, {
        ...names,
        mesh: meshNow,
        policies: [
          ...attachedPolicies(entry, meshNow.rootNamespace, fetch),
          ...(options.allowWaypoints
            ? waypointAllowances(binding, [
                ...services.map((service) => waypointOf(`${service.namespace}/${service.name}`)),
                ...selecting.map((service) => entryWaypointOf(`${service.namespace}/${service.name}`)),
              ])
            : []),
          ...requirementsOf('Service', services, waypointOf),
          ...requirementsOf('ServiceEntry', selecting, entryWaypointOf),
        ],
        waypoint: binding.kind === 'bound' ? waypointAddress(binding.waypoint, meshNow) : undefined,
        networkGateway: (network) => gatewayOf(network, fetch.gatewaysByNetwork),
        services,
        entries: selecting,
      });
      return workload === undefined ? [] : [named(workloadResource(workload))];
    },
  });
  const serviceEntries = graph.flatMap('serviceEntryWorkloads', {
    from: visibleEntries,
    uses: { ...common, entryServicesByEntry, entryWaypoints },
    equal: sameResource,
    transform: ({ entry }, fetch, key) => {
      const { namespace, labels } = entry;
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const namespaceLabels = fetch.namespaces.get(namespace)?.labels ?? {};
      const binding = bindWaypoint(
        { kind: 'workload', namespace, labels, namespaceLabels },
        { waypoint: (at) => fetch.waypoints.get(at) },
      );
      return serviceEntryWorkloads(entry, fetch.entryServicesByEntry.lookup(key), {
        ...names,
        mesh: meshNow,
        policies: [
          ...attachedPolicies(entry, meshNow.rootNamespace, fetch),
          ...(options.allowWaypoints ? waypointAllowances(binding, [fetch.entryWaypoints.get(key)]) : []),
          ...requirementsOf('ServiceEntry', [entry], (at) => fetch.entryWaypoints.get(at)),
        ],
        waypoint: binding.kind === 'bound' ? waypointAddress(binding.waypoint, meshNow) : undefined,
        networkGateway: (network) => gatewayOf(network, fetch.gatewaysByNetwork),
      }).map((workload) => named(workloadResource(workload)));
    },
  });
  const gateways = graph.map('networkGatewayWorkloads', {
    from: options.networkGateways,
    equal: sameResource,
    transform: (gateway) => workloadResource(networkGatewayWorkload(gateway, clusterId)),
  });
  return { services, workloads: [workloadEntries, serviceEntries, gateways] };
}
