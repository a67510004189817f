import { isDeepStrictEqual } from 'node:util';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import { type KubernetesClient, type ResourceType, type UntypedObject, isNotFound } from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { sameConditions, stampConditions } from '../gateway/gateway-status.ts';
import type { WantedRouteParent } from '../gateway/route-status.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { AnyRouteFacts, RouteParentStatus } from '../sources/gateway-objects.ts';

export interface RouteStatusOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'replaceStatus'>;
  readonly graph: Graph;
  readonly kinds: readonly RouteKind[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

type RouteStatusFacts = Pick<AnyRouteFacts, 'namespace' | 'name' | 'generation' | 'parents'>;

export interface RouteKind {
  readonly type: ResourceType<UntypedObject>;
  readonly routes: Collection<RouteStatusFacts>;
  readonly facts: (object: UntypedObject) => RouteStatusFacts;
  readonly parents: Collection<readonly WantedRouteParent[]>;
  readonly controllerName: string;
  /** The object's status, of what all controllers say. */
  readonly status: (parents: readonly RouteParentStatus[]) => unknown;
}

/**
 * Keeps our entries of `status.parents` true. The list belongs to several controllers at once and has no keys, so it is
 * read, changed and written whole; a conflict is tried again.
 */
export function writeRouteStatuses({
  client,
  graph,
  kinds,
  clock,
  logger,
  signal,
}: RouteStatusOptions): void {
  for (const { type, routes, facts, parents, controllerName, status } of kinds) {
    const reconciler = new KeyedReconciler({
      clock,
      signal,
      reconcile: async (key) => {
        const known = routes.get(key);
        const wanted = parents.get(key);
        if (known === undefined || wanted === undefined || isWritten(known, wanted, controllerName)) return;
        try {
          const object = await client.get(type, known.name, known.namespace, { signal });
          const route = facts(object);
          // What is wanted is of the version that we know; when there is a newer one, it brings us back.
          if (route.generation !== known.generation) return;
          const others = route.parents.filter((parent) => !isOurs(parent, wanted, controllerName));
          const ours = wanted.map((parent) => ({
            ...parent,
            conditions: stampConditions(parent.conditions, written(route, parent), {
              generation: route.generation,
              now: clock.now(),
            }),
          }));
          await client.replaceStatus(type, { ...object, status: status([...others, ...ours]) }, { signal });
        } catch (error) {
          if (isNotFound(error)) return; // deleted meanwhile
          throw new WeftError('WEFT1840', `${type.kind} ${key}`, { cause: error });
        }
      },
      onError: (_key, error) => logger.warn('cannot write status', { error: describeError(error) }),
    });
    const unsubscribe = graph.subscribe((changes: ChangeSet) => {
      for (const key of changes.of(routes).keys()) reconciler.enqueue(key);
      for (const key of changes.of(parents).keys()) reconciler.enqueue(key);
    });
    signal.addEventListener('abort', unsubscribe, { once: true });
    for (const [key] of parents.entries()) reconciler.enqueue(key);
  }
}

function isWritten(
  route: RouteStatusFacts,
  wanted: readonly WantedRouteParent[],
  controller: string,
): boolean {
  const ours = route.parents.filter((parent) => isOurs(parent, wanted, controller));
  return (
    ours.length === wanted.length &&
    wanted.every((parent) => {
      const found = written(route, parent);
      return (
        found.length === parent.conditions.length &&
        sameConditions(found, parent.conditions, route.generation)
      );
    })
  );
}

/** Of Gateways only those that we want to speak of: the rest, under the same controller name, is somebody else's part. */
function isOurs(
  { controllerName, parentRef }: RouteParentStatus,
  wanted: readonly WantedRouteParent[],
  controller: string,
): boolean {
  return (
    controllerName === controller &&
    (parentRef.kind === 'Service' ||
      parentRef.kind === 'ServiceEntry' ||
      wanted.some((parent) => isDeepStrictEqual(parent.parentRef, parentRef)))
  );
}

function written(
  { parents }: RouteStatusFacts,
  { parentRef, controllerName }: WantedRouteParent,
): RouteParentStatus['conditions'] {
  const found = parents.find(
    (parent) => parent.controllerName === controllerName && isDeepStrictEqual(parent.parentRef, parentRef),
  );
  return found?.conditions ?? [];
}
