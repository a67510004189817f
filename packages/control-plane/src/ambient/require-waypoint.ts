import { DerivedPolicy, Label } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { Labels } from '@weft/collections';

/**
 * "Whatever reaches this Service's target ports came through its waypoint": where Istio's data plane silently bypasses
 * a waypoint that is missing, not ready, or not asked, a Service with this requirement is unreachable instead.
 */

/** For Services about which no label speaks. `asked`: all that use a waypoint; `policy`: those with an L7 policy. */
export type RequireWaypointDefault = 'never' | 'policy' | 'asked';

export interface RequirementContext {
  readonly labels: Labels;
  readonly namespaceLabels: Labels;
  /** A `use-waypoint` label applies to the Service. */
  readonly asksForWaypoint: boolean;
  /** A policy that only a waypoint can enforce names the Service. */
  readonly isTargeted: boolean;
  readonly meshDefault: RequireWaypointDefault;
}

export function requiresWaypoint(context: RequirementContext): boolean {
  const { labels, namespaceLabels, asksForWaypoint, isTargeted, meshDefault } = context;
  const said = labels[Label.requireWaypoint] ?? namespaceLabels[Label.requireWaypoint];
  if (said === 'true') return true;
  if (said === 'false' || meshDefault === 'never') return false;
  return isTargeted || (meshDefault === 'asked' && asksForWaypoint);
}

/** A name under no domain that can exist: clients that are sent there are refused. */
export function unresolvableWaypoint(namespace: string): string {
  return `no-waypoint.${namespace}.weft.invalid`;
}

/** What can require its waypoint: a Service, or a ServiceEntry with all of its hosts. */
export type RequiringKind = 'Service' | 'ServiceEntry';

export interface RequiringObject {
  readonly kind: RequiringKind;
  readonly namespace: string;
  readonly name: string;
}

export function requireWaypointPolicyKey(object: RequiringObject): string {
  return `${object.namespace}/${policyName(object)}`;
}

/** Underscores are in no object's name, so the two kinds can't meet. */
function policyName({ kind, name }: RequiringObject): string {
  return `${DerivedPolicy.requireWaypointPrefix}${kind === 'ServiceEntry' ? 'entry_' : ''}${name}`;
}

/**
 * Denies everybody but the waypoint. Clients without any identity aren't the waypoint either, so they are denied, too.
 * @param principals of the waypoint, without scheme; none denies everybody
 */
export function requireWaypointPolicy(
  object: RequiringObject & {
    readonly principals: readonly string[];
    readonly targetPorts: readonly number[];
  },
): istio.security.Authorization.$Shape {
  const { Action, Scope } = istio.security;
  const destinationPorts = [...new Set(object.targetPorts)].sort((a, b) => a - b);
  const notPrincipals = object.principals.map((exact) => ({ exact }));
  return {
    namespace: object.namespace,
    name: policyName(object),
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.DENY,
    // Without a port the match would mean every port; without a rule the policy never applies.
    rules:
      destinationPorts.length === 0
        ? []
        : [{ clauses: [{ matches: [{ notPrincipals, destinationPorts }] }] }],
  };
}
