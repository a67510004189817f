import type { ServiceFacts, ServicePortFacts } from '../sources/facts.ts';
import type { AnyRouteFacts, ParentReference } from '../sources/gateway-objects.ts';

/** Whether a parent is a Service: in the mesh, routes attach to where requests go. */
export function isServiceParent({
  group = 'gateway.networking.k8s.io',
  kind = 'Gateway',
}: ParentReference): boolean {
  return kind === 'Service' && (group === '' || group === 'core');
}

/** `namespace/name` of each Service that a route names as a parent. */
export function parentServices({
  namespace,
  parentRefs,
}: Pick<AnyRouteFacts, 'namespace' | 'parentRefs'>): string[] {
  const keys = parentRefs
    .filter(isServiceParent)
    .map((parent) => `${parent.namespace ?? namespace}/${parent.name}`);
  return [...new Set(keys)];
}

/** A parent that names neither a port nor a section means all of the Service's ports. */
export function attachesTo(
  route: AnyRouteFacts,
  service: Pick<ServiceFacts, 'namespace' | 'name'>,
  port: ServicePortFacts,
): boolean {
  return route.parentRefs.some(
    (parent) =>
      isServiceParent(parent) &&
      parent.name === service.name &&
      (parent.namespace ?? route.namespace) === service.namespace &&
      selectsPort(parent, port),
  );
}

/** Of a Service, the sections are its ports, by name. */
export function selectsPort(parent: ParentReference, { name, port }: ServicePortFacts): boolean {
  return (
    (parent.port === undefined || parent.port === port) &&
    (parent.sectionName === undefined || parent.sectionName === name)
  );
}
