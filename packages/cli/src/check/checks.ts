import { Annotation, Component, DataplaneMode, Label, ROOT_CERT_CONFIGMAP } from '@weft/api';
import { isNotFound, resources, type Namespace, type Pod, type PodController } from '@weft/kubernetes';
import { describeError } from '@weft/telemetry';
import type { ClusterAccess } from '../cluster-access.ts';
import { gateways, isWaypoint } from '../waypoint/gateway.ts';
import { checkCapture } from './capture-checks.ts';
import { checkNetworkPolicies } from './network-policy-checks.ts';
import { checkPolicies, policyTypes } from './policy-checks.ts';
import { checkWaypointBindings, checkWaypoints } from './waypoint-checks.ts';

export interface CheckResult {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'failed';
  /** What was found, when it is not as it should be. */
  readonly message?: string;
  readonly next?: string;
}

/** Undefined where there is nothing to check. */
type Check = (access: ClusterAccess) => Promise<CheckResult | undefined>;

/** In the order in which trouble spreads: what fails first usually explains the rest. */
const checks: readonly Check[] = [
  apiServer,
  definitions,
  controlPlane,
  (a) => daemonSet(a, Component.cni, 'CNI agent'),
  (a) => daemonSet(a, Component.ztunnel, 'ztunnel'),
  rootCertificates,
  capturedPods,
  networkPolicies,
  byControlPlane(waypoints),
  byControlPlane(waypointBindings),
  byControlPlane(policies),
];

export async function runChecks(access: ClusterAccess): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = [];
  for (const check of checks) {
    try {
      const result = await check(access);
      if (result !== undefined) results.push(result);
    } catch (error) {
      results.push({
        name: 'Kubernetes API',
        status: 'failed',
        message: describeError(error),
        next: 'Check the connection and your rights.',
      });
      break; // nothing else can be asked
    }
  }
  return results;
}

async function apiServer({ client }: ClusterAccess): Promise<CheckResult> {
  const { items } = await client.list(resources.nodes);
  const bad = items.filter((n) => !isTrue(n.status?.conditions, 'Ready')).map((n) => n.metadata.name);
  const name = `Kubernetes answers, ${items.length} ${items.length === 1 ? 'node' : 'nodes'}`;
  if (bad.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'warning',
    message: `not ready: ${bad.join(', ')}`,
    next: 'kubectl describe node shows why.',
  };
}

async function definitions({ client }: ClusterAccess): Promise<CheckResult> {
  const { items } = await client.list(resources.customResourceDefinitions);
  const names = new Set(items.map((crd) => crd.metadata.name));
  const missing = ['authorizationpolicies.security.istio.io', 'peerauthentications.security.istio.io'].filter(
    (n) => !names.has(n),
  );
  const name = 'custom resource definitions';
  if (missing.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: `missing: ${missing.join(', ')}`,
    next: 'weft install, or helm install of the base chart.',
  };
}

async function controlPlane(access: ClusterAccess): Promise<CheckResult> {
  const name = 'control plane';
  const { istioNamespace } = access;
  const ready = await readyControlPlanes(access);
  if (ready === undefined)
    return notInstalled(name, `no deployment ${Component.controlPlane} in ${istioNamespace}`);
  if (ready > 0) return { name: `${name}: ${ready} ready`, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: 'no replica is ready: what is configured now reaches nobody',
    next: `kubectl describe pod -n ${istioNamespace} -l app=${Component.controlPlane}`,
  };
}

/** Of all revisions; undefined where none is installed. */
async function readyControlPlanes({ client, istioNamespace }: ClusterAccess): Promise<number | undefined> {
  const { items } = await client.list(resources.deployments, {
    namespace: istioNamespace,
    labelSelector: `app=${Component.controlPlane}`,
  });
  if (items.length === 0) return undefined;
  return items.reduce((sum, deployment) => sum + number(deployment, 'readyReplicas'), 0);
}

/** A check of what the control plane has written down; after its end that is of the past, and may be a lie. */
function byControlPlane(check: Check): Check {
  return async (access) => (((await readyControlPlanes(access)) ?? 0) > 0 ? check(access) : undefined);
}

