import { FieldManager } from '@weft/api';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import {
  type Condition,
  type KubernetesClient,
  type UntypedObject,
  isNotFound,
  resources,
} from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import type { ConvertedPolicy } from '../ambient/authorization-policies.ts';
import { type ZtunnelAccepted, ztunnelAccepted } from '../ambient/policy-status.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { AuthorizationPolicySpec, PolicyObject } from '../sources/policy-objects.ts';

export interface PolicyStatusOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly graph: Graph;
  readonly objects: Collection<PolicyObject<AuthorizationPolicySpec>>;
  readonly policies: Collection<ConvertedPolicy>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

const CONDITION = 'ZtunnelAccepted';

/** Keeps the condition `ZtunnelAccepted` of every AuthorizationPolicy true to what became of it. */
export function writePolicyStatuses(options: PolicyStatusOptions): void {
  const { client, graph, objects, policies, clock, logger, signal } = options;
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (key) => {
      const object = objects.get(key);
      const policy = policies.get(key);
      if (object === undefined || policy === undefined) return;
      const wanted = ztunnelAccepted(policy);
      const written = object.conditions.find(({ type }) => type === CONDITION);
      if (wanted === undefined ? written === undefined : isWritten(written, wanted, object.generation))
        return;
      const condition = wanted === undefined ? [] : [conditionOf(wanted, written, object.generation, clock)];
      const status: UntypedObject = {
        metadata: { name: object.name, namespace: object.namespace },
        status: { conditions: condition },
      };
      try {
        await client.apply(resources.authorizationPolicies, status, {
          fieldManager: FieldManager.ztunnelPolicy,
          force: true,
          subresource: 'status',
          signal,
        });
      } catch (error) {
        if (isNotFound(error)) return; // deleted meanwhile
        throw new WeftError('WEFT1840', `AuthorizationPolicy ${key}`, { cause: error });
      }
    },
    onError: (_key, error) => logger.warn('cannot write status', { error: describeError(error) }),
  });
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    for (const key of changes.of(objects).keys()) reconciler.enqueue(key);
    for (const key of changes.of(policies).keys()) reconciler.enqueue(key);
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  // A new leader checks everything: the old one may have died in the middle.
  for (const [key] of objects.entries()) reconciler.enqueue(key);
}

function isWritten(written: Condition | undefined, wanted: ZtunnelAccepted, generation: number): boolean {
  return (
    written?.status === wanted.status &&
    written.reason === wanted.reason &&
    written.message === wanted.message &&
    Number(written.observedGeneration) === generation // the CRD lets it be a string
  );
}

function conditionOf(
  wanted: ZtunnelAccepted,
  written: Condition | undefined,
  generation: number,
  clock: Clock,
): Condition {
  const unchanged = written?.status === wanted.status ? written.lastTransitionTime : undefined;
  const lastTransitionTime = unchanged ?? new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  return { type: CONDITION, ...wanted, observedGeneration: generation, lastTransitionTime };
}
