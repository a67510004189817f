import { Graph } from '@weft/collections';
import type {
  EndpointSlice,
  KubernetesObject,
  Namespace,
  Node,
  Pod,
  Service,
  UntypedObject,
} from '@weft/kubernetes';
import { serviceEntryFacts, workloadEntryFacts } from '../sources/entries.ts';
import { endpointSliceFacts, namespaceFacts, nodeFacts, podFacts, serviceFacts } from '../sources/facts.ts';
import {
  backendTlsPolicyFacts,
  configMapFacts,
  gatewayClassFacts,
  gatewayFacts,
  grpcRouteFacts,
  httpRouteFacts,
  referenceGrantFacts,
  unservedRouteFacts,
} from '../sources/gateway-objects.ts';
import { createNetworkingGraph } from '../networking/networking-graph.ts';
import { policyObject } from '../sources/policy-objects.ts';
import { meshConfigMapName } from '../sources/reflect.ts';
import { MESH_KEY, type Sources, createSources } from '../sources/sources.ts';
import type { WantedCondition } from '../gateway/gateway-status.ts';
import { createGatewayGraph } from '../gateway/gateway-graph.ts';
import { createConditionKinds } from '../status/condition-kinds.ts';
import { createPolicyConditions } from '../status/policy-conditions.ts';
import { type AmbientOptions, createAmbientGraph } from './ambient-graph.ts';
import { decodeAuthorization, decodeService, decodeWorkload, yaml } from './test-objects.ts';

const byKind: Readonly<Record<string, keyof Sources>> = {
  Pod: 'pods',
  Service: 'services',
  ServiceEntry: 'serviceEntries',
  WorkloadEntry: 'workloadEntries',
  Namespace: 'namespaces',
  Gateway: 'gateways',
  HTTPRoute: 'httpRoutes',
  AuthorizationPolicy: 'authorizationPolicies',
  PeerAuthentication: 'peerAuthentications',
};

const MESH_CONFIGMAP_KEY = `istio-system/${meshConfigMapName('')}`;

