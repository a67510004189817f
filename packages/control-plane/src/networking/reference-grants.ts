import type { AnyRouteFacts, ReferenceGrantFacts } from '../sources/gateway-objects.ts';
import { parentKey, parentKeys } from './route-attachment.ts';

/**
 * Whether a route may send requests to a Service.
 * @param grants those of the Service's namespace
 */
export function mayReferTo(
  route: AnyRouteFacts,
  service: { readonly namespace: string; readonly name: string },
  grants: readonly ReferenceGrantFacts[],
): boolean {
  const { namespace, name } = service;
  if (namespace === route.namespace) return true;
  // What is sent to a parent was on its way there: a route of the waypoint's namespace needs no leave for that.
  if (parentKeys(route).includes(parentKey('Service', `${namespace}/${name}`))) return true;
  return grants.some(
    ({ from, to }) =>
      from.some(
        (one) =>
          one.group === 'gateway.networking.k8s.io' &&
          one.kind === route.kind &&
          one.namespace === route.namespace,
      ) &&
      to.some(
        (one) =>
          (one.group === '' || one.group === 'core') && one.kind === 'Service' && (one.name || name) === name,
      ),
  );
}
