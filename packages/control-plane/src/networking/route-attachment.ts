import type { ServicePortFacts } from '../sources/facts.ts';
import type { AnyRouteFacts, ParentReference } from '../sources/gateway-objects.ts';

/** What routes attach to in the mesh: where requests go. */
export type MeshParentKind = 'Service' | 'ServiceEntry';

/** Undefined for parents that are not of the mesh. */
export function meshParentKind({
  group = 'gateway.networking.k8s.io',
  kind = 'Gateway',
}: Pick<ParentReference, 'group' | 'kind'>): MeshParentKind | undefined {
  if (kind === 'Service' && (group === '' || group === 'core')) return kind;
  return kind === 'ServiceEntry' && group === 'networking.istio.io' ? kind : undefined;
}

/** For an index: `Service namespace/name`, `ServiceEntry namespace/name`. */
export function parentKey(kind: MeshParentKind, key: string): string {
  return `${kind} ${key}`;
}

/** Of each parent in the mesh that a route names. */
export function parentKeys({
  namespace: own,
  parentRefs,
}: Pick<AnyRouteFacts, 'namespace' | 'parentRefs'>): string[] {
  const keys = parentRefs.flatMap((parent) => {
    const kind = meshParentKind(parent);
    const { namespace = own, name } = parent;
    return kind === undefined ? [] : [parentKey(kind, `${namespace}/${name}`)];
  });
  return [...new Set(keys)];
}

/** A parent that names neither a port nor a section means all of the ports. */
export function attachesTo(
  route: AnyRouteFacts,
  to: { readonly kind: MeshParentKind; readonly namespace: string; readonly name: string },
  port: ServicePortFacts,
): boolean {
  return route.parentRefs.some(
    (parent) =>
      meshParentKind(parent) === to.kind &&
      parent.name === to.name &&
      (parent.namespace ?? route.namespace) === to.namespace &&
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
