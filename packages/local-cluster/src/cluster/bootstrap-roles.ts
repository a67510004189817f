import { resources } from '@weft/kubernetes';
import type { BootstrapObject } from './bootstrap-objects.ts';

interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

const READ = ['get', 'list', 'watch'] as const;
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'] as const;
const ALL = ['*'] as const;

const DISCOVERY_PATHS = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/openapi',
  '/openapi/*',
  '/version',
  '/version/',
];
const HEALTH_PATHS = ['/healthz', '/livez', '/readyz'];

const AGGREGATE_TO = 'rbac.authorization.k8s.io/aggregate-to-';

const words = (list: string): readonly string[] => list.split(' ');

/** What users of a namespace work with; `view` reads them, `edit` writes them too. */
const namespacedWork: readonly PolicyRule[] = [
  {
    apiGroups: [''],
    resources: words(
      'configmaps endpoints persistentvolumeclaims pods replicationcontrollers replicationcontrollers/scale serviceaccounts services',
    ),
    verbs: READ,
  },
  {
    apiGroups: ['apps'],
    resources: words(
      'controllerrevisions daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale',
    ),
    verbs: READ,
  },
  { apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: READ },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: READ },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: READ },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'networkpolicies'], verbs: READ },
];

const viewRules: readonly PolicyRule[] = [
  ...namespacedWork,
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
  {
    apiGroups: [''],
    resources: words(
      'bindings events limitranges namespaces namespaces/status persistentvolumeclaims/status pods/log pods/status resourcequotas resourcequotas/status services/status',
    ),
    verbs: READ,
  },
  {
    apiGroups: ['apps'],
    resources: ['daemonsets/status', 'deployments/status', 'replicasets/status', 'statefulsets/status'],
    verbs: READ,
  },
];

const editRules: readonly PolicyRule[] = [
  ...namespacedWork.map((rule) => ({ ...rule, verbs: WRITE })),
  { apiGroups: [''], resources: ['secrets'], verbs: [...READ, ...WRITE] },
  { apiGroups: [''], resources: ['events'], verbs: WRITE },
  { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'] },
  { apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'services/proxy'],
    verbs: [...READ, ...WRITE],
  },
  { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] },
  { apiGroups: ['apps'], resources: ['deployments/rollback'], verbs: WRITE },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: [...READ, ...WRITE] },
];

const adminRules: readonly PolicyRule[] = [
  {
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['roles', 'rolebindings'],
    verbs: [...READ, ...WRITE],
  },
  { apiGroups: ['authorization.k8s.io'], resources: ['localsubjectaccessreviews'], verbs: ['create'] },
];

/** What a kubelet does: its own node and Lease, the pods bound to it, and what those pods refer to. */
const nodeRules: readonly PolicyRule[] = [
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  {
    apiGroups: ['authorization.k8s.io'],
    resources: ['localsubjectaccessreviews', 'subjectaccessreviews'],
    verbs: ['create'],
  },
  { apiGroups: [''], resources: ['services'], verbs: READ },
  { apiGroups: [''], resources: ['nodes'], verbs: [...READ, 'create', 'update', 'patch'] },
  { apiGroups: [''], resources: ['nodes/status', 'pods/status'], verbs: ['patch', 'update'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update', 'get'] },
  { apiGroups: [''], resources: ['pods'], verbs: [...READ, 'create', 'delete'] },
  { apiGroups: [''], resources: ['pods/eviction', 'serviceaccounts/token'], verbs: ['create'] },
  { apiGroups: [''], resources: ['configmaps', 'secrets', 'serviceaccounts'], verbs: READ },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: [...READ, 'create', 'delete', 'patch', 'update'],
  },
];

const proxierRules: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['endpoints', 'services', 'nodes'], verbs: READ },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch', 'update'] },
];

const selfReviewRules: readonly PolicyRule[] = [
  {
    apiGroups: ['authorization.k8s.io'],
    resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
    verbs: ['create'],
  },
  { apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'], verbs: ['create'] },
];

/** The roles and bindings that every Kubernetes cluster has and that charts and tools count on. */
export function bootstrapRoles(): readonly BootstrapObject[] {
  return [
    role('cluster-admin', [
      { apiGroups: ALL, resources: ALL, verbs: ALL },
      { nonResourceURLs: ALL, verbs: ALL },
    ]),
    binding('cluster-admin', 'system:masters'),

    aggregated('admin', ['admin']),
    aggregated('edit', ['edit'], { [`${AGGREGATE_TO}admin`]: 'true' }),
    aggregated('view', ['view'], { [`${AGGREGATE_TO}edit`]: 'true' }),
    role('system:aggregate-to-admin', adminRules, { [`${AGGREGATE_TO}admin`]: 'true' }),
    role('system:aggregate-to-edit', editRules, { [`${AGGREGATE_TO}edit`]: 'true' }),
    role('system:aggregate-to-view', viewRules, { [`${AGGREGATE_TO}view`]: 'true' }),

    role('system:discovery', [{ nonResourceURLs: [...DISCOVERY_PATHS, ...HEALTH_PATHS], verbs: ['get'] }]),
    binding('system:discovery', 'system:authenticated'),
    role('system:public-info-viewer', [
      { nonResourceURLs: [...HEALTH_PATHS, '/version', '/version/'], verbs: ['get'] },
    ]),
    binding('system:public-info-viewer', 'system:authenticated', 'system:unauthenticated'),
    role('system:basic-user', selfReviewRules),
    binding('system:basic-user', 'system:authenticated'),
    role('system:service-account-issuer-discovery', [
      { nonResourceURLs: ['/.well-known/openid-configuration', '/openid/v1/jwks'], verbs: ['get'] },
    ]),
    binding('system:service-account-issuer-discovery', 'system:serviceaccounts'),

    role('system:auth-delegator', [
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
    ]),
    role('system:node', nodeRules),
    binding('system:node', 'system:nodes'),
    role('system:node-proxier', proxierRules),
    binding('system:node-proxier', 'system:node-proxier'),
  ];
}

const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' } as const;

function role(
  name: string,
  rules: readonly PolicyRule[],
  extra: Readonly<Record<string, string>> = {},
): BootstrapObject {
  const object = { metadata: { name, labels: { ...labels, ...extra } }, rules };
  return { type: resources.clusterRoles, object };
}

/** Its rules are those of all roles labelled for it; a controller keeps them so. */
function aggregated(
  name: string,
  from: readonly string[],
  extra: Readonly<Record<string, string>> = {},
): BootstrapObject {
  const clusterRoleSelectors = from.map((level) => ({
    matchLabels: { [`${AGGREGATE_TO}${level}`]: 'true' },
  }));
  const object = {
    metadata: { name, labels: { ...labels, ...extra } },
    aggregationRule: { clusterRoleSelectors },
    rules: [],
  };
  return { type: resources.clusterRoles, object };
}

function binding(clusterRole: string, ...groups: readonly string[]): BootstrapObject {
  const object = {
    metadata: { name: clusterRole, labels },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterRole },
    subjects: groups.map((name) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name })),
  };
  return { type: resources.clusterRoleBindings, object };
}
