import { isDeepStrictEqual } from 'node:util';
import { FieldManager, GatewayClass, GatewayController, Label } from '@weft/api';
import type { ChangeSet, Graph } from '@weft/collections';
import {
  type Condition,
  type KubernetesClient,
  type ResourceType,
  type UntypedObject,
  isNotFound,
  resources,
} from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { waypointResourceName } from '../ambient/waypoints.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { GatewayFacts } from '../sources/gateway-objects.ts';
import type { Sources } from '../sources/sources.ts';
import type { GatewayGraph } from './gateway-graph.ts';
import { type WantedGatewayStatus, sameConditions, stampConditions } from './gateway-status.ts';
import { supportedFeatures } from './supported-features.ts';
import type { DesiredObject } from './waypoint-deployment.ts';

export interface GatewayControllerOptions {
  readonly client: Pick<KubernetesClient, 'apply' | 'delete' | 'get'>;
  readonly graph: Graph;
  readonly sources: Sources;
  readonly gateways: GatewayGraph;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

/** Makes waypoint Gateways real: their objects, their statuses, and the class that users refer to. */
export function runGatewayController(options: GatewayControllerOptions): void {
  const { graph, sources, gateways, clock, logger, signal } = options;
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (key) => {
      const [kind, name = ''] = split(key);
      if (kind === 'class') return reconcileClass(options);
      const gateway = sources.gateways.get(name);
      if (gateway === undefined) return; // owner references take the rest away
      if (kind === 'status') return writeStatus(options, gateway, gateways.statuses.get(name));
      const objects = gateways.deployments.get(name);
      if (objects === undefined) return; // not ours to make, or not known what to make
      for (const desired of objects) await applyObject(options, gateway, desired);
      for (const type of optionalTypes) {
        if (!objects.some((desired) => desired.type === type)) await withdraw(options, gateway, type);
      }
    },
    onError: (_key, error) => logger.warn('cannot reconcile gateway', { error: describeError(error) }),
  });
  const deploy = (gateway: string): void => reconciler.enqueue(`deployment ${gateway}`);
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    const reported = [...changes.of(gateways.statuses).keys(), ...changes.of(sources.gateways).keys()];
    for (const key of new Set(reported)) reconciler.enqueue(`status ${key}`);
    for (const key of changes.of(gateways.deployments).keys()) deploy(key);
    for (const [, { before, after }] of changes.of(sources.services)) {
      const service = after ?? before;
      const gateway = service?.labels[Label.gatewayName];
      if (service !== undefined && gateway !== undefined) deploy(`${service.namespace}/${gateway}`);
    }
    // Someone changed or deleted what we made.
    const touched = new Set([
      ...changes.of(sources.managedDeployments).keys(),
      ...[...changes.of(sources.serviceAccounts)].flatMap(([key, { after }]) =>
        after === undefined ? [key] : [],
      ),
    ]);
    if (touched.size > 0) {
      for (const [key, objects] of gateways.deployments.entries()) {
        if (objects.some(({ object }) => touched.has(`${object.metadata.namespace}/${object.metadata.name}`)))
          deploy(key);
      }
    }
    if (changes.of(sources.gatewayClasses).size > 0) reconciler.enqueue('class');
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  // A new leader checks everything.
  reconciler.enqueue('class');
  for (const [key] of gateways.deployments.entries()) deploy(key);
  for (const [key] of gateways.statuses.entries()) reconciler.enqueue(`status ${key}`);
}

function split(key: string): readonly [string, string?] {
  const space = key.indexOf(' ');
  return space < 0 ? [key] : [key.slice(0, space), key.slice(space + 1)];
}

