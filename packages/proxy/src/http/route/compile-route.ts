import type { envoy } from '@weft/api/envoy';
import type { CompileContext } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';
import { compileForward } from './compile-forward.ts';
import { compileMatch } from './compile-match.ts';
import { compileMetadata } from '../../filters/message.ts';
import { compileRedirect } from './compile-redirect.ts';
import { compileFilterConfigs } from './filter-configs.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import type { Route, RouteActionKind, RouteDefaults } from './route.ts';

type RouteConfig = envoy.config.route.v3.Route.$Properties;
type RouteMatchConfig = envoy.config.route.v3.RouteMatch.$Properties;

export function compileRoute(config: RouteConfig, defaults: RouteDefaults, context: CompileContext): Route {
  const match = config.match ?? {};
  return {
    name: config.name ?? '',
    virtualHost: defaults.virtualHost,
    matches: at('match', () => compileMatch(match, context)),
    action: compileAction(config, match, defaults, context),
    metadata: compileMetadata(config.metadata),
    decoratorOperation: config.decorator?.operation || undefined,
    request: compileHeaderMutations(config.requestHeadersToAdd, config.requestHeadersToRemove, 'request'),
    response: compileHeaderMutations(config.responseHeadersToAdd, config.responseHeadersToRemove, 'response'),
    filterConfigs: compileFilterConfigs(config.typedPerFilterConfig, context),
    bufferLimitBytes: config.perRequestBufferLimitBytes?.value ?? undefined,
  };
}

function compileAction(
  config: RouteConfig,
  match: RouteMatchConfig,
  defaults: RouteDefaults,
  context: CompileContext,
): RouteActionKind {
  switch (config.action) {
    case 'route':
      return {
        kind: 'forward',
        forward: at('route', () => compileForward(config.route ?? {}, match, defaults, context)),
      };
    case 'redirect':
      return {
        kind: 'redirect',
        redirect: at('redirect', () => compileRedirect(config.redirect ?? {}, match)),
      };
    case 'directResponse': {
      const { status = 200, body } = config.directResponse ?? {};
      const text =
        body?.inlineString ?? (body?.inlineBytes ? Buffer.from(body.inlineBytes).toString('latin1') : '');
      if (body?.filename) invalid('only inline bodies are supported', 'direct_response.body');
      if (Buffer.byteLength(text) > defaults.maxDirectResponseBytes) {
        invalid(`exceeds ${defaults.maxDirectResponseBytes} bytes`, 'direct_response.body');
      }
      return { kind: 'direct-response', status: status ?? 200, body: text };
    }
    case 'nonForwardingAction':
    case 'filterAction':
      return { kind: 'none' };
    default:
      return invalid('a route needs an action');
  }
}
