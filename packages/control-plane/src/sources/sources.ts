import type { Graph, SourceCollection } from '@weft/collections';
import type { ServiceEntryFacts, WorkloadEntryFacts } from './entries.ts';
import type { EndpointSliceFacts, NamespaceFacts, NodeFacts, PodFacts, ServiceFacts } from './facts.ts';
import type {
  BackendTlsPolicyFacts,
  ConfigMapFacts,
  GatewayClassFacts,
  GatewayFacts,
  GrpcRouteFacts,
  HttpRouteFacts,
  ParameterConfigMap,
  ReferenceGrantFacts,
  UnservedRouteFacts,
} from './gateway-objects.ts';
import type {
  AuthorizationPolicySpec,
  PeerAuthenticationSpec,
  PolicyObject,
  RequestAuthenticationSpec,
} from './policy-objects.ts';

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
  readonly requestAuthentications: SourceCollection<PolicyObject<RequestAuthenticationSpec>>;
  readonly serviceEntries: SourceCollection<ServiceEntryFacts>;
  readonly workloadEntries: SourceCollection<WorkloadEntryFacts>;
  readonly gateways: SourceCollection<GatewayFacts>;
  readonly gatewayClasses: SourceCollection<GatewayClassFacts>;
  readonly httpRoutes: SourceCollection<HttpRouteFacts>;
  readonly grpcRoutes: SourceCollection<GrpcRouteFacts>;
  readonly tcpRoutes: SourceCollection<UnservedRouteFacts>;
  readonly tlsRoutes: SourceCollection<UnservedRouteFacts>;
  readonly udpRoutes: SourceCollection<UnservedRouteFacts>;
  readonly backendTlsPolicies: SourceCollection<BackendTlsPolicyFacts>;
  readonly referenceGrants: SourceCollection<ReferenceGrantFacts>;
  /** What Gateways say of their objects with `parametersRef`. */
  readonly gatewayParameters: SourceCollection<ParameterConfigMap>;
  /** What an operator says of the objects of all Gateways of a class, which a label names. */
  readonly classDefaults: SourceCollection<ConfigMapFacts>;
  /** Deployments that the mesh made for Gateways: the value changes with their specification. */
  readonly managedDeployments: SourceCollection<number>;
  /** Key sets of token issuers, by the URI from which they were fetched. */
  readonly jwks: SourceCollection<string>;
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
    requestAuthentications: graph.source('requestAuthentications'),
    serviceEntries: graph.source('serviceEntries'),
    workloadEntries: graph.source('workloadEntries'),
    gateways: graph.source('gateways'),
    gatewayClasses: graph.source('gatewayClasses'),
    httpRoutes: graph.source('httpRoutes'),
    grpcRoutes: graph.source('grpcRoutes'),
    tcpRoutes: graph.source('tcpRoutes'),
    tlsRoutes: graph.source('tlsRoutes'),
    udpRoutes: graph.source('udpRoutes'),
    backendTlsPolicies: graph.source('backendTlsPolicies'),
    referenceGrants: graph.source('referenceGrants'),
    gatewayParameters: graph.source('gatewayParameters'),
    classDefaults: graph.source('classDefaults'),
    managedDeployments: graph.source('managedDeployments'),
    jwks: graph.source('jwks'),
    meshConfig: graph.source('meshConfig'),
  };
}
