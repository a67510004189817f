import { ensureObject, setAbsent, setDefault } from './default-values.ts';
import { cloneJson, isObject, type JsonObject, objectAt, objectsAt, stringAt } from './json.ts';
import { defaultClaimSpec, defaultPod, defaultTemplate } from './pod-defaults.ts';

type Defaulter = (object: JsonObject) => void;

/** Defaults of the built-in kinds, by `group/Kind`; what Kubernetes does in `SetDefaults_…`. */
export const builtinDefaults: ReadonlyMap<string, Defaulter> = new Map<string, Defaulter>([
  ['/Pod', defaultPod],
  ['/PodTemplate', defaultTemplate],
  ['/ReplicationController', defaultReplicationController],
  ['/Service', defaultService],
  ['/Secret', defaultSecret],
  ['/Namespace', defaultNamespace],
  ['/PersistentVolumeClaim', defaultClaim],
  ['/Endpoints', defaultEndpoints],
  ['apps/Deployment', defaultDeployment],
  ['apps/ReplicaSet', defaultReplicaSet],
  ['apps/DaemonSet', defaultDaemonSet],
  ['apps/StatefulSet', defaultStatefulSet],
  ['batch/Job', defaultJob],
  ['batch/CronJob', defaultCronJob],
  ['autoscaling/HorizontalPodAutoscaler', defaultAutoscaler],
  ['discovery.k8s.io/EndpointSlice', defaultEndpointSlice],
  ['rbac.authorization.k8s.io/RoleBinding', defaultBinding],
  ['rbac.authorization.k8s.io/ClusterRoleBinding', defaultBinding],
  ['networking.k8s.io/NetworkPolicy', defaultNetworkPolicy],
  ['authentication.k8s.io/TokenRequest', defaultTokenRequest],
  ['storage.k8s.io/StorageClass', defaultStorageClass],
  [
    'scheduling.k8s.io/PriorityClass',
    (object) => setAbsent(object, 'preemptionPolicy', 'PreemptLowerPriority'),
  ],
  ['admissionregistration.k8s.io/MutatingWebhookConfiguration', (object) => defaultWebhooks(object, true)],
  ['admissionregistration.k8s.io/ValidatingWebhookConfiguration', (object) => defaultWebhooks(object, false)],
  ['admissionregistration.k8s.io/ValidatingAdmissionPolicy', defaultAdmissionPolicy],
  ['admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding', defaultPolicyBinding],
  ['apiextensions.k8s.io/CustomResourceDefinition', defaultCustomResourceDefinition],
]);

function defaultDeployment(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'replicas', 1);
  setAbsent(spec, 'revisionHistoryLimit', 10);
  setAbsent(spec, 'progressDeadlineSeconds', 600);
  const strategy = ensureObject(spec, 'strategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate') {
    const rolling = ensureObject(strategy, 'rollingUpdate');
    setAbsent(rolling, 'maxUnavailable', '25%');
    setAbsent(rolling, 'maxSurge', '25%');
  }
  defaultTemplate(spec);
}

function defaultReplicaSet(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'replicas', 1);
  defaultTemplate(spec);
}

function defaultReplicationController(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'replicas', 1);
  const labels = objectAt(objectAt(objectAt(spec, 'template'), 'metadata'), 'labels');
  if (labels !== undefined) setAbsent(spec, 'selector', cloneJson(labels));
  defaultTemplate(spec);
}

function defaultDaemonSet(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'revisionHistoryLimit', 10);
  // kubectl rollout status refuses a DaemonSet without it.
  const strategy = ensureObject(spec, 'updateStrategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate') {
    const rolling = ensureObject(strategy, 'rollingUpdate');
    setAbsent(rolling, 'maxUnavailable', 1);
    setAbsent(rolling, 'maxSurge', 0);
  }
  defaultTemplate(spec);
}

function defaultStatefulSet(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'replicas', 1);
  setAbsent(spec, 'revisionHistoryLimit', 10);
  setDefault(spec, 'podManagementPolicy', 'OrderedReady');
  const strategy = ensureObject(spec, 'updateStrategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate')
    setAbsent(ensureObject(strategy, 'rollingUpdate'), 'partition', 0);
  const retention = ensureObject(spec, 'persistentVolumeClaimRetentionPolicy');
  setDefault(retention, 'whenDeleted', 'Retain');
  setDefault(retention, 'whenScaled', 'Retain');
  for (const claim of objectsAt(spec, 'volumeClaimTemplates')) defaultClaim(claim);
  defaultTemplate(spec);
}

