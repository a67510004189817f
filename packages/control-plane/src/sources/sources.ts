import type { Graph, SourceCollection } from '@weft/collections';
import type { EndpointSliceFacts, NamespaceFacts, NodeFacts, PodFacts, ServiceFacts } from './facts.ts';
import type { AuthorizationPolicySpec, PeerAuthenticationSpec, PolicyObject } from './policy-objects.ts';

/** Where facts about the cluster enter the graph. Keys are `namespace/name`, or the name of what has no namespace. */
export interface Sources {
  readonly pods: SourceCollection<PodFacts>;
  readonly services: SourceCollection<ServiceFacts>;
  readonly endpointSlices: SourceCollection<EndpointSliceFacts>;
  readonly namespaces: SourceCollection<NamespaceFacts>;
  readonly nodes: SourceCollection<NodeFacts>;
  readonly serviceAccounts: SourceCollection<true>;
  readonly authorizationPolicies: SourceCollection<PolicyObject<AuthorizationPolicySpec>>;
  readonly peerAuthentications: SourceCollection<PolicyObject<PeerAuthenticationSpec>>;
  /** Key {@link MESH_KEY}: the text of the mesh configuration, empty when there is none. */
  readonly meshConfig: SourceCollection<string>;
}

export const MESH_KEY = 'mesh';

export function createSources(graph: Graph): Sources {
  return {
    pods: graph.source('pods'),
    services: graph.source('services'),
    endpointSlices: graph.source('endpointSlices'),
    namespaces: graph.source('namespaces'),
    nodes: graph.source('nodes'),
    serviceAccounts: graph.source('serviceAccounts'),
    authorizationPolicies: graph.source('authorizationPolicies'),
    peerAuthentications: graph.source('peerAuthentications'),
    meshConfig: graph.source('meshConfig'),
  };
}
