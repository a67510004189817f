import { GatewayController, Label } from '@weft/api';
import type { WantedCondition } from './gateway-status.ts';
import { isServiceParent } from '../networking/route-attachment.ts';
import { supportedBackendFilters, supportedFilters } from '../networking/route-filters.ts';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import type { ServiceFacts } from '../sources/facts.ts';
import type { AnyRouteFacts, BackendReference, ParentReference } from '../sources/gateway-objects.ts';

export interface WantedRouteParent {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly WantedCondition[];
}

export interface RouteStatusContext {
  readonly service: (key: string) => ServiceFacts | undefined;
  readonly waypoint: (key: string) => ServiceWaypoint | undefined;
}

/** What became of a route at each of its parents in the mesh. Parents of other kinds are other controllers'. */
export function routeParents(route: AnyRouteFacts, context: RouteStatusContext): WantedRouteParent[] {
  const references = resolvedReferences(route, context);
  return route.parentRefs.filter(isServiceParent).map((parentRef) => ({
    parentRef,
    controllerName: GatewayController.gateway,
    conditions: [
      accepted(route, parentRef, context),
      references,
      resolvedWaypoints(route, parentRef, context),
    ],
  }));
}

function parentKey(route: AnyRouteFacts, { namespace = route.namespace, name }: ParentReference): string {
  return `${namespace}/${name}`;
}

function accepted(
  route: AnyRouteFacts,
  parent: ParentReference,
  context: RouteStatusContext,
): WantedCondition {
  const refused = (reason: string, message: string): WantedCondition => ({
    type: 'Accepted',
    status: 'False',
    reason,
    message,
  });
  const key = parentKey(route, parent);
  const service = context.service(key);
  if (service === undefined) return refused('NoMatchingParent', `parent service: "${key}" not found`);
  if (parent.port !== undefined && !service.ports.some(({ port }) => port === parent.port)) {
    return refused('NoMatchingParent', `port ${parent.port} not found`);
  }
  const binding = context.waypoint(key)?.binding;
  const waypointNamespace = binding?.kind === 'bound' ? binding.waypoint.namespace : service.namespace;
  if (route.namespace !== service.namespace && route.namespace !== waypointNamespace) {
    return refused(
      'UnsupportedValue',
      `a waypoint applies routes of the namespaces of the Service and of the waypoint, not of ${route.namespace}`,
    );
  }
  return { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'Route was valid' };
}

function resolvedReferences(route: AnyRouteFacts, context: RouteStatusContext): WantedCondition {
  const type = 'ResolvedRefs';
  for (const { filters = [], backendRefs = [] } of route.rules) {
    const unsupported = filters.find((filter) => !supportedFilters.includes(filter.type));
    if (unsupported !== undefined) {
      const message = `unsupported filter type "${unsupported.type}"`;
      return { type, status: 'False', reason: 'InvalidFilter', message };
    }
    const mirrors = filters.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? []);
    for (const reference of [...backendRefs, ...mirrors]) {
      const problem = backendProblem(route, reference, context);
      if (problem !== undefined) return { type, status: 'False', ...problem };
    }
  }
  return { type, status: 'True', reason: 'ResolvedRefs', message: 'All references resolved' };
}

function backendProblem(
  route: AnyRouteFacts,
  reference: BackendReference,
  context: RouteStatusContext,
): Pick<WantedCondition, 'reason' | 'message'> | undefined {
  const { group = '', kind = 'Service', namespace = route.namespace, name, port, filters = [] } = reference;
  if (kind !== 'Service' || (group !== '' && group !== 'core')) {
    const message = `referencing unsupported backendRef: group "${group}" kind "${kind}"`;
    return { reason: 'InvalidKind', message };
  }
  const unsupported = filters.find((filter) => !supportedBackendFilters.includes(filter.type));
  if (unsupported !== undefined) {
    return { reason: 'InvalidFilter', message: `unsupported filter type "${unsupported.type}" of a backend` };
  }
  if (port === undefined)
    return { reason: 'InvalidDestination', message: `backend ${namespace}/${name}: port is required` };
  const service = context.service(`${namespace}/${name}`);
  if (service === undefined)
    return { reason: 'BackendNotFound', message: `backend(${namespace}/${name}) not found` };
  return service.ports.some((declared) => declared.port === port)
    ? undefined
    : { reason: 'BackendNotFound', message: `backend(${namespace}/${name}) has no port ${port}` };
}

/** Never False, as in Istio: the message is for people who wonder why nothing happens. */
function resolvedWaypoints(
  route: AnyRouteFacts,
  parent: ParentReference,
  context: RouteStatusContext,
): WantedCondition {
  const key = parentKey(route, parent);
  const binding = context.waypoint(key)?.binding;
  const message =
    binding === undefined
      ? 'parent not found'
      : binding.kind === 'bound'
        ? 'All waypoints resolved'
        : binding.kind === 'unasked'
          ? `Service ${key} uses no waypoint, so this route has no effect: label it with ${Label.useWaypoint}`
          : binding.message;
  return { type: 'ResolvedWaypoints', status: 'True', reason: 'ResolvedWaypoints', message };
}