function defaultJob(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  defaultJobSpec(spec);
  // Done by the API server's strategy in Kubernetes; the Job controller and helm rely on it.
  const uid = stringAt(objectAt(object, 'metadata'), 'uid');
  const template = objectAt(spec, 'template');
  if (uid === undefined || template === undefined || spec['manualSelector'] === true) return;
  if (objectAt(spec, 'selector') !== undefined) return;
  const labels = ensureObject(ensureObject(template, 'metadata'), 'labels');
  const name = stringAt(objectAt(object, 'metadata'), 'name') ?? '';
  for (const prefix of ['', 'batch.kubernetes.io/']) {
    setAbsent(labels, `${prefix}controller-uid`, uid);
    setAbsent(labels, `${prefix}job-name`, name);
  }
  spec['selector'] = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
}

function defaultJobSpec(spec: JsonObject): void {
  const absent = (field: string): boolean => spec[field] === undefined || spec[field] === null;
  if (absent('completions') && absent('parallelism')) spec['completions'] = 1;
  setAbsent(spec, 'parallelism', 1);
  // helm's legacy waiter dereferences it without looking.
  setAbsent(spec, 'backoffLimit', 6);
  setAbsent(spec, 'completionMode', 'NonIndexed');
  setAbsent(spec, 'suspend', false);
  setAbsent(
    spec,
    'podReplacementPolicy',
    spec['podFailurePolicy'] === undefined ? 'TerminatingOrFailed' : 'Failed',
  );
  setAbsent(spec, 'manualSelector', false);
  if (spec['manualSelector'] === false) delete spec['manualSelector'];
  defaultTemplate(spec);
}

function defaultCronJob(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setDefault(spec, 'concurrencyPolicy', 'Allow');
  setAbsent(spec, 'suspend', false);
  setAbsent(spec, 'successfulJobsHistoryLimit', 3);
  setAbsent(spec, 'failedJobsHistoryLimit', 1);
  const job = objectAt(objectAt(spec, 'jobTemplate'), 'spec');
  if (job !== undefined) defaultTemplate(job);
}

function defaultService(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setDefault(spec, 'type', 'ClusterIP');
  setDefault(spec, 'sessionAffinity', 'None');
  if (spec['sessionAffinity'] === 'ClientIP') {
    const config = ensureObject(ensureObject(spec, 'sessionAffinityConfig'), 'clientIP');
    setAbsent(config, 'timeoutSeconds', 10_800);
  }
  for (const port of objectsAt(spec, 'ports')) {
    setDefault(port, 'protocol', 'TCP');
    setDefault(port, 'targetPort', port['port'] ?? 0);
  }
  const type = spec['type'];
  if (type === 'NodePort' || type === 'LoadBalancer') {
    setDefault(spec, 'externalTrafficPolicy', 'Cluster');
  }
  if (type === 'LoadBalancer') setAbsent(spec, 'allocateLoadBalancerNodePorts', true);
  if (type !== 'ExternalName') setAbsent(spec, 'internalTrafficPolicy', 'Cluster');
}

function defaultSecret(object: JsonObject): void {
  setDefault(object, 'type', 'Opaque');
  // Write-only in the API: it is merged into data.
  const stringData = objectAt(object, 'stringData');
  if (stringData === undefined) return;
  const data = ensureObject(object, 'data');
  for (const [key, value] of Object.entries(stringData)) {
    data[key] = Buffer.from(typeof value === 'string' ? value : '').toString('base64');
  }
  delete object['stringData'];
}

function defaultNamespace(object: JsonObject): void {
  const metadata = ensureObject(object, 'metadata');
  const name = stringAt(metadata, 'name');
  if (name !== undefined) ensureObject(metadata, 'labels')['kubernetes.io/metadata.name'] = name;
  setDefault(ensureObject(object, 'status'), 'phase', 'Active');
  // While it is being deleted, the finalizer that the namespace controller took off must stay off.
  if (metadata['deletionTimestamp'] === undefined)
    setAbsent(ensureObject(object, 'spec'), 'finalizers', ['kubernetes']);
}

function defaultClaim(object: JsonObject): void {
  defaultClaimSpec(ensureObject(object, 'spec'));
  setDefault(ensureObject(object, 'status'), 'phase', 'Pending');
}

