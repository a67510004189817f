import type {
  ConfigMap,
  EndpointSlice,
  Event,
  KubernetesObject,
  Lease,
  Namespace,
  Node,
  Pod,
  PodController,
  Secret,
  Service,
  ServiceAccount,
  UntypedObject,
} from './objects.ts';

/** A resource of the API and the type of its objects. */
export interface ResourceType<T extends KubernetesObject = KubernetesObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set: ties T to the value, so that `client.get(resources.pods, …)` is a Pod. */
  readonly objectType?: T;
}

function namespaced<T extends KubernetesObject = UntypedObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
): ResourceType<T> {
  return { group, version, plural, kind, namespaced: true };
}

function clusterScoped<T extends KubernetesObject = UntypedObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
): ResourceType<T> {
  return { group, version, plural, kind, namespaced: false };
}

const RBAC = 'rbac.authorization.k8s.io';
const ADMISSION = 'admissionregistration.k8s.io';
const GATEWAY_API = 'gateway.networking.k8s.io';

export const resources = {
  pods: namespaced<Pod>('', 'v1', 'pods', 'Pod'),
  services: namespaced<Service>('', 'v1', 'services', 'Service'),
  serviceAccounts: namespaced<ServiceAccount>('', 'v1', 'serviceaccounts', 'ServiceAccount'),
  configMaps: namespaced<ConfigMap>('', 'v1', 'configmaps', 'ConfigMap'),
  secrets: namespaced<Secret>('', 'v1', 'secrets', 'Secret'),
  events: namespaced<Event>('', 'v1', 'events', 'Event'),
  namespaces: clusterScoped<Namespace>('', 'v1', 'namespaces', 'Namespace'),
  nodes: clusterScoped<Node>('', 'v1', 'nodes', 'Node'),
  endpointSlices: namespaced<EndpointSlice>('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  deployments: namespaced<PodController>('apps', 'v1', 'deployments', 'Deployment'),
  replicaSets: namespaced<PodController>('apps', 'v1', 'replicasets', 'ReplicaSet'),
  daemonSets: namespaced<PodController>('apps', 'v1', 'daemonsets', 'DaemonSet'),
  statefulSets: namespaced<PodController>('apps', 'v1', 'statefulsets', 'StatefulSet'),
  jobs: namespaced<PodController>('batch', 'v1', 'jobs', 'Job'),
  horizontalPodAutoscalers: namespaced(
    'autoscaling',
    'v2',
    'horizontalpodautoscalers',
    'HorizontalPodAutoscaler',
  ),
  podDisruptionBudgets: namespaced('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget'),
  networkPolicies: namespaced('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy'),
  leases: namespaced<Lease>('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  priorityClasses: clusterScoped('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass'),
  clusterRoles: clusterScoped(RBAC, 'v1', 'clusterroles', 'ClusterRole'),
  clusterRoleBindings: clusterScoped(RBAC, 'v1', 'clusterrolebindings', 'ClusterRoleBinding'),
  validatingWebhookConfigurations: clusterScoped(
    ADMISSION,
    'v1',
    'validatingwebhookconfigurations',
    'ValidatingWebhookConfiguration',
  ),
  customResourceDefinitions: clusterScoped(
    'apiextensions.k8s.io',
    'v1',
    'customresourcedefinitions',
    'CustomResourceDefinition',
  ),
  tokenReviews: clusterScoped('authentication.k8s.io', 'v1', 'tokenreviews', 'TokenReview'),

  authorizationPolicies: namespaced(
    'security.istio.io',
    'v1',
    'authorizationpolicies',
    'AuthorizationPolicy',
  ),
  peerAuthentications: namespaced('security.istio.io', 'v1', 'peerauthentications', 'PeerAuthentication'),
  requestAuthentications: namespaced(
    'security.istio.io',
    'v1',
    'requestauthentications',
    'RequestAuthentication',
  ),
  serviceEntries: namespaced('networking.istio.io', 'v1', 'serviceentries', 'ServiceEntry'),
  workloadEntries: namespaced('networking.istio.io', 'v1', 'workloadentries', 'WorkloadEntry'),
  gateways: namespaced(GATEWAY_API, 'v1', 'gateways', 'Gateway'),
  gatewayClasses: clusterScoped(GATEWAY_API, 'v1', 'gatewayclasses', 'GatewayClass'),
  httpRoutes: namespaced(GATEWAY_API, 'v1', 'httproutes', 'HTTPRoute'),
  grpcRoutes: namespaced(GATEWAY_API, 'v1', 'grpcroutes', 'GRPCRoute'),
  tcpRoutes: namespaced(GATEWAY_API, 'v1', 'tcproutes', 'TCPRoute'),
  tlsRoutes: namespaced(GATEWAY_API, 'v1', 'tlsroutes', 'TLSRoute'),
  udpRoutes: namespaced(GATEWAY_API, 'v1', 'udproutes', 'UDPRoute'),
  backendTlsPolicies: namespaced(GATEWAY_API, 'v1', 'backendtlspolicies', 'BackendTLSPolicy'),
  referenceGrants: namespaced(GATEWAY_API, 'v1', 'referencegrants', 'ReferenceGrant'),
} as const;

/** `v1` or `apps/v1`. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** The request path of a collection, an object, or one of its subresources. */
export function resourcePath(
  type: ResourceType,
  o: {
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
    readonly subresource?: string | undefined;
  } = {},
): string {
  const segments = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version];
  if (type.namespaced && o.namespace !== undefined && o.namespace !== '')
    segments.push('namespaces', o.namespace);
  segments.push(type.plural);
  if (o.name !== undefined) segments.push(o.name);
  if (o.subresource !== undefined) segments.push(o.subresource);
  return `/${segments.map(encodeURIComponent).join('/')}`;
}

/** `namespace/name`, or `name` for objects outside namespaces: the key of an object within its resource. */
export function objectKey(object: KubernetesObject): string {
  const { namespace, name = '' } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}
