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

export interface ConditionWriterOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly graph: Graph;
  readonly kinds: readonly ConditionedKind[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

export interface ConditionedObject {
  readonly namespace: string;
  readonly name: string;
  /** Absent where the kind counts none. */
  readonly generation?: number;
  /** As read back from status. */
  readonly conditions: readonly Condition[];
}

/** A kind on which the mesh keeps conditions. */
export interface ConditionedKind {
  readonly type: ResourceType<UntypedObject>;
  readonly objects: Collection<ConditionedObject>;
  /** By the object's key; what isn't there is the same as an empty list. */
  readonly wanted: Collection<readonly WantedCondition[]>;
  /** Types of conditions that are ours to write and to take away. */
  readonly ours: readonly string[];
  readonly fieldManager: (wanted: readonly WantedCondition[]) => string;
}

/**
 * Keeps conditions true, by server-side apply. An object is written when what it shows differs from what is wanted,
 * and never else.
 */
export function writeConditions(options: ConditionWriterOptions): void {
  for (const kind of options.kinds) writeKind(kind, options);
}

function writeKind(
  { type, objects, wanted, ours, fieldManager }: ConditionedKind,
  { client, graph, clock, logger, signal }: ConditionWriterOptions,
): void {
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (key) => {
      const object = objects.get(key);
      if (object === undefined) return;
      const conditions = wanted.get(key) ?? [];
      const written = object.conditions.filter((condition) => ours.includes(condition.type));
      const { namespace, name, generation = 0 } = object;
      if (written.length === conditions.length && sameConditions(written, conditions, generation)) return;
      const status: UntypedObject = {
        metadata: { name, namespace },
        status: { conditions: stampConditions(conditions, written, { generation, now: clock.now() }) },
      };
      try {
        // Most of these lists have no keys in their CRDs, so who applies one has all of it.
        await client.apply(type, status, {
          fieldManager: fieldManager(conditions),
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
    for (const key of changes.of(wanted).keys()) reconciler.enqueue(key);
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  // A new leader checks everything: the old one may have died in the middle.
  for (const [key] of objects.entries()) reconciler.enqueue(key);
}