function defaultEndpoints(object: JsonObject): void {
  for (const subset of objectsAt(object, 'subsets')) {
    for (const port of objectsAt(subset, 'ports')) setDefault(port, 'protocol', 'TCP');
  }
}

function defaultEndpointSlice(object: JsonObject): void {
  for (const port of objectsAt(object, 'ports')) {
    setAbsent(port, 'name', '');
    setAbsent(port, 'protocol', 'TCP');
  }
}

function defaultAutoscaler(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'minReplicas', 1);
  if (stringAt(object, 'apiVersion') !== 'autoscaling/v2') return;
  if (!Array.isArray(spec['metrics']) || spec['metrics'].length === 0) {
    const target = { type: 'Utilization', averageUtilization: 80 };
    spec['metrics'] = [{ type: 'Resource', resource: { name: 'cpu', target } }];
  }
}

function defaultBinding(object: JsonObject): void {
  const role = ensureObject(object, 'roleRef');
  setDefault(role, 'apiGroup', 'rbac.authorization.k8s.io');
  for (const subject of objectsAt(object, 'subjects')) {
    const kind = stringAt(subject, 'kind');
    if (kind === 'User' || kind === 'Group') setDefault(subject, 'apiGroup', 'rbac.authorization.k8s.io');
  }
}

function defaultNetworkPolicy(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'podSelector', {});
  if (!Array.isArray(spec['policyTypes']) || spec['policyTypes'].length === 0) {
    const hasEgress = Array.isArray(spec['egress']) && spec['egress'].length > 0;
    spec['policyTypes'] = hasEgress ? ['Ingress', 'Egress'] : ['Ingress'];
  }
  for (const rule of [...objectsAt(spec, 'ingress'), ...objectsAt(spec, 'egress')]) {
    for (const port of objectsAt(rule, 'ports')) setAbsent(port, 'protocol', 'TCP');
  }
}

function defaultTokenRequest(object: JsonObject): void {
  setAbsent(ensureObject(object, 'spec'), 'expirationSeconds', 3600);
}

function defaultStorageClass(object: JsonObject): void {
  setAbsent(object, 'reclaimPolicy', 'Delete');
  setAbsent(object, 'volumeBindingMode', 'Immediate');
}

function defaultWebhooks(object: JsonObject, mutating: boolean): void {
  for (const webhook of objectsAt(object, 'webhooks')) {
    setAbsent(webhook, 'failurePolicy', 'Fail');
    setAbsent(webhook, 'matchPolicy', 'Equivalent');
    setAbsent(webhook, 'timeoutSeconds', 10);
    setAbsent(webhook, 'namespaceSelector', {});
    setAbsent(webhook, 'objectSelector', {});
    if (mutating) setAbsent(webhook, 'reinvocationPolicy', 'Never');
    for (const rule of objectsAt(webhook, 'rules')) setAbsent(rule, 'scope', '*');
    const service = objectAt(objectAt(webhook, 'clientConfig'), 'service');
    if (service !== undefined) setAbsent(service, 'port', 443);
  }
}

function defaultAdmissionPolicy(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  setAbsent(spec, 'failurePolicy', 'Fail');
  defaultMatchResources(objectAt(spec, 'matchConstraints'));
}

function defaultPolicyBinding(object: JsonObject): void {
  defaultMatchResources(objectAt(objectAt(object, 'spec'), 'matchResources'));
}

function defaultMatchResources(match: JsonObject | undefined): void {
  if (match === undefined) return;
  setAbsent(match, 'matchPolicy', 'Equivalent');
  setAbsent(match, 'namespaceSelector', {});
  setAbsent(match, 'objectSelector', {});
  for (const rule of [...objectsAt(match, 'resourceRules'), ...objectsAt(match, 'excludeResourceRules')]) {
    setAbsent(rule, 'scope', '*');
  }
}

function defaultCustomResourceDefinition(object: JsonObject): void {
  const spec = ensureObject(object, 'spec');
  const conversion = ensureObject(spec, 'conversion');
  setDefault(conversion, 'strategy', 'None');
  const service = objectAt(objectAt(objectAt(conversion, 'webhook'), 'clientConfig'), 'service');
  if (service !== undefined) setAbsent(service, 'port', 443);
  const names = spec['names'];
  if (!isObject(names)) return;
  const kind = stringAt(names, 'kind') ?? '';
  setDefault(names, 'singular', kind.toLowerCase());
  setDefault(names, 'listKind', `${kind}List`);
}
