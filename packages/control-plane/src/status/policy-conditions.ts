import { GatewayController } from '@weft/api';
import type { Collection, Fetch, Graph } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { ztunnelAccepted } from '../ambient/policy-status.ts';
import { targetsOf } from '../ambient/policy-targets.ts';
import {
  type WaypointPolicyContext,
  unattachedAuthentication,
  unaskable,
  waypointAccepted,
} from '../ambient/waypoint-policy-status.ts';
import type { WantedCondition } from '../gateway/gateway-status.ts';
import { isDryRun } from '../sources/policy-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';

export const ZTUNNEL_ACCEPTED = 'ZtunnelAccepted';
export const WAYPOINT_ACCEPTED = 'WaypointAccepted';

/** The one condition that every policy has, by the policy's key: of ztunnel, or of its waypoints. */
export interface PolicyConditions {
  readonly authorizationPolicies: Collection<WantedCondition>;
  readonly requestAuthentications: Collection<WantedCondition>;
}

export function createPolicyConditions(
  graph: Graph,
  sources: Sources,
  { mesh, defaultMesh, policies, serviceWaypoints, entryWaypoints, authorizationProviders }: Ambient,
): PolicyConditions {
  const uses = {
    mesh,
    serviceWaypoints,
    entryWaypoints,
    gateways: sources.gateways,
    classes: sources.gatewayClasses,
  };
  const context = (fetch: Fetch<typeof uses>): WaypointPolicyContext => ({
    rootNamespace: (fetch.mesh.get(MESH_KEY) ?? defaultMesh).rootNamespace,
    binding: (service) => fetch.serviceWaypoints.get(service)?.binding,
    entryBinding: (entry) => fetch.entryWaypoints.get(entry)?.binding,
    gateway: (key) => {
      const gateway = fetch.gateways.get(key);
      if (gateway === undefined) return undefined;
      const { controllerName } = fetch.classes.get(gateway.spec.gatewayClassName) ?? {};
      return controllerName === GatewayController.waypoint ? 'waypoint' : 'other';
    },
    hasGatewayClass: (name) => fetch.classes.get(name) !== undefined,
  });
  const authorizationPolicies = graph.map('authorizationPolicyConditions', {
    from: sources.authorizationPolicies,
    uses: { ...uses, policies, authorizationProviders },
    transform: (policy, fetch, key): WantedCondition | undefined => {
      const converted = fetch.policies.get(key);
      const onLayer4 = converted === undefined ? undefined : ztunnelAccepted(converted);
      if (onLayer4 !== undefined) return { type: ZTUNNEL_ACCEPTED, ...onLayer4 };
      const accepted = waypointAccepted(
        {
          namespace: policy.namespace,
          targets: targetsOf(policy.spec),
          isDryRun: isDryRun(policy),
          unsupported: unaskable(policy.spec, (name) => fetch.authorizationProviders.get(name) !== undefined),
        },
        context(fetch),
      );
      return accepted && { type: WAYPOINT_ACCEPTED, ...accepted };
    },
  });
  const requestAuthentications = graph.map('requestAuthenticationConditions', {
    from: sources.requestAuthentications,
    uses,
    transform: ({ namespace, spec }, fetch): WantedCondition => ({
      type: WAYPOINT_ACCEPTED,
      ...(waypointAccepted({ namespace, targets: targetsOf(spec) }, context(fetch)) ??
        unattachedAuthentication),
    }),
  });
  return { authorizationPolicies, requestAuthentications };
}