async function applyObject(
  { client, signal }: GatewayControllerOptions,
  gateway: GatewayFacts,
  { type, object }: DesiredObject,
): Promise<void> {
  const { name = '', namespace = '' } = object.metadata;
  const what = `${type.kind} ${namespace}/${name} of Gateway ${gateway.name}`;
  try {
    const existing = await client.get(type, name, namespace, { signal }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    if (existing !== undefined && existing.metadata.labels?.[Label.gatewayManaged] === undefined) {
      // A service account that the user brings is theirs to keep.
      if (type === resources.serviceAccounts) return;
      throw new Error('an object of that name exists that the mesh did not make');
    }
    await client.apply(type, object, { fieldManager: FieldManager.gatewayController, force: true, signal });
  } catch (error) {
    throw new WeftError('WEFT1831', what, { cause: error });
  }
}

/** Made only while an overlay asks for them. */
const optionalTypes = [resources.horizontalPodAutoscalers, resources.podDisruptionBudgets];

async function withdraw(
  { client, signal }: GatewayControllerOptions,
  gateway: GatewayFacts,
  type: ResourceType<UntypedObject>,
): Promise<void> {
  const { namespace } = gateway;
  const name = waypointResourceName(gateway);
  try {
    const { metadata } = await client.get(type, name, namespace, { signal });
    const isOurs =
      metadata.labels?.[Label.gatewayManaged] !== undefined &&
      metadata.ownerReferences?.some(({ uid }) => uid === gateway.uid) === true;
    if (isOurs) await client.delete(type, name, namespace, { signal });
  } catch (error) {
    if (isNotFound(error)) return;
    throw new WeftError('WEFT1831', `${type.kind} ${namespace}/${name} of Gateway ${gateway.name}`, {
      cause: error,
    });
  }
}

async function writeStatus(
  { client, clock, signal }: GatewayControllerOptions,
  gateway: GatewayFacts,
  wanted: WantedGatewayStatus | undefined,
): Promise<void> {
  if (wanted === undefined || isWritten(gateway, wanted)) return;
  const { namespace, name, generation, status } = gateway;
  const stamp = { generation, now: clock.now() };
  const body: UntypedObject = {
    metadata: { name, namespace },
    status: {
      addresses: wanted.addresses,
      conditions: stampConditions(wanted.conditions, status.conditions ?? [], stamp),
      listeners: wanted.listeners.map((listener) => ({
        ...listener,
        conditions: stampConditions(listener.conditions, writtenListener(gateway, listener.name), stamp),
      })),
    },
  };
  try {
    await client.apply(resources.gateways, body, {
      fieldManager: FieldManager.gatewayController,
      force: true,
      subresource: 'status',
      signal,
    });
  } catch (error) {
    if (isNotFound(error)) return; // deleted meanwhile
    throw new WeftError('WEFT1840', `Gateway ${namespace}/${name}`, { cause: error });
  }
}

function isWritten(gateway: GatewayFacts, wanted: WantedGatewayStatus): boolean {
  const { status, generation } = gateway;
  return (
    isDeepStrictEqual(status.addresses ?? [], wanted.addresses) &&
    sameConditions(status.conditions ?? [], wanted.conditions, generation) &&
    (status.listeners ?? []).length === wanted.listeners.length &&
    wanted.listeners.every(({ name, conditions }) =>
      sameConditions(writtenListener(gateway, name), conditions, generation),
    )
  );
}

function writtenListener({ status }: GatewayFacts, name: string): readonly Condition[] {
  const listeners = (status.listeners ?? []) as readonly {
    readonly name: string;
    readonly conditions?: readonly Condition[];
  }[]; // the CRD's schema
  return listeners.find((listener) => listener.name === name)?.conditions ?? [];
}

async function reconcileClass({ client, sources, clock, signal }: GatewayControllerOptions): Promise<void> {
  const name = GatewayClass.waypoint;
  const existing = sources.gatewayClasses.get(name);
  const apply = { fieldManager: FieldManager.gatewayController, force: true, signal };
  try {
    if (existing === undefined) {
      const description = 'Waypoint proxies of the mesh';
      await client.apply(
        resources.gatewayClasses,
        {
          metadata: { name },
          spec: { controllerName: GatewayController.waypoint, description },
        } as UntypedObject,
        apply,
      );
      return; // its appearance brings us back
    }
    if (existing.controllerName !== GatewayController.waypoint) return;
    const wanted = [
      { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'Handled by Istio controller' },
    ] as const;
    if (sameConditions(existing.conditions, wanted, existing.generation)) return;
    const stamp = { generation: existing.generation, now: clock.now() };
    const status = { conditions: stampConditions(wanted, existing.conditions, stamp), supportedFeatures };
    await client.apply(resources.gatewayClasses, { metadata: { name }, status } as UntypedObject, {
      ...apply,
      subresource: 'status',
    });
  } catch (error) {
    throw new WeftError('WEFT1832', name, { cause: error });
  }
}
