import { DerivedPolicy } from '@weft/api';
import { istio } from '@weft/api/workload';
import { type ServiceWaypoint, servingWaypoints } from './service-waypoint.ts';
import type { WaypointBinding } from './waypoint-binding.ts';
import type { Waypoint } from './waypoints.ts';

/**
 * `PILOT_AUTO_ALLOW_WAYPOINT_POLICY`: every workload behind a waypoint allows it. Where no other policy allows anything,
 * that is at the same time all that is allowed.
 */

type Names = Pick<Waypoint, 'namespace' | 'name'>;

function allowWaypointPolicyName({ namespace, name }: Names): string {
  return `${namespace}/${DerivedPolicy.allowWaypointPrefix}${namespace}_${name}`;
}

/** @param principals of the waypoint, without scheme; none allows nobody */
export function allowWaypointPolicy(
  { namespace, name }: Names,
  principals: readonly string[],
): istio.security.Authorization.$Shape {
  const { Action, Scope } = istio.security;
  return {
    namespace,
    name: `${DerivedPolicy.allowWaypointPrefix}${namespace}_${name}`,
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.ALLOW,
    rules:
      principals.length === 0
        ? []
        : [{ clauses: [{ matches: [{ principals: principals.map((exact) => ({ exact })) }] }] }],
  };
}

/**
 * The policies by which a workload allows its own waypoint, and those of its services; sorted.
 * @param services those that the workload serves, of Kubernetes and of ServiceEntries
 */
export function waypointAllowances(
  binding: WaypointBinding | undefined,
  services: readonly (ServiceWaypoint | undefined)[],
): readonly string[] {
  const waypoints = [
    ...(binding?.kind === 'bound' ? [binding.waypoint] : []),
    ...services.flatMap((service) => (service === undefined ? [] : servingWaypoints(service))),
  ];
  return [...new Set(waypoints.map(allowWaypointPolicyName))].sort();
}
