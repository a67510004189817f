import { envoy } from '@weft/api/envoy';
import { ConfigError, type CompileContext, type HeaderMap, type StreamInfo } from '../../engine/types.ts';
import { at, InvalidValue } from '../../matching/index.ts';
import { compileMirror } from './compile-forward.ts';
import { compileMetadata } from '../../filters/message.ts';
import { compileRoute } from './compile-route.ts';
import { compileFilterConfigs } from './filter-configs.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import { ChosenRoute, type Route, type TableScope, type VirtualHostScope } from './route.ts';
import { DomainTable } from './virtual-hosts.ts';

type RouteConfiguration = envoy.config.route.v3.RouteConfiguration.$Properties;
type VirtualHostConfig = envoy.config.route.v3.VirtualHost.$Properties;

const DEFAULT_MAX_DIRECT_RESPONSE_BYTES = 4_096;

export type RouteLookup =
  | { readonly kind: 'route'; readonly route: ChosenRoute }
  /** The virtual host wants https: `require_tls`. */
  | { readonly kind: 'require-tls' }
  | { readonly kind: 'none' };

interface VirtualHost {
  readonly scope: VirtualHostScope;
  readonly routes: readonly Route[];
}

/** A compiled RouteConfiguration. */
export class RouteTable {
  readonly name: string;
  private readonly domains: DomainTable<VirtualHost>;
  private readonly ignorePort: boolean;

  constructor(name: string, domains: DomainTable<VirtualHost>, ignorePort: boolean) {
    this.name = name;
    this.domains = domains;
    this.ignorePort = ignorePort;
  }

  /** `random`: a number in [0, 1) that stays the same for the stream, so that looking again finds the same cluster. */
  find(headers: HeaderMap, info: StreamInfo, random: number): RouteLookup {
    const authority = headers.authority ?? '';
    const host = this.domains.find(this.ignorePort ? withoutPort(authority) : authority);
    if (host === undefined) return { kind: 'none' };
    if (host.scope.requireTls !== 'none' && headers.get('x-forwarded-proto') !== 'https') {
      const internal = headers.get('x-envoy-internal') === 'true';
      if (host.scope.requireTls === 'all' || !internal) return { kind: 'require-tls' };
    }
    for (const route of host.routes) {
      if (!route.matches(headers, info)) continue;
      const cluster =
        route.action.kind === 'forward' ? route.action.forward.cluster(headers, random) : undefined;
      return { kind: 'route', route: new ChosenRoute(route, cluster) };
    }
    return { kind: 'none' };
  }
}

/** @throws ConfigError */
export function compileRouteTable(config: RouteConfiguration, context: CompileContext): RouteTable {
  try {
    return compileTable(config, context);
  } catch (error) {
    if (error instanceof ConfigError || !(error instanceof InvalidValue)) throw error;
    return (error.path === '' ? context : context.at(error.path)).fail(error.reason);
  }
}

/** From the bytes of RDS. @throws ConfigError */
export function decodeRouteTable(bytes: Uint8Array, context: CompileContext): RouteTable {
  let config: RouteConfiguration;
  try {
    config = envoy.config.route.v3.RouteConfiguration.decode(bytes);
  } catch (error) {
    return context.fail('malformed message', error);
  }
  return compileRouteTable(config, context);
}

function compileTable(config: RouteConfiguration, context: CompileContext): RouteTable {
  const table: TableScope = {
    request: compileHeaderMutations(config.requestHeadersToAdd, config.requestHeadersToRemove, 'request'),
    response: compileHeaderMutations(config.responseHeadersToAdd, config.responseHeadersToRemove, 'response'),
    filterConfigs: compileFilterConfigs(config.typedPerFilterConfig, context),
    mostSpecificWins: config.mostSpecificHeaderMutationsWins === true,
  };
  const mirrors = (config.requestMirrorPolicies ?? []).map(compileMirror);
  const domains = new DomainTable<VirtualHost>();
  const names = new Set<string>();
  for (const [i, host] of (config.virtualHosts ?? []).entries()) {
    at(`virtual_hosts[${i}]`, () => {
      const place = context.at(`virtual_hosts[${i}]`);
      const name = host.name ?? '';
      if (names.has(name)) throw new InvalidValue('name', `"${name}" is used twice`);
      names.add(name);
      const compiled = compileVirtualHost(host, {
        table,
        mirrors,
        maxDirectResponseBytes:
          config.maxDirectResponseBodySizeBytes?.value ?? DEFAULT_MAX_DIRECT_RESPONSE_BYTES,
        context: place,
      });
      for (const [d, domain] of (host.domains ?? []).entries()) {
        at(`domains[${d}]`, () => domains.add(domain, compiled));
      }
    });
  }
  return new RouteTable(config.name ?? '', domains, config.ignorePortInHostMatching === true);
}

interface HostDefaults {
  readonly table: TableScope;
  readonly mirrors: readonly ReturnType<typeof compileMirror>[];
  readonly maxDirectResponseBytes: number;
  readonly context: CompileContext;
}

function compileVirtualHost(config: VirtualHostConfig, o: HostDefaults): VirtualHost {
  const scope: VirtualHostScope = {
    name: config.name ?? '',
    metadata: compileMetadata(config.metadata),
    table: o.table,
    request: compileHeaderMutations(config.requestHeadersToAdd, config.requestHeadersToRemove, 'request'),
    response: compileHeaderMutations(config.responseHeadersToAdd, config.responseHeadersToRemove, 'response'),
    filterConfigs: compileFilterConfigs(config.typedPerFilterConfig, o.context),
    includeAttemptCount: config.includeRequestAttemptCount === true,
    includeAttemptCountInResponse: config.includeAttemptCountInResponse === true,
    requireTls: (['none', 'external', 'all'] as const)[config.requireTls ?? 0] ?? 'none',
  };
  const retry = config.retryPolicy
    ? at('retry_policy', () => compileRetryPolicy(config.retryPolicy ?? {}))
    : undefined;
  const own = (config.requestMirrorPolicies ?? []).map(compileMirror);
  const defaults = {
    virtualHost: scope,
    retry,
    mirrors: own.length > 0 ? own : o.mirrors,
    maxDirectResponseBytes: o.maxDirectResponseBytes,
  };
  const routes = (config.routes ?? []).map((route, i) =>
    at(`routes[${i}]`, () => compileRoute(route, defaults, o.context.at(`routes[${i}]`))),
  );
  return { scope, routes };
}

/** `[::1]:80` and `a:80` without `:80`. */
export function withoutPort(authority: string): string {
  const match = /^(.*):\d*$/.exec(authority);
  if (match === null) return authority;
  const host = match[1] ?? '';
  // A bare IPv6 address has colons and no port.
  return host.includes(':') && !host.endsWith(']') ? authority : host;
}
