import { FieldManager, ServiceCondition } from '@weft/api';
import type { Collection, Graph } from '@weft/collections';
import { type ResourceType, type UntypedObject, resources } from '@weft/kubernetes';
import type { Ambient } from '../ambient/ambient-graph.ts';
import type { WantedCondition } from '../gateway/gateway-status.ts';
import type { Sources } from '../sources/sources.ts';
import type { ConditionedKind } from './condition-writer.ts';
import { type PolicyConditions, WAYPOINT_ACCEPTED, ZTUNNEL_ACCEPTED } from './policy-conditions.ts';
import {
  visibilityApplied,
  waypointBound,
  waypointMissing,
  workloadWaypointBound,
} from './waypoint-conditions.ts';

/** Every kind on which the leader keeps conditions of the ambient mesh; a new leader writes what differs of all. */
export function createConditionKinds(
  graph: Graph,
  sources: Sources,
  ambient: Ambient,
  policies: PolicyConditions,
): readonly ConditionedKind[] {
  const services = graph.map('serviceConditions', {
    from: ambient.serviceWaypoints,
    transform: (waypoint) => listed(waypointBound('Service', waypoint)),
  });
  const serviceEntries = graph.map('serviceEntryConditions', {
    from: sources.serviceEntries,
    uses: { visible: ambient.visibleEntries, waypoints: ambient.entryWaypoints },
    transform: (entry, fetch, key) => {
      const visibility = fetch.visible.get(key)?.visibility ?? 'NONE';
      const waypoint = fetch.waypoints.get(key);
      return listed(
        waypoint && waypointBound('ServiceEntry', waypoint),
        waypoint && waypointMissing(entry, waypoint.binding),
        visibilityApplied(visibility),
      );
    },
  });
  const workloadEntries = graph.map('workloadEntryConditions', {
    from: ambient.workloadEntryBindings,
    transform: (binding) => listed(workloadWaypointBound(binding)),
  });
  const oneOf = (name: string, from: Collection<WantedCondition>): Collection<readonly WantedCondition[]> =>
    graph.map(name, { from, transform: (condition) => [condition] });
  const policyKind = {
    ours: [ZTUNNEL_ACCEPTED, WAYPOINT_ACCEPTED],
    // A policy gets one of ours, never both.
    fieldManager: ([wanted]: readonly WantedCondition[]) =>
      wanted?.type === ZTUNNEL_ACCEPTED ? FieldManager.ztunnelPolicy : FieldManager.waypointPolicy,
  };
  const waypointTypes = Object.values(ServiceCondition);
  return [
    {
      type: resources.authorizationPolicies,
      objects: sources.authorizationPolicies,
      wanted: oneOf('authorizationPolicyStatus', policies.authorizationPolicies),
      ...policyKind,
    },
    {
      type: resources.requestAuthentications,
      objects: sources.requestAuthentications,
      wanted: oneOf('requestAuthenticationStatus', policies.requestAuthentications),
      ...policyKind,
    },
    {
      // A Service's status is written as a patch of a few fields, which any kind of object has.
      type: resources.services as ResourceType<UntypedObject>,
      objects: sources.services,
      wanted: services,
      ours: waypointTypes,
      fieldManager: () => FieldManager.ambientService,
    },
    {
      type: resources.serviceEntries,
      objects: sources.serviceEntries,
      wanted: serviceEntries,
      ours: waypointTypes,
      fieldManager: () => FieldManager.ambientService,
    },
    {
      type: resources.workloadEntries,
      objects: sources.workloadEntries,
      wanted: workloadEntries,
      ours: waypointTypes,
      fieldManager: () => FieldManager.ambientWorkloadEntry,
    },
  ];
}

function listed(
  ...conditions: readonly (WantedCondition | undefined)[]
): readonly WantedCondition[] | undefined {
  const wanted = conditions.filter((condition) => condition !== undefined);
  return wanted.length === 0 ? undefined : wanted;
}
