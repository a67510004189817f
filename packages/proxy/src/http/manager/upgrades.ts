import type { HeaderMap } from '../../engine/types.ts';
import type { ChosenRoute } from '../route/route.ts';

/**
 * Whether a request for another protocol (CONNECT is one) may be forwarded.
 *
 * @param enabled by upper-case type, where the route says nothing.
 */
export function upgradeAllowed(
  headers: HeaderMap,
  route: ChosenRoute | undefined,
  enabled: ReadonlyMap<string, boolean>,
): boolean {
  // Unrouted: the router says 404.
  if (route === undefined) return true;
  const type = headers.protocol ?? (headers.method === 'CONNECT' ? 'CONNECT' : undefined);
  if (type === undefined) return true;
  const { action } = route.route;
  const own = action.kind === 'forward' ? action.forward.upgrades.get(type.toUpperCase()) : undefined;
  return own?.enabled ?? enabled.get(type.toUpperCase()) ?? false;
}
