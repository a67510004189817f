import { GatewayClass } from '@weft/api';
import { targetedServices, targetsOf } from '../ambient/require-waypoint.ts';
import type { PolicyObject, TargetReference } from '../sources/policy-objects.ts';

interface Targeting {
  readonly targetRef?: TargetReference;
  readonly targetRefs?: readonly TargetReference[];
}

/** Where a policy is filed by what it targets; it is looked up at {@link attachmentKeysOf}. */
export function attachmentKeys({ namespace, spec }: PolicyObject<Targeting>): string[] {
  const services = targetedServices(namespace, spec).map((key) => `Service ${key}`);
  const others = targetsOf(spec).flatMap(({ kind, name }) => {
    if (kind === 'Gateway') return [`Gateway ${namespace}/${name}`];
    return kind === 'GatewayClass' && name === GatewayClass.waypoint ? [`GatewayClass ${namespace}`] : [];
  });
  return [...services, ...others];
}

/** Everything that may govern requests to a Service by way of a waypoint. A class' policies live in the root namespace. */
export function attachmentKeysOf(o: {
  readonly service: string;
  readonly waypoint: string;
  readonly rootNamespace: string;
}): readonly string[] {
  return [`GatewayClass ${o.rootNamespace}`, `Gateway ${o.waypoint}`, `Service ${o.service}`];
}

/** Each policy once, by namespace and name, so that the order doesn't depend on how they were found. */
export function distinctPolicies<T>(policies: readonly PolicyObject<T>[]): PolicyObject<T>[] {
  const byKey = new Map(policies.map((policy) => [`${policy.namespace}/${policy.name}`, policy]));
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, policy]) => policy);
}
