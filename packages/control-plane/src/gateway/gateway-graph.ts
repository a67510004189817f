import { GatewayController, Label } from '@weft/api';
import type { Collection, Fetch, Graph, Index } from '@weft/collections';
import { type EntryService, type VisibleEntry, seenFrom } from '../ambient/entry-services.ts';
import { type ProxyDefaults, noProxyDefaults } from '../ambient/proxy-defaults.ts';
import type { Mesh } from '../ambient/mesh.ts';
import { isManaged, waypointResourceName } from '../ambient/waypoints.ts';
import { servicePort } from '../networking/entry-config.ts';
import type { PodFacts } from '../sources/facts.ts';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import type { AnyRouteFacts, GatewayFacts, UnservedRouteFacts } from '../sources/gateway-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { gatewayParameters } from './gateway-parameters.ts';
import { type WantedGatewayStatus, waypointStatus } from './gateway-status.ts';
import {
  type RouteStatusContext,
  type WantedRouteParent,
  backendTlsAncestors as ancestorsOfBackendTls,
  routeParents,
  unservedRouteParents,
} from './route-status.ts';
import { type DesiredObject, waypointObjects } from './waypoint-deployment.ts';
import type { WaypointTemplate } from './waypoint-pod.ts';

export type RouteKindName = AnyRouteFacts['kind'] | UnservedRouteFacts['kind'];

/** What the leader writes for waypoint Gateways, by the Gateways' keys. */
export interface GatewayGraph {
  readonly statuses: Collection<WantedGatewayStatus>;
  readonly deployments: Collection<readonly DesiredObject[]>;
  readonly backendTlsAncestors: Collection<readonly WantedRouteParent[]>;
  readonly routeParents: Readonly<Record<RouteKindName, Collection<readonly WantedRouteParent[]>>>;
}

