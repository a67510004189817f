import { FieldManager } from '@weft/api';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import {
  type Condition,
  type KubernetesClient,
  type ResourceType,
  type UntypedObject,
  isNotFound,
} from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { type WantedCondition, sameConditions, stampConditions } from '../gateway/gateway-status.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { PolicyObject } from '../sources/policy-objects.ts';
import { WAYPOINT_ACCEPTED, ZTUNNEL_ACCEPTED } from './policy-conditions.ts';

export interface PolicyStatusOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly graph: Graph;
  readonly kinds: readonly PolicyKind[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

export interface PolicyKind {
  readonly type: ResourceType<UntypedObject>;
  readonly objects: Collection<PolicyObject<unknown>>;
  readonly conditions: Collection<WantedCondition>;
}

/** Keeps the conditions `ZtunnelAccepted` and `WaypointAccepted` of policies true to what became of them. */
export function writePolicyStatuses(options: PolicyStatusOptions): void {
  for (const kind of options.kinds) writeKind(kind, options);
}

function writeKind(
  { type, objects, conditions }: PolicyKind,
  { client, graph, clock, logger, signal }: PolicyStatusOptions,
): void {
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (key) => {
      const object = objects.get(key);
      const wanted = conditions.get(key);
      if (object === undefined || wanted === undefined) return;
      const written = object.conditions.filter(isOurs);
      const { namespace, name, generation } = object;
      if (written.length === 1 && sameConditions(written, [wanted], generation)) return;
      const stamp = { generation, now: clock.now() };
      const status: UntypedObject = {
        metadata: { name, namespace },
        status: { conditions: stampConditions([wanted], written, stamp) },
      };
      try {
        // The list has no keys in the CRD, so who applies it has all of it: a policy gets one of ours, never both.
        await client.apply(type, status, {
          fieldManager:
            wanted.type === ZTUNNEL_ACCEPTED ? FieldManager.ztunnelPolicy : FieldManager.waypointPolicy,
          force: true,
          subresource: 'status',
          signal,
        });
      } catch (error) {
        if (isNotFound(error)) return; // deleted meanwhile
        throw new WeftError('WEFT1840', `${type.kind} ${key}`, { cause: error });
      }
    },
    onError: (_key, error) => logger.warn('cannot write status', { error: describeError(error) }),
  });
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    for (const key of changes.of(objects).keys()) reconciler.enqueue(key);
    for (const key of changes.of(conditions).keys()) reconciler.enqueue(key);
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  // A new leader checks everything: the old one may have died in the middle.
  for (const [key] of objects.entries()) reconciler.enqueue(key);
}

function isOurs({ type }: Condition): boolean {
  return type === ZTUNNEL_ACCEPTED || type === WAYPOINT_ACCEPTED;
}
