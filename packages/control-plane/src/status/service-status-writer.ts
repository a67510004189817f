import { FieldManager, ServiceCondition } from '@weft/api';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import { type KubernetesClient, type UntypedObject, isNotFound, resources } from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import { type WantedCondition, sameConditions, stampConditions } from '../gateway/gateway-status.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { ServiceFacts } from '../sources/facts.ts';

export interface ServiceStatusOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly graph: Graph;
  readonly services: Collection<ServiceFacts>;
  readonly serviceWaypoints: Collection<ServiceWaypoint>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

/** Keeps the condition `istio.io/WaypointBound` of every Service true to what became of its wish for a waypoint. */
export function writeServiceStatuses(options: ServiceStatusOptions): void {
  const { client, graph, services, serviceWaypoints, clock, logger, signal } = options;
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (key) => {
      const service = services.get(key);
      const waypoint = serviceWaypoints.get(key);
      if (service === undefined || waypoint === undefined) return;
      const wanted = waypointBound(waypoint);
      const written = service.conditions.filter(({ type }) => type === ServiceCondition.waypointBound);
      if (wanted === undefined ? written.length === 0 : sameConditions(written, [wanted], 0)) return;
      const stamp = { generation: 0, now: clock.now() };
      const conditions = wanted === undefined ? [] : stampConditions([wanted], written, stamp);
      const { namespace, name } = service;
      const status: UntypedObject = { metadata: { name, namespace }, status: { conditions } };
      try {
        await client.apply(resources.services, status, {
          fieldManager: FieldManager.ambientService,
          force: true,
          subresource: 'status',
          signal,
        });
      } catch (error) {
        if (isNotFound(error)) return; // deleted meanwhile
        throw new WeftError('WEFT1840', `Service ${key}`, { cause: error });
      }
    },
    onError: (_key, error) => logger.warn('cannot write status', { error: describeError(error) }),
  });
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    for (const key of changes.of(services).keys()) reconciler.enqueue(key);
    for (const key of changes.of(serviceWaypoints).keys()) reconciler.enqueue(key);
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  // A new leader checks everything: the old one may have died in the middle.
  for (const [key] of services.entries()) reconciler.enqueue(key);
}

/** Undefined for a Service that has nothing to do with waypoints. */
export function waypointBound({
  binding,
  canary,
  required,
  ingress,
}: ServiceWaypoint): WantedCondition | undefined {
  const type = ServiceCondition.waypointBound;
  const refusal = required ? '; requests are refused, because the Service requires its waypoint' : '';
  switch (binding.kind) {
    case 'unasked':
      return required
        ? {
            type,
            status: 'False',
            reason: 'WaypointRequired',
            message: `the Service requires a waypoint, but no label istio.io/use-waypoint names one${refusal}`,
          }
        : undefined;
    case 'refused':
      return { type, status: 'False', reason: binding.reason, message: `${binding.message}${refusal}` };
    case 'bound': {
      const { namespace, name } = binding.waypoint;
      if (canary.kind === 'refused') {
        const message = `${canary.message}; everything goes to waypoint ${namespace}/${name}`;
        return { type, status: 'False', reason: canary.reason, message };
      }
      const notes = [
        ...(canary.kind === 'bound'
          ? [`${canary.percent}% to canary ${canary.waypoint.namespace}/${canary.waypoint.name}`]
          : []),
        ...(ingress ? ['ingress traffic included'] : []),
        ...(required ? ['nothing else may deliver to it'] : []),
      ];
      const message = [`Successfully attached to waypoint ${namespace}/${name}`, ...notes].join('; ');
      return { type, status: 'True', reason: 'WaypointAccepted', message };
    }
  }
}
