import { envoy, google, xds } from '@weft/api/envoy';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { accessLogs, flagged } from './access-logs.ts';
import { NO_LIMIT, any, duration, extension } from './any.ts';
import { byServerName } from './hosts-named-by-clients.ts';
import { Name } from './names.ts';
import type { PortConfig, ServiceConfig } from './service-config.ts';
import { originalDestination } from './shared-listeners.ts';
import type { WorkloadGroup } from './workload-config.ts';

type Listener = envoy.config.listener.v3.Listener.$Properties;
type ListenerFilter = envoy.config.listener.v3.ListenerFilter.$Properties;
type Predicate = envoy.config.listener.v3.ListenerFilterChainMatchPredicate.$Properties;
type OnMatch = xds.type.matcher.v3.Matcher.OnMatch.$Properties;
type Matcher = xds.type.matcher.v3.Matcher.$Properties;

const inputs = envoy.extensions.matching.common_inputs.network.v3;
const { IPMatcher } = xds.type.matcher.v3;
const listenerFilters = envoy.extensions.filters.listener;

/**
 * What a tunnel carried, by the address that the client meant: Service address, then port, then protocol. What matches
 * nothing is closed.
 */
export function mainInternal(
  services: readonly ServiceConfig[],
  workloads: readonly WorkloadGroup[],
  settings: WaypointSettings,
): Listener {
  const reachable = services.filter(({ addresses, ports }) => addresses.length > 0 && ports.length > 0);
  const ranges = [...reachable.map(serviceRange), ...workloads.map(workloadRange)];
  const chains = [
    ...reachable.flatMap((service) => [...service.chains]),
    ...workloads.flatMap(({ httpChain, tcpChain }) => [httpChain, tcpChain]),
  ];
  return {
    name: Name.mainInternal,
    internalListener: {},
    listenerFilters: listenerFiltersFor(reachable, workloads.length > 0),
    ...detectionTimeout(settings),
    accessLog: settings.logsUnmatched ? accessLogs(settings.accessLogs, flagged('NR')) : [],
    ...(ranges.length === 0 ? {} : { filterChainMatcher: byAddress(ranges) }),
    filterChains: chains.length === 0 ? [emptyChain] : chains,
  };
}

/** Connections whose first bytes don't come in time are of no protocol that is known. */
function detectionTimeout({ protocolDetectionTimeoutMs: ms }: WaypointSettings) {
  return ms === 0
    ? { listenerFiltersTimeout: NO_LIMIT }
    : { listenerFiltersTimeout: duration(ms), continueOnListenerFiltersTimeout: true };
}

/** A listener must have a chain; connections that come to this one find no cluster and end. */
const emptyChain: envoy.config.listener.v3.FilterChain.$Properties = {
  name: 'nothing-is-served',
  filters: [
    extension('envoy.filters.network.tcp_proxy', envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, {
      statPrefix: 'nothing-is-served',
      cluster: 'BlackHoleCluster',
    }),
  ],
};

type Range = xds.type.matcher.v3.IPMatcher.IPRangeMatcher.$Properties;

function byAddress(rangeMatchers: Range[]): Matcher {
  return {
    matcherTree: {
      input: extension('ip', inputs.DestinationIPInput, {}),
      customMatch: extension('ip', IPMatcher, { rangeMatchers }),
    },
  };
}

function serviceRange({ addresses, ports }: ServiceConfig): Range {
  return { ranges: addresses.map(hostRange), onMatch: { matcher: byPort(ports) } };
}

function workloadRange({ addresses, httpChain, tcpChain }: WorkloadGroup): Range {
  return { ranges: addresses.map(hostRange), onMatch: byProtocol(httpChain.name ?? '', tcpChain.name ?? '') };
}

function hostRange(text: string): xds.core.v3.CidrRange.$Properties {
  const [address = '', length] = text.split('/');
  if (length !== undefined) return { addressPrefix: address, prefixLen: { value: Number(length) } };
  return { addressPrefix: address, prefixLen: { value: address.includes(':') ? 128 : 32 } };
}

function byPort(ports: readonly PortConfig[]): Matcher {
  return {
    matcherTree: {
      input: extension('port', inputs.DestinationPortInput, {}),
      exactMatchMap: {
        map: Object.fromEntries(ports.map((port) => [String(port.port), chainOf(port)])),
      },
    },
  };
}

function chainOf(port: PortConfig): OnMatch {
  if (port.kind === 'sniffed') return byProtocol(port.httpChain, port.tcpChain);
  const only = chain(port.chain);
  return port.kind === 'tcp' && port.serverName !== undefined
    ? { matcher: byServerName(port.serverName, only) }
    : only;
}

function byProtocol(httpChain: string, tcpChain: string): OnMatch {
  const http = chain(httpChain);
  return {
    matcher: {
      matcherTree: {
        input: extension('application-protocol', inputs.ApplicationProtocolInput, {}),
        // As Envoy prints the list of protocols: each in quotes.
        exactMatchMap: { map: { "'http/1.1'": http, "'h2c'": http } },
      },
      onNoMatch: chain(tcpChain),
    },
  };
}

function chain(name: string): OnMatch {
  return { action: { name, typedConfig: any(google.protobuf.StringValue, { value: name }) } };
}

function listenerFiltersFor(services: readonly ServiceConfig[], hasWorkloads: boolean): ListenerFilter[] {
  const ports = services.flatMap((service) => service.ports);
  const declared = new Set<number>();
  const sniffed = new Set<number>();
  for (const port of ports) (port.kind === 'sniffed' ? sniffed : declared).add(port.port);
  // Of a workload's own ports nothing is known, whatever a Service says of the same number.
  const known = hasWorkloads ? [] : [...declared].filter((port) => !sniffed.has(port)).sort((a, b) => a - b);
  const hasTls = ports.some((port) => port.kind === 'tcp' && port.isTls);
  return [
    originalDestination(),
    ...(sniffed.size === 0 && !hasWorkloads
      ? []
      : [
          {
            name: 'envoy.filters.listener.http_inspector',
            typedConfig: any(listenerFilters.http_inspector.v3.HttpInspector, {}),
            // A client that waits for the server to speak first would be kept waiting.
            ...(known.length === 0 ? {} : { filterDisabled: onPorts(known) }),
          },
        ]),
    ...(hasTls
      ? [
          {
            name: 'envoy.filters.listener.tls_inspector',
            typedConfig: any(listenerFilters.tls_inspector.v3.TlsInspector, {}),
          },
        ]
      : []),
  ];
}

function onPorts(ports: readonly number[]): Predicate {
  const rules = ports.map((port) => ({ destinationPortRange: { start: port, end: port + 1 } }));
  const [only] = rules;
  return rules.length === 1 && only !== undefined ? only : { orMatch: { rules } };
}