export function createGatewayGraph(
  graph: Graph,
  sources: Sources,
  options: {
    readonly mesh: Collection<Mesh>;
    readonly defaultMesh: Mesh;
    readonly proxyDefaults: Collection<ProxyDefaults>;
    readonly podsByGateway: Index<PodFacts>;
    readonly serviceWaypoints: Collection<ServiceWaypoint>;
    readonly visibleEntries: Collection<VisibleEntry>;
    readonly entryWaypoints: Collection<ServiceWaypoint>;
    readonly entryServicesByHost: Index<EntryService>;
    readonly template: Omit<WaypointTemplate, 'network' | 'trustDomain' | 'proxies'>;
  },
): GatewayGraph {
  const { mesh, defaultMesh, podsByGateway, template } = options;
  const { clusterDomain } = template;
  const waypointGateways = graph.map('waypointGateways', {
    from: sources.gateways,
    uses: { classes: sources.gatewayClasses },
    transform: (gateway, fetch) =>
      isOurs(gateway, template.revision) &&
      fetch.classes.get(gateway.spec.gatewayClassName)?.controllerName === GatewayController.waypoint
        ? gateway
        : undefined,
  });
  const defaultsByClass = sources.classDefaults.index('class', ({ labels }) => {
    const className = labels[Label.gatewayDefaultsForClass];
    return className === undefined ? [] : [className];
  });
  const parameters = graph.map('gatewayParametersRead', {
    from: waypointGateways,
    uses: { defaultsByClass, configMaps: sources.gatewayParameters },
    transform: (gateway, fetch) =>
      gatewayParameters(gateway, {
        defaults: fetch.defaultsByClass.lookup(gateway.spec.gatewayClassName),
        configMap: (at) => fetch.configMaps.get(at),
      }),
  });
  const statuses = graph.map('gatewayStatuses', {
    from: waypointGateways,
    uses: { services: sources.services, podsByGateway, parameters },
    transform: (gateway, fetch, key) => {
      const serviceKey = isManaged(gateway)
        ? `${gateway.namespace}/${waypointResourceName(gateway)}`
        : declaredService(gateway, clusterDomain);
      const read = fetch.parameters.get(key);
      if (read === undefined || read.kind === 'unknown') return undefined;
      const ready = fetch.podsByGateway.lookup(key).filter(({ healthy }) => healthy);
      return waypointStatus(gateway, {
        service: serviceKey === undefined ? undefined : fetch.services.get(serviceKey),
        readyPods: ready.length,
        clusterDomain,
        invalidParameters: read.kind === 'invalid' ? read.message : undefined,
      });
    },
  });
  const deployments = graph.map('gatewayDeployments', {
    from: waypointGateways,
    uses: { mesh, parameters, proxyDefaults: options.proxyDefaults },
    // What can't be read changes nothing: what is there stays as it is.
    transform: (gateway, fetch, key) => {
      const read = fetch.parameters.get(key);
      if (!isManaged(gateway) || read?.kind !== 'valid') return undefined;
      const { network, trustDomain } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const proxies = fetch.proxyDefaults.get(MESH_KEY) ?? noProxyDefaults;
      return waypointObjects(gateway, { ...template, network, trustDomain, proxies }, read.overlays);
    },
  });
  const grants = sources.referenceGrants.index('grantsOfNamespace', ({ namespace }) => [namespace]);
  const parentUses = {
    services: sources.services,
    serviceWaypoints: options.serviceWaypoints,
    visibleEntries: options.visibleEntries,
    entryWaypoints: options.entryWaypoints,
  };
  const parentOf =
    (fetch: Fetch<typeof parentUses>): RouteStatusContext['parent'] =>
    (kind, key) => {
      if (kind === 'Service') {
        const service = fetch.services.get(key);
        const waypoint = fetch.serviceWaypoints.get(key);
        return service && { ports: service.ports, addresses: service.clusterIps, waypoint };
      }
      const visible = fetch.visibleEntries.get(key);
      if (visible === undefined) return undefined;
      const { spec, allocated } = visible.entry;
      const addresses = [...(spec.addresses ?? []), ...allocated.map(({ value }) => value)];
      const ports = (spec.ports ?? []).map(servicePort);
      return { ports, addresses, waypoint: fetch.entryWaypoints.get(key) };
    };
  const served = (name: string, routes: Collection<AnyRouteFacts>) =>
    graph.map(name, {
      from: routes,
      uses: { waypointGateways, ...parentUses, entryServicesByHost: options.entryServicesByHost, grants },
      transform: (route, fetch) =>
        routeParents(route, {
          parent: parentOf(fetch),
          service: (at) => fetch.services.get(at),
          host: (hostname, namespace) => {
            const service = seenFrom(namespace, fetch.entryServicesByHost.lookup(hostname));
            return service === undefined || service.resolution === 'DYNAMIC_DNS'
              ? undefined
              : { ports: service.ports.map(servicePort) };
          },
          grants: (namespace) => fetch.grants.lookup(namespace),
          isWaypoint: (at) => fetch.waypointGateways.get(at) !== undefined,
        }),
    });
  const unserved = (name: string, routes: Collection<UnservedRouteFacts>) =>
    graph.map(name, {
      from: routes,
      uses: { waypointGateways },
      transform: (route, fetch) =>
        unservedRouteParents(route, { isWaypoint: (at) => fetch.waypointGateways.get(at) !== undefined }),
    });
  const backendTlsAncestors = graph.map('backendTlsAncestors', {
    from: sources.backendTlsPolicies,
    uses: parentUses,
    transform: (policy, fetch) => ancestorsOfBackendTls(policy, { parent: parentOf(fetch) }),
  });
  return {
    statuses,
    deployments,
    backendTlsAncestors,
    routeParents: {
      HTTPRoute: served('httpRouteParents', sources.httpRoutes),
      GRPCRoute: served('grpcRouteParents', sources.grpcRoutes),
      TCPRoute: unserved('tcpRouteParents', sources.tcpRoutes),
      TLSRoute: unserved('tlsRouteParents', sources.tlsRoutes),
      UDPRoute: unserved('udpRouteParents', sources.udpRoutes),
    },
  };
}

/** Another revision's Gateways are deployed, and reported on, by that revision. */
function isOurs({ labels }: GatewayFacts, revision: string): boolean {
  const wanted = labels['istio.io/rev'] || 'default';
  return wanted === (revision || 'default');
}

/** `namespace/name` of the Service by which a user says that the waypoint is reached. */
function declaredService({ spec }: GatewayFacts, clusterDomain: string): string | undefined {
  const hostname = spec.addresses?.find(({ type }) => type === 'Hostname')?.value ?? '';
  const suffix = `.svc.${clusterDomain}`;
  const [name, namespace, ...rest] = hostname.endsWith(suffix)
    ? hostname.slice(0, -suffix.length).split('.')
    : [];
  return name === undefined || namespace === undefined || rest.length > 0
    ? undefined
    : `${namespace}/${name}`;
}
