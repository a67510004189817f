import { GatewayController, Label } from '@weft/api';
import type { WantedCondition } from './gateway-status.ts';
import { mayReferTo } from '../networking/reference-grants.ts';
import { isServiceParent, selectsPort } from '../networking/route-attachment.ts';
import { supportedBackendFilters, supportedFilters } from '../networking/route-filters.ts';
import { type RouteProblem, routeProblems } from '../networking/route-problems.ts';
import { upstreamProtocol } from '../networking/service-config.ts';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import type { ServiceFacts } from '../sources/facts.ts';
import type {
  AnyRouteFacts,
  BackendReference,
  BackendTlsPolicyFacts,
  ParentReference,
  ReferenceGrantFacts,
  UnservedRouteFacts,
} from '../sources/gateway-objects.ts';

export interface WantedRouteParent {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly WantedCondition[];
}

export interface RouteStatusContext {
  readonly service: (key: string) => ServiceFacts | undefined;
  readonly waypoint: (key: string) => ServiceWaypoint | undefined;
  /** Of a namespace. */
  readonly grants: (namespace: string) => readonly ReferenceGrantFacts[];
  /** Whether a Gateway, by key, is a waypoint. */
  readonly isWaypoint: (key: string) => boolean;
}

/** What became of a route at each of its parents in the mesh. Parents of other kinds are other controllers'. */
export function routeParents(route: AnyRouteFacts, context: RouteStatusContext): WantedRouteParent[] {
  const references = resolvedReferences(route, context);
  return route.parentRefs.flatMap((parent) => {
    if (isServiceParent(parent)) {
      return at(parent, [
        ...accepted(route, parent, context),
        references,
        resolvedWaypoints(route, parent, context),
      ]);
    }
    const refusal = misplaced(route, parent, context);
    return refusal === undefined ? [] : at(parent, [refusal]);
  });
}

/** A route of a kind that waypoints don't serve says so, rather than leave its author waiting. */
export function unservedRouteParents(
  route: UnservedRouteFacts,
  context: Pick<RouteStatusContext, 'isWaypoint'>,
): WantedRouteParent[] {
  const message = `waypoints do not serve ${route.kind}s: this route has no effect`;
  return route.parentRefs.flatMap((parent) => {
    if (isServiceParent(parent)) return at(parent, [refused('UnsupportedValue', message)]);
    const refusal = misplaced(route, parent, context);
    return refusal === undefined ? [] : at(parent, [refusal]);
  });
}

/** At each target behind a waypoint; of other targets, others speak. */
export function backendTlsAncestors(
  { namespace, targetRefs }: BackendTlsPolicyFacts,
  { waypoint }: Pick<RouteStatusContext, 'waypoint'>,
): WantedRouteParent[] {
  const message = 'waypoints do not originate TLS to Services: this policy has no effect in the mesh';
  return targetRefs.flatMap(({ group, kind, name }) =>
    isServiceParent({ group, kind, name }) && waypoint(`${namespace}/${name}`)?.binding.kind === 'bound'
      ? [
          {
            parentRef: { group, kind, namespace, name },
            controllerName: GatewayController.waypoint,
            conditions: [refused('Invalid', message)],
          },
        ]
      : [],
  );
}

function at(parentRef: ParentReference, conditions: readonly WantedCondition[]): WantedRouteParent[] {
  return [{ parentRef, controllerName: GatewayController.gateway, conditions }];
}

/** At parents that are of the mesh, but take no routes. */
function misplaced(
  { namespace: own }: Pick<AnyRouteFacts, 'namespace'>,
  { group = GATEWAY_API, kind = 'Gateway', namespace = own, name }: ParentReference,
  { isWaypoint }: Pick<RouteStatusContext, 'isWaypoint'>,
): WantedCondition | undefined {
  if (group === ISTIO_NETWORKING && kind === 'ServiceEntry')
    return refused('UnsupportedValue', 'waypoints apply routes to Services, not to ServiceEntries');
  return group === GATEWAY_API && kind === 'Gateway' && isWaypoint(`${namespace}/${name}`)
    ? refused(
        'NotAllowedByListeners',
        'routes attach to the Services that use a waypoint, not to its listeners',
      )
    : undefined;
}

