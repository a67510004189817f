import { Port } from '@weft/api';
import { envoy } from '@weft/api/envoy';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { accessLogs, flagged, statusFrom } from './access-logs.ts';
import { NO_LIMIT, any, duration, extension } from './any.ts';
import { peerMetadata } from './filter-chains.ts';
import { Metadata, Name, State } from './names.ts';
import { tunnelServerTls } from './tls.ts';

type Listener = envoy.config.listener.v3.Listener.$Properties;
type FilterStateValue = envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue.$Properties;
type Filter = envoy.config.listener.v3.Filter.$Properties;

const { FilterStateValue } = envoy.extensions.filters.common.set_filter_state.v3;
const httpFilters = envoy.extensions.filters.http;
const networkFilters = envoy.extensions.filters.network;
const { HttpConnectionManager } = networkFilters.http_connection_manager.v3;
const { TcpProxy } = networkFilters.tcp_proxy.v3;

const MAX_CONCURRENT_STREAMS = 100;
const KEEPALIVE_INTERVAL_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

/** 15008: tunnels end here, and every CONNECT becomes a connection to the internal listener. */
export function connectTerminate(trustDomains: readonly string[], settings: WaypointSettings): Listener {
  return {
    name: Name.connectTerminate,
    address: { socketAddress: { address: '0.0.0.0', portValue: Port.hbone } },
    connectionBalanceConfig: { exactBalance: {} },
    filterChains: [
      {
        name: 'default',
        transportSocket: tunnelServerTls(trustDomains),
        filters: [
          extension('envoy.filters.network.http_connection_manager', HttpConnectionManager, {
            statPrefix: Name.connectTerminate,
            codecType: HttpConnectionManager.CodecType.AUTO,
            routeConfig: {
              name: 'default',
              validateClusters: { value: false },
              virtualHosts: [
                {
                  name: 'default',
                  domains: ['*'],
                  routes: [
                    {
                      name: 'default',
                      match: { connectMatcher: {} },
                      route: {
                        cluster: Name.mainInternal,
                        upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }],
                      },
                    },
                  ],
                },
              ],
            },
            httpFilters: [
              peerMetadata(),
              extension('connect_authority', httpFilters.set_filter_state.v3.Config, {
                onRequestHeaders: [
                  shared(State.originalDestination, '%REQ(:AUTHORITY)%'),
                  shared(State.connectAuthority, '%REQ(:AUTHORITY)%', STRING),
                  // The connection's own: a header of the CONNECT could say anything.
                  shared(State.originalSource, '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%'),
                  shared(State.peerPrincipal, '%DOWNSTREAM_PEER_URI_SAN%', STRING),
                  shared(State.localPrincipal, '%DOWNSTREAM_LOCAL_URI_SAN%', STRING),
                ],
              }),
              extension('envoy.filters.http.router', httpFilters.router.v3.Router, {
                suppressEnvoyHeaders: true,
              }),
            ],
            http2ProtocolOptions: {
              allowConnect: true,
              maxConcurrentStreams: { value: MAX_CONCURRENT_STREAMS },
              connectionKeepalive: {
                interval: duration(KEEPALIVE_INTERVAL_MS),
                timeout: duration(KEEPALIVE_TIMEOUT_MS),
              },
            },
            commonHttpProtocolOptions: { idleTimeout: duration(settings.hboneIdleTimeoutMs) },
            streamIdleTimeout: NO_LIMIT,
            useRemoteAddress: { value: false },
            skipXffAppend: true,
            serverName: 'istio-envoy',
            forwardClientCertDetails: HttpConnectionManager.ForwardClientCertDetails.APPEND_FORWARD,
            setCurrentClientCertDetails: { subject: { value: true }, uri: true, dns: true },
            upgradeConfigs: [{ upgradeType: 'CONNECT' }],
            // What a tunnel carries is logged where it is understood.
            accessLog: accessLogs(settings.accessLogs, statusFrom(400)),
          }),
        ],
      },
    ],
  };
}

/** The way out: what is sent here leaves in a tunnel to the endpoint, which has to be who we expect. */
export function connectOriginate(settings: WaypointSettings): Listener {
  return {
    name: Name.connectOriginate,
    internalListener: {},
    listenerFilters: [originalDestination()],
    filterChains: [
      {
        filters: [
          expectIdentity(),
          extension('envoy.filters.network.tcp_proxy', TcpProxy, {
            statPrefix: Name.connectOriginate,
            cluster: Name.connectOriginate,
            tunnelingConfig: { hostname: '%DOWNSTREAM_LOCAL_ADDRESS%' },
            accessLog: accessLogs(settings.accessLogs, flagged('UF')),
          }),
        ],
      },
    ],
  };
}

/**
 * The endpoint's identity came along as metadata; as this filter state it replaces the TLS context's list of names, by
 * which any workload of the mesh would do.
 */
function expectIdentity(): Filter {
  return extension('expected_identity', networkFilters.set_filter_state.v3.Config, {
    onNewConnection: [
      {
        ...shared(State.upstreamSubjectNames, `%DYNAMIC_METADATA(${Metadata.weft}:identity)%`),
        skipIfEmpty: true,
      },
    ],
  });
}

/** Keys that are no object's own name need to be told what they are. */
const STRING = 'envoy.string';

export function shared(key: string, format: string, factoryKey?: string): FilterStateValue {
  return {
    objectKey: key,
    ...(factoryKey === undefined ? {} : { factoryKey }),
    formatString: { textFormatSource: { inlineString: format }, omitEmptyValues: true },
    sharedWithUpstream: FilterStateValue.SharedWithUpstream.ONCE,
  };
}

export function originalDestination(): envoy.config.listener.v3.ListenerFilter.$Properties {
  return {
    name: 'envoy.filters.listener.original_dst',
    typedConfig: any(envoy.extensions.filters.listener.original_dst.v3.OriginalDst, {}),
  };
}
