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
import { kubernetesService } from './services.ts';
import { type ClusterNames, podWorkload, sliceWorkloads } from './workloads.ts';

export interface AmbientOptions extends ClusterNames {
  readonly systemNamespace: string;
  /** Until the mesh configuration says otherwise. */
  readonly defaults: { readonly trustDomain: string; readonly rootNamespace: string };
}

/** Everything that ztunnels are told, and what else is derived on the way. */
export interface Ambient {
  readonly mesh: Collection<Mesh>;
  readonly services: Collection<EncodedResource>;
  readonly workloads: Collection<EncodedResource>;
  /** Workloads and services, by resource name. */
  readonly addresses: Collection<EncodedResource>;
  readonly authorizations: Collection<EncodedResource>;
  readonly policies: Collection<ConvertedPolicy>;
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
  const userPolicies = graph.map('userPolicies', {
    from: policies,
    equal: sameResource,
    transform: (policy) =>
      policy.kind === 'enforced' ? authorizationResource(policy.authorization) : undefined,
  });
  const authorizations = graph.join('authorizations', [userPolicies, peerPolicies, staticPolicies], {
    equal: sameResource,
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

  const services = graph.flatMap('serviceResources', {
    from: sources.services,
    uses: { mesh, namespaces: sources.namespaces },
    equal: sameResource,
    transform: (service, fetch) => {
      const { network } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const namespace = fetch.namespaces.get(service.namespace);
      return [named(serviceResource(kubernetesService(service, { network, clusterDomain, namespace })))];
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
      const workload = podWorkload(pod, {
        ...names,
        mesh: meshNow,
        node: pod.nodeName === '' ? undefined : fetch.nodes.get(pod.nodeName),
        services: ownKeys.flatMap((at) => fetch.servicesBySelector.lookup(at)),
        sliceServices: fetch.slicesByPod.lookup(key),
        policies: [...attached.sort(), ...derivedPolicyNames(levels, rootNamespace)],
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
  const addresses = graph.join('addresses', [workloads, services], { equal: sameResource });
  const podsByNodeIdentity = sources.pods.index('nodeIdentity', (pod) =>
    pod.nodeName === '' ? [] : [nodeIdentityKey(pod.nodeName, pod.namespace, pod.serviceAccount)],
  );
  return {
    mesh,
    services,
    workloads,
    addresses,
    authorizations,
    policies,
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
