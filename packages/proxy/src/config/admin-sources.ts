import { envoy } from '@weft/api/envoy';
import { LogLevels } from '@weft/telemetry';
import { accessLogFiles } from '../access-log/index.ts';
import type { AdminSources, ClusterStatus, HostStatus, ResourceStatus } from '../admin/index.ts';
import type { ListenerVersion } from '../network/listener-manager.ts';
import { parseSocketAddress } from '../network/socket-address.ts';
import type { Proxy } from '../proxy.ts';
import type { Host } from '../upstream/host.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import { ENDPOINTS, ROUTES, SECRETS } from './resource-stores.ts';
import { TYPE_PREFIX } from './typed-config.ts';

const BOOTSTRAP = `${TYPE_PREFIX}envoy.config.bootstrap.v3.Bootstrap`;
const CLUSTER = `${TYPE_PREFIX}envoy.config.cluster.v3.Cluster`;
const LISTENER = `${TYPE_PREFIX}envoy.config.listener.v3.Listener`;
const HTTP_CONNECTION_MANAGER = `${TYPE_PREFIX}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`;

/** The proxy as its admin pages see it. */
export function adminSources(proxy: Proxy): AdminSources {
  const { engine, options } = proxy;
  return {
    state: () => proxy.state,
    node: engine.node,
    version: options.version ?? '0.1.0',
    startTimeMs: proxy.startTimeMs,
    stats: proxy.stats,
    logLevels: options.logLevels ?? new LogLevels(),
    resources: () => resources(proxy),
    clusters: () => clusters(proxy),
    listeners: () =>
      proxy.listeners.status().flatMap(({ name, addresses }) =>
        addresses.map((text) => ({
          name,
          address: parseSocketAddress(text) ?? { kind: 'internal' as const, listener: name, endpointId: '' },
        })),
      ),
    certificates: () => proxy.stores.certificates(),
    drainListeners: ({ graceful, inboundOnly }) => {
      proxy.drain({ inboundOnly });
      if (!graceful) proxy.listeners.stopListening();
    },
    failHealthChecks: (failing) => {
      if (failing) proxy.drain();
    },
    reopenLogs: () => accessLogFiles(engine).reopen(),
    quit: () => options.onQuit?.(),
  };
}

function* resources(proxy: Proxy): IterableIterator<ResourceStatus> {
  const { bootstrap } = proxy.options;
  yield {
    kind: 'bootstrap',
    name: 'bootstrap',
    state: 'static',
    typeUrl: BOOTSTRAP,
    bytes: envoy.config.bootstrap.v3.Bootstrap.encode(bootstrap).finish(),
    versionInfo: '',
    lastUpdatedMs: proxy.startTimeMs,
  };
  for (const { name, isStatic, active, warming, error } of proxy.clusterUpdates.status()) {
    const base = { kind: 'cluster' as const, name, typeUrl: CLUSTER };
    const failure = error === undefined ? {} : { error };
    if (active) yield { ...base, ...active, state: isStatic ? 'static' : 'active', ...failure };
    if (warming) yield { ...base, ...warming, state: 'warming', ...failure };
  }
  for (const { name, isStatic, active, warming, draining, error } of proxy.listeners.status()) {
    const base = { kind: 'listener' as const, name, typeUrl: LISTENER };
    const entry = (version: ListenerVersion, state: ResourceStatus['state']): ResourceStatus => ({
      ...base,
      state,
      bytes: version.bytes,
      versionInfo: version.versionInfo,
      lastUpdatedMs: version.lastUpdatedMs,
    });
    if (active) {
      yield entry(active, isStatic ? 'static' : 'active');
      yield* inlineRoutes(active);
    }
    if (warming) yield entry(warming, 'warming');
    for (const version of draining) yield entry(version, 'draining');
    if (error) yield { ...entry(error.failed, 'rejected'), error: error.details };
  }
  for (const [kind, typeUrl, store] of [
    ['route', ROUTES, proxy.stores.ads.routes],
    ['endpoint', ENDPOINTS, proxy.stores.ads.endpoints],
    ['secret', SECRETS, proxy.stores.ads.secrets],
  ] as const) {
    for (const resource of store.known()) yield { kind, typeUrl, state: 'active', ...resource };
  }
  for (const { name, bytes, lastUpdatedMs } of proxy.stores.localSecrets()) {
    yield {
      kind: 'secret',
      name,
      typeUrl: SECRETS,
      state: 'active',
      bytes,
      versionInfo: '',
      lastUpdatedMs,
    };
  }
}

/** Route tables inside of listeners: tools read them as static ones. */
function* inlineRoutes({ bytes, lastUpdatedMs }: ListenerVersion): IterableIterator<ResourceStatus> {
  const listener = envoy.config.listener.v3.Listener.decode(bytes);
  const chains = [
    ...listener.filterChains,
    ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : []),
  ];
  for (const filter of chains.flatMap((chain) => chain.filters ?? [])) {
    if (filter.typedConfig?.type_url !== HTTP_CONNECTION_MANAGER) continue;
    const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
    const { routeConfig } = HttpConnectionManager.decode(filter.typedConfig.value ?? new Uint8Array());
    if (!routeConfig) continue;
    yield {
      kind: 'route',
      name: routeConfig.name ?? '',
      state: 'static',
      typeUrl: ROUTES,
      bytes: envoy.config.route.v3.RouteConfiguration.encode(routeConfig).finish(),
      versionInfo: '',
      lastUpdatedMs,
    };
  }
}

function* clusters(proxy: Proxy): IterableIterator<ClusterStatus> {
  const dynamic = new Set(
    proxy.clusterUpdates
      .status()
      .filter(({ isStatic }) => !isStatic)
      .map(({ name }) => name),
  );
  for (const cluster of proxy.clusters.all()) yield clusterStatus(cluster, dynamic.has(cluster.name));
}

function clusterStatus(cluster: UpstreamCluster, addedViaApi: boolean): ClusterStatus {
  const { thresholds } = cluster.config;
  return {
    name: cluster.name,
    addedViaApi,
    circuitBreakers: { default: thresholds.default, high: thresholds.high },
    hosts: [...cluster.hosts].map(hostStatus),
  };
}

function hostStatus(host: Host): HostStatus {
  const { stats } = host;
  const flags: string[] = [];
  if (host.monitor?.isEjected === true) flags.push('/failed_outlier_check');
  if (host.spec.health === 'unhealthy') flags.push('/failed_eds_health');
  if (host.spec.health === 'degraded') flags.push('/degraded');
  return {
    address: host.address,
    hostname: host.hostname,
    stats: {
      cx_active: stats.connectionsActive,
      cx_connect_fail: stats.connectFailures,
      cx_total: stats.connectionsTotal,
      rq_active: host.activeRequests,
      rq_error: stats.requestErrors,
      rq_success: stats.requestSuccesses,
      rq_timeout: stats.requestTimeouts,
      rq_total: stats.requestsTotal,
    },
    healthFlags: flags,
    weight: host.weight,
    priority: host.priority,
    locality: host.locality,
    successRate: -1,
  };
}
