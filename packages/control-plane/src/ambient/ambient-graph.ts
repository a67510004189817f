import { Label } from '@weft/api';
import { type Collection, type Graph, type Index, labelKeys, selectorKey, selects } from '@weft/collections';
import type { PodFacts, ServiceFacts } from '../sources/facts.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { type ConvertedPolicy, convertAuthorizationPolicy } from './authorization-policies.ts';
import { type Mesh, parseMeshConfig } from './mesh.ts';
import {
  convertPeerAuthentication,
  derivedPolicyNames,
  oldest,
  peerAuthenticationSelector,
  staticStrictPolicy,
} from './peer-authentications.ts';
import {
  type EncodedResource,
  authorizationResource,
  sameResource,
  serviceResource,
  workloadResource,
} from './resources.ts';
import { type RequireWaypointDefault, requireWaypointPolicyName } from './require-waypoint.ts';
import type { ServiceEndpoint } from './service-endpoints.ts';
import { waypointAddress, waypointFields } from './service-waypoint.ts';
import { kubernetesService } from './services.ts';
import { bindWaypoint } from './waypoint-binding.ts';
import {
  type WaypointGraph,
  createRequirementPolicies,
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
}

/** Everything that ztunnels are told, and what else is derived on the way. */
export interface Ambient extends WaypointGraph {
  readonly mesh: Collection<Mesh>;
  readonly services: Collection<EncodedResource>;
  readonly workloads: Collection<EncodedResource>;
  /** By `network/ip`. */
  readonly workloadsByAlias: Index<EncodedResource>;
  /** Workloads and services, by resource name. */
  readonly addresses: Collection<EncodedResource>;
  readonly authorizations: Collection<EncodedResource>;
  readonly policies: Collection<ConvertedPolicy>;
  /** Workloads of Services that L7 proxies have to know, by `namespace/hostname`. */
  readonly endpointsByService: Index<ServiceEndpoint>;
  /** By `node/namespace/serviceAccount`. */
  readonly podsByNodeIdentity: Index<PodFacts>;
  readonly defaultMesh: Mesh;
}

/** In the scope of every namespace: the selectors of policies in the root namespace. */
const EVERYWHERE = '*';

export function nodeIdentityKey(nodeName: string, namespace: string, serviceAccount: string): string {
  return `${nodeName}/${namespace}/${serviceAccount}`;
}

