import type { AnyRouteFacts, BackendReference, RouteFilter } from './gateway-objects.ts';

/** What a route may send requests to: a Service, or a host of a ServiceEntry by its name. */
export type BackendTarget =
  | { readonly kind: 'Service'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'Hostname'; readonly hostname: string };

/** Undefined for kinds that nobody serves. A host name is the mesh's, not a namespace's. */
export function backendTarget(
  route: Pick<AnyRouteFacts, 'namespace'>,
  { group = '', kind = 'Service', namespace, name }: BackendReference,
): BackendTarget | undefined {
  if (kind === 'Service' && (group === '' || group === 'core'))
    return { kind: 'Service', namespace: namespace ?? route.namespace, name };
  return kind === 'Hostname' && group === 'networking.istio.io' && namespace === undefined
    ? { kind: 'Hostname', hostname: name }
    : undefined;
}

/** Everything that a route sends requests to, mirrored ones included. */
export function backendTargets(route: AnyRouteFacts): readonly BackendTarget[] {
  return route.rules.flatMap(({ backendRefs = [], filters = [] }) => {
    const mirrors = filters.flatMap(({ requestMirror }: RouteFilter) => requestMirror?.backendRef ?? []);
    return [...backendRefs, ...mirrors].flatMap((reference) => backendTarget(route, reference) ?? []);
  });
}

/** For an index: `Service namespace/name`, `Hostname hostname`. */
export function backendKey(target: BackendTarget): string {
  return target.kind === 'Service'
    ? `Service ${target.namespace}/${target.name}`
    : `Hostname ${target.hostname}`;
}

export function backendKeys(route: AnyRouteFacts): string[] {
  return [...new Set(backendTargets(route).map(backendKey))];
}