/** Test support: a graph of the whole ambient mesh, fed with objects in YAML. */
export function createMesh(
  options: Pick<AmbientOptions, 'requireWaypoint' | 'allowWaypoints' | 'sendDryRun'> = {},
) {
  const errors: string[] = [];
  const graph = new Graph({ onError: ({ collection, key }) => void errors.push(`${collection}/${key}`) });
  const sources = createSources(graph);
  const ambient = createAmbientGraph(graph, sources, {
    ...options,
    clusterId: 'Kubernetes',
    clusterDomain: 'cluster.local',
    systemNamespace: 'istio-system',
    defaults: { trustDomain: 'cluster.local', rootNamespace: 'istio-system' },
  });
  const networking = createNetworkingGraph(graph, sources, ambient, { clusterDomain: 'cluster.local' });
  const conditions = createPolicyConditions(graph, sources, ambient);
  const conditionKinds = createConditionKinds(graph, sources, ambient, conditions);
  const gateways = createGatewayGraph(graph, sources, {
    ...ambient,
    template: {
      image: 'weft/proxyv2:1',
      systemNamespace: 'istio-system',
      revision: '',
      clusterId: 'Kubernetes',
      clusterDomain: 'cluster.local',
    },
  });
  sources.meshConfig.set(MESH_KEY, '');
  graph.build();
  graph.flush();
  const changed: string[] = [];
  graph.subscribe((changes) => {
    for (const [key, { after }] of [
      ...changes.of(ambient.addresses),
      ...changes.of(ambient.authorizations),
    ]) {
      changed.push(after === undefined ? `-${key}` : key);
    }
  });

  const put = (text: string): void => {
    const object = yaml<KubernetesObject>(text);
    const { namespace, name = '' } = object.metadata;
    const key = namespace === undefined ? name : `${namespace}/${name}`;
    switch (object.kind) {
      case 'Pod':
        return sources.pods.set(key, podFacts(object as Pod));
      case 'Node':
        return sources.nodes.set(key, nodeFacts(object as Node));
      case 'Namespace':
        return sources.namespaces.set(key, namespaceFacts(object as Namespace));
      case 'Service': {
        const facts = serviceFacts(object as Service);
        return facts === undefined ? sources.services.delete(key) : sources.services.set(key, facts);
      }
      case 'EndpointSlice': {
        const facts = endpointSliceFacts(object as EndpointSlice);
        return facts === undefined
          ? sources.endpointSlices.delete(key)
          : sources.endpointSlices.set(key, facts);
      }
      case 'AuthorizationPolicy':
        return sources.authorizationPolicies.set(key, policyObject(object as UntypedObject));
      case 'PeerAuthentication':
        return sources.peerAuthentications.set(key, policyObject(object as UntypedObject));
      case 'RequestAuthentication':
        return sources.requestAuthentications.set(key, policyObject(object as UntypedObject));
      case 'ServiceEntry':
        return sources.serviceEntries.set(key, serviceEntryFacts(object));
      case 'WorkloadEntry':
        return sources.workloadEntries.set(key, workloadEntryFacts(object));
      case 'GatewayClass':
        return sources.gatewayClasses.set(key, gatewayClassFacts(object));
      case 'Gateway':
        return sources.gateways.set(key, gatewayFacts(object));
      case 'HTTPRoute':
        return sources.httpRoutes.set(key, httpRouteFacts(object));
      case 'GRPCRoute':
        return sources.grpcRoutes.set(key, grpcRouteFacts(object));
      case 'TCPRoute':
        return sources.tcpRoutes.set(key, unservedRouteFacts('TCPRoute')(object));
      case 'ConfigMap':
        if (key === MESH_CONFIGMAP_KEY) {
          return sources.meshConfig.set(MESH_KEY, configMapFacts(object).data['mesh'] ?? '');
        }
        return sources.gatewayParameters.set(key, { kind: 'present', ...configMapFacts(object) });
      case 'BackendTLSPolicy':
        return sources.backendTlsPolicies.set(key, backendTlsPolicyFacts(object));
      case 'ReferenceGrant':
        return sources.referenceGrants.set(key, referenceGrantFacts(object));
      default:
        return fail(object);
    }
  };
  return {
    graph,
    sources,
    ambient,
    networking,
    conditions,
    gateways,
    errors,
    /** Writes the objects, and tells which resources changed in consequence; removals with a minus. */
    apply(...objects: string[]): string[] {
      objects.forEach(put);
      graph.flush();
      return changed.splice(0).sort();
    },
    /** Writes an object; {@link flush} makes it count. */
    stage: put,
    remove(text: string): void {
      const { kind = '', metadata } = yaml<KubernetesObject>(text);
      const key =
        metadata.namespace === undefined ? (metadata.name ?? '') : `${metadata.namespace}/${metadata.name}`;
      if (key === MESH_CONFIGMAP_KEY) return sources.meshConfig.set(MESH_KEY, '');
      const source = byKind[kind];
      if (source === undefined) throw new Error(`the test has no use for ${kind}`);
      sources[source].delete(key);
    },
    flush(): string[] {
      graph.flush();
      return changed.splice(0).sort();
    },
    /** What the leader would write, by kind and key. */
    conditionsOfAll: (): (readonly [string, string[]])[] => [
      ...conditionKinds.flatMap(({ type, wanted }) =>
        [...wanted.entries()].map(
          ([key, list]) => [`${type.kind} ${key}`, list.map(describeCondition)] as const,
        ),
      ),
      ...Object.entries(gateways.routeParents).flatMap(([kind, of]) =>
        [...of.entries()].map(
          ([key, parents]) =>
            [
              `${kind} ${key}`,
              parents.flatMap(({ parentRef, conditions }) =>
                conditions.map((c) => `${parentRef.kind ?? ''} ${parentRef.name}: ${describeCondition(c)}`),
              ),
            ] as const,
        ),
      ),
    ],
    service: (key: string) => decodeService(ambient.services.get(key)),
    authorization: (key: string) => {
      const resource = ambient.authorizations.get(key);
      return resource && decodeAuthorization(resource);
    },
    workload: (name: string) => decodeWorkload(ambient.workloads.get(`Kubernetes//Pod/shop/${name}`)),
  };
}

function describeCondition({ type, status, reason, message }: WantedCondition): string {
  return `${type} ${status}/${reason}: ${message}`;
}

function fail(object: KubernetesObject): never {
  throw new Error(`the test has no use for ${object.kind ?? 'nothing'}`);
}
