import type { ServiceFacts } from '../sources/facts.ts';
import type { AnyRouteFacts, ParentReference } from '../sources/gateway-objects.ts';

/** Whether a parent is a Service: in the mesh, routes attach to where requests go. */
export function isServiceParent({
  group = 'gateway.networking.k8s.io',
  kind = 'Gateway',
}: ParentReference): boolean {
  return kind === 'Service' && (group === '' || group === 'core');
}

/** `namespace/name` of each Service that a route names as a parent. */
export function parentServices({ namespace, parentRefs }: AnyRouteFacts): string[] {
  const keys = parentRefs
    .filter(isServiceParent)
    .map((parent) => `${parent.namespace ?? namespace}/${parent.name}`);
  return [...new Set(keys)];
}

/** A parent without a port means all of the Service's ports. */
export function attachesTo(
  route: AnyRouteFacts,
  service: Pick<ServiceFacts, 'namespace' | 'name'>,
  port: number,
): boolean {
  return route.parentRefs.some(
    (parent) =>
      isServiceParent(parent) &&
      parent.name === service.name &&
      (parent.namespace ?? route.namespace) === service.namespace &&
      (parent.port === undefined || parent.port === port),
  );
}
