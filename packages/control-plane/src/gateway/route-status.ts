import { GatewayController, Label } from '@weft/api';
import type { WantedCondition } from './gateway-status.ts';
import { backendTarget } from '../sources/backend-references.ts';
import { mayReferTo } from '../networking/reference-grants.ts';
import { type MeshParentKind, meshParentKind, selectsPort } from '../networking/route-attachment.ts';
import { supportedBackendFilters, supportedFilters } from '../networking/route-filters.ts';
import { type RouteProblem, routeProblems } from '../networking/route-problems.ts';
import { upstreamProtocol } from '../networking/service-config.ts';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import type { ServiceFacts, ServicePortFacts } from '../sources/facts.ts';
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

/** What a route attaches to, whatever its kind. */
export interface MeshParent {
  readonly ports: readonly ServicePortFacts[];
  readonly addresses: readonly string[];
  readonly waypoint: ServiceWaypoint | undefined;
}

export interface RouteStatusContext {
  readonly parent: (kind: MeshParentKind, key: string) => MeshParent | undefined;
  readonly service: (key: string) => Pick<ServiceFacts, 'ports'> | undefined;
  /** A host of a ServiceEntry, as a namespace sees it. */
  readonly host: (hostname: string, namespace: string) => Pick<ServiceFacts, 'ports'> | undefined;
  /** Of a namespace. */
  readonly grants: (namespace: string) => readonly ReferenceGrantFacts[];
  /** Whether a Gateway, by key, is a waypoint. */
  readonly isWaypoint: (key: string) => boolean;
}

