import type { envoy } from '@weft/api/envoy';
import { compilePathRewrite } from './compile-path-rewrite.ts';
import type { RedirectAction } from './route.ts';

const redirectStatus: readonly number[] = [301, 302, 303, 307, 308];

/** A route that sends the client elsewhere. */
export function compileRedirect(
  config: envoy.config.route.v3.RedirectAction.$Properties,
  match: envoy.config.route.v3.RouteMatch.$Properties,
): RedirectAction {
  return {
    status: redirectStatus[config.responseCode ?? 0] ?? 301,
    scheme: config.httpsRedirect === true ? 'https' : config.schemeRedirect || undefined,
    host: config.hostRedirect || undefined,
    port: config.portRedirect || undefined,
    path: config.pathRedirect || undefined,
    rewritePath: compilePathRewrite(config, match),
    stripQuery: config.stripQuery === true,
  };
}
