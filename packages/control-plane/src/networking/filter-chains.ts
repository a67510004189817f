import { envoy, io, stats } from '@weft/api/envoy';
import type {
  AuthorizationPolicySpec,
  PolicyObject,
  RequestAuthenticationSpec,
} from '../sources/policy-objects.ts';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { accessLogs } from './access-logs.ts';
import { NO_LIMIT, extension } from './any.ts';
import { type FindProvider, byProvider, externalAuthorization } from './external-authorization.ts';
import { forwardedDomains, forwardingHttpFilter, forwardingNetworkFilter } from './hosts-named-by-clients.ts';
import { jwtAuthentication } from './jwt-authentication.ts';
import { httpAuthorization, networkAuthorization } from './rbac.ts';

type FilterChain = envoy.config.listener.v3.FilterChain.$Properties;
type HttpFilter = envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.$Properties;

const networkFilters = envoy.extensions.filters.network;
const httpFilters = envoy.extensions.filters.http;
const { HttpConnectionManager } = networkFilters.http_connection_manager.v3;

export interface HttpChainOptions {
  /** Names the chain, too. */
  readonly cluster: string;
  readonly port: number;
  /** Of a service whose hosts clients name: the wildcard that covers them. */
  readonly forwardedHost?: string | undefined;
  readonly routes: envoy.config.route.v3.Route.$Properties[];
  readonly authorization: readonly PolicyObject<AuthorizationPolicySpec>[];
  readonly authentication: readonly PolicyObject<RequestAuthenticationSpec>[];
  readonly jwks: (uri: string) => string | undefined;
  readonly provider: FindProvider;
  readonly settings: WaypointSettings;
}

/** Whether somebody else objects, who is it, may they, then what the routes want, last of all to the endpoint. */
export function httpChain(o: HttpChainOptions): FilterChain {
  const name = `inbound|http|${o.port}`;
  const { asked, rest } = byProvider(o.authorization, o.provider);
  const { forwardedHost, settings } = o;
  const domains = forwardedHost === undefined ? ['*'] : forwardedDomains(forwardedHost, o.port);
  return {
    name: o.cluster,
    filters: [
      extension('envoy.filters.network.http_connection_manager', HttpConnectionManager, {
        statPrefix: o.cluster,
        codecType: HttpConnectionManager.CodecType.AUTO,
        routeConfig: {
          name,
          validateClusters: { value: false },
          virtualHosts: [{ name, domains, routes: o.routes }],
        },
        httpFilters: [
          ...asked.flatMap(({ by, policies }) => externalAuthorization(by, policies)),
          ...jwtAuthentication(o.authentication, o.jwks),
          ...httpAuthorization(rest),
          ...trafficFilters(),
          ...(forwardedHost === undefined ? [] : [forwardingHttpFilter(settings)]),
          ...telemetryFilters(),
          extension('envoy.filters.http.router', httpFilters.router.v3.Router, {}),
        ],
        streamIdleTimeout: NO_LIMIT,
        ...pathNormalization(o),
        useRemoteAddress: { value: false },
        serverName: 'istio-envoy',
        upgradeConfigs: [{ upgradeType: 'websocket' }],
        accessLog: accessLogs(settings.accessLogs),
      }),
    ],
  };
}

type PathOptions = Pick<
  envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.$Properties,
  'normalizePath' | 'mergeSlashes' | 'pathWithEscapedSlashesAction'
>;

function pathNormalization({ settings, authorization }: HttpChainOptions): PathOptions {
  const { UNESCAPE_AND_FORWARD } = HttpConnectionManager.PathWithEscapedSlashesAction;
  const pathWithEscapedSlashesAction = escapedSlashes(authorization);
  switch (settings.pathNormalization) {
    case 'NONE':
      return { normalizePath: { value: false }, mergeSlashes: false, pathWithEscapedSlashesAction };
    case 'BASE':
      return { normalizePath: { value: true }, mergeSlashes: false, pathWithEscapedSlashesAction };
    // Two slashes are one element to many applications, so policies must see one, too.
    case 'DEFAULT':
    case 'MERGE_SLASHES':
      return { normalizePath: { value: true }, mergeSlashes: true, pathWithEscapedSlashesAction };
    case 'DECODE_AND_MERGE_SLASHES':
      return {
        normalizePath: { value: true },
        mergeSlashes: true,
        pathWithEscapedSlashesAction: UNESCAPE_AND_FORWARD,
      };
  }
}

/**
 * `%2F` is a slash to some applications and a letter to others. Where a policy decides by paths it can't know which, so
 * such requests are refused.
 */
function escapedSlashes(policies: HttpChainOptions['authorization']) {
  const { REJECT_REQUEST, KEEP_UNCHANGED } = HttpConnectionManager.PathWithEscapedSlashesAction;
  const byPath = policies.some(({ spec }) =>
    spec.rules?.some(({ to }) => to?.some(({ operation }) => operation?.paths ?? operation?.notPaths)),
  );
  return byPath ? REJECT_REQUEST : KEEP_UNCHANGED;
}

export function tcpChain(o: {
  readonly cluster: string;
  /** Of a service whose hosts clients name. */
  readonly forwardedPort?: number | undefined;
  readonly authorization: readonly PolicyObject<AuthorizationPolicySpec>[];
  readonly settings: WaypointSettings;
}): FilterChain {
  return {
    name: o.cluster,
    filters: [
      ...networkAuthorization(o.authorization),
      ...(o.forwardedPort === undefined ? [] : [forwardingNetworkFilter(o.forwardedPort, o.settings)]),
      extension('envoy.filters.network.tcp_proxy', networkFilters.tcp_proxy.v3.TcpProxy, {
        statPrefix: o.cluster,
        cluster: o.cluster,
        accessLog: accessLogs(o.settings.accessLogs),
      }),
    ],
  };
}

function trafficFilters(): HttpFilter[] {
  return [
    extension('envoy.filters.http.grpc_stats', httpFilters.grpc_stats.v3.FilterConfig, {
      emitFilterState: true,
      statsForAllMethods: { value: false },
    }),
    extension('envoy.filters.http.fault', httpFilters.fault.v3.HTTPFault, {}),
    extension('envoy.filters.http.cors', httpFilters.cors.v3.Cors, {}),
  ];
}

/** Istio's own filters: a proxy that doesn't know them leaves them out. */
function telemetryFilters(): HttpFilter[] {
  return [
    {
      ...extension('istio.stats', stats.PluginConfig, { reporter: stats.Reporter.SERVER_GATEWAY }),
      isOptional: true,
    },
  ];
}

/** For the listener on which tunnels end: who is at the other end, for telemetry. */
export function peerMetadata(): HttpFilter {
  return {
    ...extension('waypoint_downstream_peer_metadata', io.istio.http.peer_metadata.Config, {
      // By its address; until that is known, by its own word.
      downstreamDiscovery: [{ workloadDiscovery: {} }, { baggage: {} }],
      sharedWithUpstream: true,
    }),
    isOptional: true,
  };
}
