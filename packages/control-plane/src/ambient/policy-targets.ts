import { GatewayClass } from '@weft/api';
import type { PolicyObject, TargetReference } from '../sources/policy-objects.ts';

/** What policies for waypoints attach to: a policy is filed under its targets and looked up by who serves a Service. */

export interface Targeting {
  readonly targetRef?: TargetReference;
  readonly targetRefs?: readonly TargetReference[];
}

export function targetsOf({ targetRef, targetRefs = [] }: Targeting): readonly TargetReference[] {
  return targetRef === undefined ? targetRefs : [targetRef];
}

/** The targets of which somebody may be governed; each in the policy's own namespace. */
export function attachmentKeys({ namespace, spec }: PolicyObject<Targeting>): string[] {
  return targetsOf(spec).flatMap(({ group = '', kind, name }) => {
    switch (kind) {
      case 'Service':
        return group === '' || group === 'core' ? [`Service ${namespace}/${name}`] : [];
      case 'ServiceEntry':
        return [`ServiceEntry ${namespace}/${name}`];
      case 'Gateway':
        return [`Gateway ${namespace}/${name}`];
      case 'GatewayClass':
        return name === GatewayClass.waypoint ? [`GatewayClass ${namespace}`] : [];
      default:
        return [];
    }
  });
}

/**
 * Everything that may govern requests to a Service by way of a waypoint. A class' policies live in the root namespace.
 * @param o.service `namespace/name`; undefined for a workload, which nothing targets by itself
 * @param o.serviceEntry `namespace/name` of the ServiceEntry that makes the service
 * @param o.waypoint `namespace/name` of the Gateway; undefined where there is none
 */
export function attachmentKeysOf(o: {
  readonly service: string | undefined;
  readonly serviceEntry?: string;
  readonly waypoint: string | undefined;
  readonly rootNamespace: string;
}): readonly string[] {
  return [
    ...(o.waypoint === undefined ? [] : [`GatewayClass ${o.rootNamespace}`, `Gateway ${o.waypoint}`]),
    ...(o.service === undefined ? [] : [`Service ${o.service}`]),
    ...(o.serviceEntry === undefined ? [] : [`ServiceEntry ${o.serviceEntry}`]),
  ];
}

/** Whether a policy that decides about requests is filed under one of the keys. */
export function isTargeted(
  keys: readonly string[],
  policies: Readonly<
    Record<'authorizations' | 'authentications', { lookup(key: string): readonly unknown[] }>
  >,
): boolean {
  return keys.some(
    (key) =>
      policies.authorizations.lookup(key).length > 0 || policies.authentications.lookup(key).length > 0,
  );
}

/** Each policy once, by namespace and name, so that the order doesn't depend on how they were found. */
export function distinctPolicies<T>(policies: readonly PolicyObject<T>[]): PolicyObject<T>[] {
  const byKey = new Map(policies.map((policy) => [`${policy.namespace}/${policy.name}`, policy]));
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, policy]) => policy);
}