async function daemonSet(
  { client, istioNamespace }: ClusterAccess,
  object: string,
  title: string,
): Promise<CheckResult> {
  let found: PodController;
  try {
    found = await client.get(resources.daemonSets, object, istioNamespace);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return notInstalled(title, `no DaemonSet ${object} in ${istioNamespace}`);
  }
  const [ready, desired] = [number(found, 'numberReady'), number(found, 'desiredNumberScheduled')];
  const name = `${title}: ready on ${ready} of ${desired} nodes`;
  if (ready === desired && desired > 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: 'some nodes are without it',
    next: `kubectl get pod -n ${istioNamespace} -o wide`,
  };
}

function notInstalled(title: string, message: string): CheckResult {
  return {
    name: title,
    status: 'failed',
    message,
    next: 'weft install; -i names another namespace of the control plane.',
  };
}

async function rootCertificates({ client }: ClusterAccess): Promise<CheckResult> {
  const [namespaces, maps] = await Promise.all([
    client.list(resources.namespaces),
    client.list(resources.configMaps, { labelSelector: `${Label.config}=true` }),
  ]);
  const having = new Set(
    maps.items.filter((m) => m.metadata.name === ROOT_CERT_CONFIGMAP).map((m) => m.metadata.namespace),
  );
  const missing = namespaces.items
    .filter((n) => isAmbient(n) && !having.has(n.metadata.name))
    .map((n) => n.metadata.name);
  const name = 'root certificate in every namespace of the mesh';
  if (missing.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: `missing in ${missing.join(', ')}`,
    next: 'See the log of the control plane.',
  };
}

async function capturedPods(access: ClusterAccess): Promise<CheckResult> {
  return checkCapture(await labelledPods(access));
}

async function networkPolicies(access: ClusterAccess): Promise<CheckResult | undefined> {
  const { items } = await access.client.list(resources.networkPolicies);
  return items.length === 0 ? undefined : checkNetworkPolicies(await labelledPods(access), items);
}

async function labelledPods({ client }: ClusterAccess): Promise<readonly Pod[]> {
  const [namespaces, pods] = await Promise.all([
    client.list(resources.namespaces),
    client.list(resources.pods),
  ]);
  const ambient = new Set(namespaces.items.filter(isAmbient).map((n) => n.metadata.name));
  return pods.items.filter((pod) => isWanted(pod, ambient.has(pod.metadata.namespace)));
}

async function waypoints({ client }: ClusterAccess): Promise<CheckResult | undefined> {
  try {
    const { items } = await client.list(gateways);
    return checkWaypoints(items.filter(isWaypoint));
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined; // no Gateway API, no waypoints
  }
}

async function waypointBindings({ client }: ClusterAccess): Promise<CheckResult | undefined> {
  return checkWaypointBindings((await client.list(resources.services)).items);
}

async function policies({ client }: ClusterAccess): Promise<CheckResult | undefined> {
  try {
    const lists = await Promise.all(policyTypes.map((type) => client.list(type)));
    return checkPolicies(lists.flatMap(({ items }) => items));
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined; // said by the check of the definitions
  }
}

function isAmbient(namespace: Namespace): boolean {
  return namespace.metadata.labels?.[Label.dataplaneMode] === DataplaneMode.ambient;
}

function isWanted(pod: Pod, namespaceIsAmbient: boolean): boolean {
  const mode = pod.metadata.labels?.[Label.dataplaneMode];
  const running = pod.status?.phase === 'Running' && pod.metadata.deletionTimestamp === undefined;
  const eligible =
    pod.spec?.hostNetwork !== true && pod.metadata.annotations?.[Annotation.sidecarStatus] === undefined;
  return (
    running &&
    eligible &&
    (mode === DataplaneMode.ambient || (namespaceIsAmbient && mode !== DataplaneMode.none))
  );
}

function isTrue(conditions: readonly { type: string; status: string }[] | undefined, type: string): boolean {
  return conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
}

function number(controller: PodController, field: string): number {
  const value: unknown = controller.status === undefined ? undefined : Reflect.get(controller.status, field);
  return typeof value === 'number' ? value : 0;
}
