import { envoy, google, xds } from '@weft/api/envoy';
import { table } from '../output.ts';
import { unpack, type ListenersDump } from './admin-dump.ts';

const { Listener } = envoy.config.listener.v3;
type Listener = envoy.config.listener.v3.Listener;
type FilterChain = envoy.config.listener.v3.FilterChain.$Properties;
type Matcher = xds.type.matcher.v3.Matcher.$Properties;
type OnMatch = xds.type.matcher.v3.Matcher.OnMatch.$Properties;

export interface ListenerFilter {
  readonly port?: number;
  readonly address?: string;
}

export function listenersOf(dump: ListenersDump | undefined, filter: ListenerFilter): readonly Listener[] {
  return [
    ...(dump?.staticListeners ?? []).map(({ listener }) => listener),
    ...(dump?.dynamicListeners ?? []).map(({ activeState }) => activeState?.listener),
  ]
    .flatMap((any) => unpack(any, Listener) ?? [])
    .filter(({ address }) => {
      const socket = address?.socketAddress;
      return (
        (filter.port === undefined || socket?.portValue === filter.port) &&
        (filter.address === undefined || socket?.address === filter.address)
      );
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

export function listenerTable(listeners: readonly Listener[]): string {
  return table(
    ['LISTENER', 'CHAIN', 'MATCH', 'DESTINATION'],
    listeners.flatMap((listener) => listenerRows(listener)),
  );
}

function listenerRows(listener: Listener): readonly (readonly string[])[] {
  const chains = [...(listener.filterChains ?? [])];
  if (listener.defaultFilterChain) chains.push(listener.defaultFilterChain);
  const destination = new Map(chains.map((chain) => [chain.name ?? '', chainDestination(chain)]));
  if (!listener.filterChainMatcher) {
    return chains.map((chain) => [
      listener.name,
      chain.name ?? '',
      plainMatch(chain),
      chainDestination(chain),
    ]);
  }
  return matcherPaths(listener.filterChainMatcher).map(({ conditions, chain }) => [
    listener.name,
    chain,
    conditions.join(' -> '),
    destination.get(chain) ?? '',
  ]);
}

function plainMatch({ filterChainMatch: match }: FilterChain): string {
  const parts: string[] = [];
  for (const range of match?.prefixRanges ?? [])
    parts.push(`Addr: ${range.addressPrefix}/${range.prefixLen?.value ?? 32}`);
  if (match?.serverNames?.length) parts.push(`SNI: ${match.serverNames.join(',')}`);
  if (match?.transportProtocol) parts.push(`Trans: ${match.transportProtocol}`);
  if (match?.applicationProtocols?.length) parts.push(`App: ${match.applicationProtocols.join(',')}`);
  return parts.length === 0 ? 'ALL' : parts.join('; ');
}

interface MatcherPath {
  readonly conditions: readonly string[];
  readonly chain: string;
}

/** Every way through a matcher tree to a chain. */
function matcherPaths(matcher: Matcher, before: readonly string[] = []): readonly MatcherPath[] {
  const paths: MatcherPath[] = [];
  const follow = (onMatch: OnMatch | null | undefined, condition: string): void => {
    const conditions = [...before, condition];
    if (onMatch?.matcher) paths.push(...matcherPaths(onMatch.matcher, conditions));
    const action = onMatch?.action?.typedConfig;
    if (action)
      paths.push({
        conditions,
        chain: google.protobuf.StringValue.decode(action.value ?? new Uint8Array()).value,
      });
  };
  const tree = matcher.matcherTree;
  const input = inputName(tree?.input?.typedConfig?.type_url ?? '');
  for (const [value, onMatch] of Object.entries(tree?.exactMatchMap?.map ?? {}))
    follow(onMatch, `${input}=${value}`);
  for (const [value, onMatch] of Object.entries(tree?.prefixMatchMap?.map ?? {}))
    follow(onMatch, `${input}=${value}*`);
  const custom = tree?.customMatch?.typedConfig;
  if (custom?.type_url?.endsWith('.IPMatcher') === true) {
    const { rangeMatchers } = xds.type.matcher.v3.IPMatcher.decode(custom.value ?? new Uint8Array());
    for (const { ranges, onMatch } of rangeMatchers) {
      const list = (ranges ?? []).map((r) => `${r.addressPrefix}/${r.prefixLen?.value ?? 32}`).join(',');
      follow(onMatch, `${input}=${list}`);
    }
  }
  if (matcher.onNoMatch) follow(matcher.onNoMatch, 'ANY');
  return paths;
}

function inputName(typeUrl: string): string {
  const type = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
  const short: Readonly<Record<string, string>> = {
    DestinationIPInput: 'ip',
    DestinationPortInput: 'port',
    ApplicationProtocolInput: 'protocol',
    ServerNameInput: 'sni',
    TransportProtocolInput: 'transport',
    FilterStateInput: 'state',
    SourceIPInput: 'source',
  };
  return short[type] ?? type;
}

/** Where a chain's last filter leads. */
function chainDestination({ filters = [] }: FilterChain): string {
  for (const { typedConfig } of filters ?? []) {
    const bytes = typedConfig?.value ?? new Uint8Array();
    if (typedConfig?.type_url?.endsWith('.TcpProxy') === true) {
      const { cluster, weightedClusters } =
        envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.decode(bytes);
      const weighted = weightedClusters?.clusters?.map((c) => c.name).join(', ');
      return `Cluster: ${weighted ?? cluster ?? ''}`;
    }
    if (typedConfig?.type_url?.endsWith('.HttpConnectionManager') === true) {
      const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
      const manager = HttpConnectionManager.decode(bytes);
      if (manager.rds) return `Route: ${manager.rds.routeConfigName}`;
      return `Inline Route: ${routeMatches(manager.routeConfig)}`;
    }
  }
  return 'Non-HTTP/Non-TCP';
}

function routeMatches(
  config: envoy.config.route.v3.RouteConfiguration.$Properties | null | undefined,
): string {
  const routes = (config?.virtualHosts ?? []).flatMap(({ routes = [] }) => routes ?? []);
  return [...new Set(routes.map(({ match }) => routeMatch(match)))].join(', ');
}

/** `/api*`, `/exact`, `~ regex`. */
export function routeMatch(match: envoy.config.route.v3.RouteMatch.$Properties | null | undefined): string {
  if (match?.prefix) return `${match.prefix}*`;
  if (match?.path) return match.path;
  if (match?.pathSeparatedPrefix) return `${match.pathSeparatedPrefix}/*`;
  if (match?.safeRegex) return `~ ${match.safeRegex.regex}`;
  if (match?.connectMatcher) return 'CONNECT';
  return '/*';
}