/** Weaves the pure functions of this folder over the sources. */
export function createAmbientGraph(graph: Graph, sources: Sources, options: AmbientOptions): Ambient {
  const { clusterId, clusterDomain, systemNamespace } = options;
  const names: ClusterNames = { clusterId, clusterDomain };
  const defaultMesh: Mesh = { ...options.defaults, network: '' };

  // An invalid configuration throws, and the last valid one stays in force.
  const meshSettings = graph.map('meshSettings', {
    from: sources.meshConfig,
    transform: (text) => parseMeshConfig(text, defaultMesh),
  });
  const mesh = graph.map('mesh', {
    from: sources.meshConfig,
    uses: { meshSettings, namespaces: sources.namespaces },
    transform: (_text, fetch): Mesh => ({
      ...(fetch.meshSettings.get(MESH_KEY) ?? defaultMesh),
      network: fetch.namespaces.get(systemNamespace)?.labels[Label.network] ?? '',
    }),
  });

  const policies = graph.map('policies', {
    from: sources.authorizationPolicies,
    uses: { mesh },
    transform: (policy, fetch) =>
      convertAuthorizationPolicy(policy, (fetch.mesh.get(MESH_KEY) ?? defaultMesh).rootNamespace),
  });
  // Apart from the rules, so that editing a rule doesn't touch the workloads that the policy selects.
  const policySelectors = graph.map('policySelectors', {
    from: policies,
    transform: (policy, _fetch, key) => {
      if (policy.kind !== 'enforced' || policy.selector === undefined) return undefined;
      const [namespace = ''] = key.split('/');
      return { key, selector: policy.selector, scope: policy.everywhere ? EVERYWHERE : namespace };
    },
  });
  const policiesBySelector = policySelectors.index('selector', ({ scope, selector }) => [
    selectorKey(scope, selector),
  ]);

  const { peerAuthentications } = sources;
  const selectingPeerAuthentications = peerAuthentications.index('selector', (peer) => {
    const selector = peerAuthenticationSelector(peer);
    return selector === undefined ? [] : [selectorKey(peer.namespace, selector)];
  });
  const namespacePeerAuthentications = peerAuthentications.index('namespace', (peer) =>
    peerAuthenticationSelector(peer) === undefined ? [peer.namespace] : [],
  );

  const peerPolicies = graph.flatMap('peerPolicies', {
    from: peerAuthentications,
    uses: { mesh, peers: namespacePeerAuthentications },
    equal: sameResource,
    transform: (workload, fetch) => {
      const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      if (peerAuthenticationSelector(workload) === undefined || workload.namespace === rootNamespace)
        return [];
      const namespace = oldest(fetch.peers.lookup(workload.namespace));
      const converted = convertPeerAuthentication({
        workload,
        namespace,
        root: oldest(fetch.peers.lookup(rootNamespace)),
      });
      return converted === undefined ? [] : [named(authorizationResource(converted))];
    },
  });
  const staticPolicies = graph.flatMap('staticPolicies', {
    from: mesh,
    uses: { peerAuthentications },
    equal: sameResource,
    transform: ({ rootNamespace }, fetch) =>
      fetch.peerAuthentications.all().length === 0
        ? []
        : [named(authorizationResource(staticStrictPolicy(rootNamespace)))],
  });
  const waypointGraph = createWaypointGraph(graph, sources, {
    mesh,
    defaultMesh,
    requireByDefault: options.requireWaypoint ?? 'policy',
  });
  const { waypoints, serviceWaypoints } = waypointGraph;
  const userPolicies = graph.map('userPolicies', {
    from: policies,
    equal: sameResource,
    transform: (policy) =>
      policy.kind === 'enforced' ? authorizationResource(policy.authorization) : undefined,
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
  });
  const requirementPolicies = createRequirementPolicies(graph, sources, waypointGraph, {
    mesh,
    defaultMesh,
    clusterDomain,
    endpointsByService,
  });
  const authorizations = graph.join(
    'authorizations',
    [userPolicies, peerPolicies, staticPolicies, requirementPolicies],
    { equal: sameResource },
  );

  const services = graph.flatMap('serviceResources', {
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
      policiesBySelector,
      selectingPeerAuthentications,
      namespacePeerAuthentications,
      namespaces: sources.namespaces,
      waypoints,
      serviceWaypoints,
    },
    equal: sameResource,
    transform: (pod, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { rootNamespace } = meshNow;
      const { namespace, labels } = pod;
      const ownKeys = labelKeys(namespace, labels);
      const attached = [...ownKeys, ...labelKeys(EVERYWHERE, labels)]
        .flatMap((at) => fetch.policiesBySelector.lookup(at))
        .filter(({ selector }) => selects(selector, labels))
        .map((policy) => policy.key);
      const selectingPeers = ownKeys
        .flatMap((at) => fetch.selectingPeerAuthentications.lookup(at))
        .filter((peer) => selects(peerAuthenticationSelector(peer) ?? {}, labels));
      const levels = {
        // With a selector in the root namespace it has no meaning: not the mesh, and not a workload's own namespace.
        workload: namespace === rootNamespace ? undefined : oldest(selectingPeers),
        namespace: oldest(fetch.namespacePeerAuthentications.lookup(namespace)),
        root: oldest(fetch.namespacePeerAuthentications.lookup(rootNamespace)),
      };
      const services = ownKeys
        .flatMap((at) => fetch.servicesBySelector.lookup(at))
        .filter(({ selector }) => selects(selector, labels));
      const sliceServices = fetch.slicesByPod.lookup(key);
      const requirements = [...services, ...sliceServices.map(({ service }) => service)]
        .filter((service) => fetch.serviceWaypoints.get(`${service.namespace}/${service.name}`)?.required)
        .map((service) => requireWaypointPolicyName(service.namespace, service.name));
      // A waypoint's own pods can't be behind one.
      const binding =
        labels[Label.gatewayName] === undefined
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
      const workload = podWorkload(pod, {
        ...names,
        mesh: meshNow,
        node: pod.nodeName === '' ? undefined : fetch.nodes.get(pod.nodeName),
        services,
        sliceServices,
        policies: [
          ...attached.sort(),
          ...derivedPolicyNames(levels, rootNamespace),
          ...[...new Set(requirements)].sort(),
        ],
        waypoint: binding?.kind === 'bound' ? waypointAddress(binding.waypoint, meshNow) : undefined,
      });
      return workload === undefined ? [] : [named(workloadResource(workload))];
    },
  });

  const sliceWorkloadResources = graph.flatMap('sliceWorkloads', {
    from: sources.endpointSlices,
    uses: { mesh, services: sources.services },
    equal: sameResource,
    transform: (slice, fetch) => {
      if (slice.endpoints.every(({ podName }) => podName !== undefined)) return [];
      const service: ServiceFacts | undefined = fetch.services.get(`${slice.namespace}/${slice.serviceName}`);
      if (service === undefined) return [];
      const context = { ...names, mesh: fetch.mesh.get(MESH_KEY) ?? defaultMesh };
      return sliceWorkloads(slice, service, context).map((workload) => named(workloadResource(workload)));
    },
  });

  const workloads = graph.join('workloads', [podWorkloads, sliceWorkloadResources], { equal: sameResource });
  const workloadsByAlias = workloads.index('alias', ({ aliases = [] }: EncodedResource) => [...aliases]);
  const addresses = graph.join('addresses', [workloads, services], { equal: sameResource });
  const podsByNodeIdentity = sources.pods.index('nodeIdentity', (pod) =>
    pod.nodeName === '' ? [] : [nodeIdentityKey(pod.nodeName, pod.namespace, pod.serviceAccount)],
  );
  return {
    mesh,
    services,
    workloads,
    workloadsByAlias,
    addresses,
    authorizations,
    policies,
    ...waypointGraph,
    endpointsByService,
    podsByNodeIdentity,
    defaultMesh,
  };
}

function named(resource: EncodedResource): readonly [string, EncodedResource] {
  return [resource.name, resource];
}

function isEmpty(labels: Readonly<Record<string, string>>): boolean {
  for (const _ in labels) return false;
  return true;
}