const GATEWAY_API = 'gateway.networking.k8s.io';
const ISTIO_NETWORKING = 'networking.istio.io';

function parentKey(route: AnyRouteFacts, { namespace = route.namespace, name }: ParentReference): string {
  return `${namespace}/${name}`;
}

function refused(reason: string, message: string): WantedCondition {
  return { type: 'Accepted', status: 'False', reason, message };
}

/** `Accepted`, and beside it `PartiallyInvalid` where something of the route isn't done. */
function accepted(
  route: AnyRouteFacts,
  parent: ParentReference,
  context: RouteStatusContext,
): readonly WantedCondition[] {
  const refusal = attachmentProblem(route, parent, context);
  if (refusal !== undefined) return [refusal];
  const problems = routeProblems(route);
  const [first] = problems;
  const good: WantedCondition = {
    type: 'Accepted',
    status: 'True',
    reason: 'Accepted',
    message: 'Route was valid',
  };
  if (first === undefined) return [good];
  const lost = new Set(problems.filter(({ effect }) => effect !== 'ignored').map(({ rule }) => rule));
  const message = problems.map(describeProblem).join('; ');
  if (lost.size === route.rules.length) return [refused(first.reason, message)];
  return [good, { type: 'PartiallyInvalid', status: 'True', reason: 'UnsupportedValue', message }];
}

function describeProblem({ field, message, effect }: RouteProblem): string {
  switch (effect) {
    case 'ignored':
      return `${field}: ${message}`;
    case 'refused':
      return `${field}: ${message}; requests that the rule matches are answered 500`;
    case 'unmatched':
      return `Dropped Rule ${field}: ${message}`;
  }
}

function attachmentProblem(
  route: AnyRouteFacts,
  parent: ParentReference,
  context: RouteStatusContext,
): WantedCondition | undefined {
  const key = parentKey(route, parent);
  const service = context.service(key);
  if (service === undefined) return refused('NoMatchingParent', `parent service: "${key}" not found`);
  const { port, sectionName } = parent;
  if (port !== undefined && !service.ports.some((declared) => declared.port === port)) {
    return refused('NoMatchingParent', `port ${port} not found`);
  }
  const ports = service.ports.filter((declared) => selectsPort(parent, declared));
  if (sectionName !== undefined && ports.length === 0)
    return refused('NoMatchingParent', `sectionName "${sectionName}" not found`);
  if (service.clusterIps.length === 0) {
    const message = `parent service "${key}" is headless: requests go to its pods, and no route sees them`;
    return refused('UnsupportedValue', message);
  }
  if (ports.every((declared) => upstreamProtocol(declared) === 'tcp')) {
    const message = `no port of service "${key}" that the route attaches to carries HTTP`;
    return refused('UnsupportedValue', message);
  }
  const binding = context.waypoint(key)?.binding;
  const waypointNamespace = binding?.kind === 'bound' ? binding.waypoint.namespace : service.namespace;
  if (route.namespace !== service.namespace && route.namespace !== waypointNamespace) {
    return refused(
      'UnsupportedValue',
      `a waypoint applies routes of the namespaces of the Service and of the waypoint, not of ${route.namespace}`,
    );
  }
  return undefined;
}

function resolvedReferences(route: AnyRouteFacts, context: RouteStatusContext): WantedCondition {
  const type = 'ResolvedRefs';
  for (const { filters = [], backendRefs = [] } of route.rules) {
    const unsupported = filters.find((filter) => !supportedFilters[route.kind].includes(filter.type));
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
  // Before existence, so that a reference without leave reveals nothing.
  if (!mayReferTo(route, { namespace, name }, context.grants(namespace))) {
    const message = `backendRef ${name}/${namespace} not accessible to a ${route.kind} in namespace "${route.namespace}" (missing a ReferenceGrant?)`;
    return { reason: 'RefNotPermitted', message };
  }
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