/** What became of a route at each of its parents in the mesh. Parents of other kinds are other controllers'. */
export function routeParents(route: AnyRouteFacts, context: RouteStatusContext): WantedRouteParent[] {
  const references = resolvedReferences(route, context);
  return route.parentRefs.flatMap((parent) => {
    const kind = meshParentKind(parent);
    if (kind !== undefined) {
      const named = namedParent(kind, route, parent, context);
      return at(parent, [...accepted(route, named), references, resolvedWaypoints(named)]);
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
    if (meshParentKind(parent) !== undefined) return at(parent, [refused('UnsupportedValue', message)]);
    const refusal = misplaced(route, parent, context);
    return refusal === undefined ? [] : at(parent, [refusal]);
  });
}

/** At each target behind a waypoint; of other targets, others speak. */
export function backendTlsAncestors(
  { namespace, targetRefs }: BackendTlsPolicyFacts,
  { parent }: Pick<RouteStatusContext, 'parent'>,
): WantedRouteParent[] {
  const message = 'waypoints do not originate TLS: this policy has no effect in the mesh';
  return targetRefs.flatMap(({ group, kind, name }) => {
    const known = meshParentKind({ group, kind });
    const target = known && parent(known, `${namespace}/${name}`);
    if (target?.waypoint?.binding.kind !== 'bound') return [];
    const parentRef = { group, kind, namespace, name };
    const conditions = [refused('Invalid', message)];
    return [{ parentRef, controllerName: GatewayController.waypoint, conditions }];
  });
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
  return group === GATEWAY_API && kind === 'Gateway' && isWaypoint(`${namespace}/${name}`)
    ? refused(
        'NotAllowedByListeners',
        'routes attach to the Services that use a waypoint, not to its listeners',
      )
    : undefined;
}

const GATEWAY_API = 'gateway.networking.k8s.io';

interface NamedParent {
  readonly kind: MeshParentKind;
  readonly namespace: string;
  readonly key: string;
  readonly reference: ParentReference;
  /** Undefined where there is none of that name. */
  readonly found: MeshParent | undefined;
}

function namedParent(
  kind: MeshParentKind,
  route: AnyRouteFacts,
  reference: ParentReference,
  context: RouteStatusContext,
): NamedParent {
  const { namespace = route.namespace, name } = reference;
  const key = `${namespace}/${name}`;
  return { kind, namespace, key, reference, found: context.parent(kind, key) };
}

function refused(reason: string, message: string): WantedCondition {
  return { type: 'Accepted', status: 'False', reason, message };
}

/** `Accepted`, and beside it `PartiallyInvalid` where something of the route isn't done. */
function accepted(route: AnyRouteFacts, parent: NamedParent): readonly WantedCondition[] {
  const refusal = attachmentProblem(route, parent);
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

/** As the messages of Istio call them. */
const kindNames: Readonly<Record<MeshParentKind, string>> = {
  Service: 'service',
  ServiceEntry: 'service entry',
};

function attachmentProblem(
  route: AnyRouteFacts,
  { kind, namespace, key, reference, found }: NamedParent,
): WantedCondition | undefined {
  const name = kindNames[kind];
  if (found === undefined) return refused('NoMatchingParent', `parent ${name}: "${key}" not found`);
  const { port, sectionName } = reference;
  if (port !== undefined && !found.ports.some((declared) => declared.port === port)) {
    return refused('NoMatchingParent', `port ${port} not found`);
  }
  const ports = found.ports.filter((declared) => selectsPort(reference, declared));
  if (sectionName !== undefined && ports.length === 0)
    return refused('NoMatchingParent', `sectionName "${sectionName}" not found`);
  if (found.addresses.length === 0) {
    const why =
      kind === 'Service'
        ? 'is headless: requests go to its pods, and no route sees them'
        : 'has no address: nothing tells that a request is for it';
    return refused('UnsupportedValue', `parent ${name} "${key}" ${why}`);
  }
  if (ports.every((declared) => upstreamProtocol(declared) === 'tcp')) {
    const message = `no port of ${name} "${key}" that the route attaches to carries HTTP`;
    return refused('UnsupportedValue', message);
  }
  const binding = found.waypoint?.binding;
  const waypointNamespace = binding?.kind === 'bound' ? binding.waypoint.namespace : namespace;
  if (route.namespace !== namespace && route.namespace !== waypointNamespace) {
    return refused(
      'UnsupportedValue',
      `a waypoint applies routes of the namespaces of the ${kind} and of the waypoint, not of ${route.namespace}`,
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
  const { group = '', kind = 'Service', name, port, filters = [] } = reference;
  const target = backendTarget(route, reference);
  if (target === undefined) {
    const message = `referencing unsupported backendRef: group "${group}" kind "${kind}"`;
    return { reason: 'InvalidKind', message };
  }
  const unsupported = filters.find((filter) => !supportedBackendFilters.includes(filter.type));
  if (unsupported !== undefined) {
    return { reason: 'InvalidFilter', message: `unsupported filter type "${unsupported.type}" of a backend` };
  }
  const described = target.kind === 'Service' ? `${target.namespace}/${name}` : target.hostname;
  if (port === undefined)
    return { reason: 'InvalidDestination', message: `backend ${described}: port is required` };
  // Before existence, so that a reference without leave reveals nothing.
  if (target.kind === 'Service' && !mayReferTo(route, target, context.grants(target.namespace))) {
    const message = `backendRef ${name}/${target.namespace} not accessible to a ${route.kind} in namespace "${route.namespace}" (missing a ReferenceGrant?)`;
    return { reason: 'RefNotPermitted', message };
  }
  const found =
    target.kind === 'Service' ? context.service(described) : context.host(target.hostname, route.namespace);
  if (found === undefined) return { reason: 'BackendNotFound', message: `backend(${described}) not found` };
  return found.ports.some((declared) => declared.port === port)
    ? undefined
    : { reason: 'BackendNotFound', message: `backend(${described}) has no port ${port}` };
}

/** Never False, as in Istio: the message is for people who wonder why nothing happens. */
function resolvedWaypoints({ kind, key, found }: NamedParent): WantedCondition {
  const binding = found?.waypoint?.binding;
  const message =
    binding === undefined
      ? 'parent not found'
      : binding.kind === 'bound'
        ? 'All waypoints resolved'
        : binding.kind === 'unasked'
          ? `${kind} ${key} uses no waypoint, so this route has no effect: label it with ${Label.useWaypoint}`
          : binding.message;
  return { type: 'ResolvedWaypoints', status: 'True', reason: 'ResolvedWaypoints', message };
}
