import type { Collection, Fetch, Graph, Index } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { singleAddress } from '../ambient/cluster-names.ts';
import { seenFrom } from '../ambient/entry-services.ts';
import { attachmentKeys, attachmentKeysOf, distinctPolicies } from '../ambient/policy-targets.ts';
import { type ServiceWaypoint, servingWaypoints } from '../ambient/service-waypoint.ts';
import { serviceHostname } from '../ambient/services.ts';
import { defaultWaypointSettings } from '../ambient/waypoint-settings.ts';
import type { Waypoint } from '../ambient/waypoints.ts';
import type { ServiceFacts } from '../sources/facts.ts';
import type { AnyRouteFacts } from '../sources/gateway-objects.ts';
import type { AuthorizationPolicySpec, PolicyObject } from '../sources/policy-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { BackendTarget } from '../sources/backend-references.ts';
import { entryInput, servicePort } from './entry-config.ts';
import { mayReferTo } from './reference-grants.ts';
import { type MeshParentKind, attachesTo, parentKey, parentKeys } from './route-attachment.ts';
import type { Backend } from './routes.ts';
import { type ServiceConfig, type ServiceInput, serviceConfig, upstreamProtocol } from './service-config.ts';

/** What one waypoint does for one service. */
export interface WaypointService {
  /** `namespace/name` of the Gateway. */
  readonly waypoint: string;
  readonly config: ServiceConfig;
  /** The one that a hostname means, where several namespaces have a service of that name. */
  readonly canonical: boolean;
}

/** The services of every waypoint: those of Kubernetes, and those that users wrote down. */
export function createWaypointServices(
  graph: Graph,
  sources: Sources,
  ambient: Ambient,
  options: {
    readonly clusterDomain: string;
    /** By what they are attached to. */
    readonly authorization: Index<PolicyObject<AuthorizationPolicySpec>>;
  },
): Collection<WaypointService> {
  const { clusterDomain, authorization } = options;
  const { mesh, defaultMesh, endpointsByService } = ambient;
  const hostnameOf = ({ name, namespace }: ServiceFacts): string =>
    serviceHostname(name, namespace, clusterDomain);
  const uses = {
    mesh,
    waypointSettings: ambient.waypointSettings,
    services: sources.services,
    serviceWaypoints: ambient.serviceWaypoints,
    entryWaypoints: ambient.entryWaypoints,
    entryServicesByHost: ambient.entryServicesByHost,
    endpointsByService,
    httpRoutes: sources.httpRoutes.index('parent', parentKeys),
    grpcRoutes: sources.grpcRoutes.index('parent', parentKeys),
    authorization,
    authentication: sources.requestAuthentications.index('target', attachmentKeys),
    jwks: sources.jwks,
    grants: sources.referenceGrants.index('namespace', ({ namespace }) => [namespace]),
    providers: ambient.authorizationProviders,
  };
  type Fetched = Fetch<typeof uses>;

  const backendOf = (
    fetch: Fetched,
    waypoint: string,
    route: AnyRouteFacts,
    target: BackendTarget,
    port: number,
  ): Backend | undefined => {
    const isServed = (by: ServiceWaypoint | undefined): boolean =>
      by !== undefined && servingWaypoints(by).some((one) => gatewayKey(one) === waypoint);
    if (target.kind === 'Service') {
      const key = `${target.namespace}/${target.name}`;
      const found = fetch.services.get(key);
      const declared = found?.ports.find((one) => one.port === port);
      if (found === undefined || declared === undefined) return undefined;
      const protocol = upstreamProtocol(declared);
      const served = protocol !== 'tcp' && isServed(fetch.serviceWaypoints.get(key));
      const endpoints = (): { readonly kind: 'discovery' } => ({ kind: 'discovery' });
      return { ...target, hostname: hostnameOf(found), port, protocol, served, endpoints };
    }
    const entry = seenFrom(route.namespace, fetch.entryServicesByHost.lookup(target.hostname));
    const declared = entry?.ports.find(({ number }) => number === port);
    // Of a wildcard a route can't say which host it means.
    if (entry === undefined || declared === undefined || entry.resolution === 'DYNAMIC_DNS') return undefined;
    const { namespace, name, hostname } = entry;
    const protocol = upstreamProtocol(servicePort(declared));
    const served = protocol !== 'tcp' && isServed(fetch.entryWaypoints.get(`${namespace}/${name}`));
    const { endpoints } = entryInput(entry, fetch.endpointsByService.lookup(`${namespace}/${hostname}`));
    const source: Backend['endpoints'] = (cluster) => endpoints(cluster, port);
    return { namespace, name, hostname, port, protocol, served, endpoints: source };
  };

  /** What attaches to a service, and so is the same for both kinds. */
  const attachments = (
    fetch: Fetched,
    gateway: Waypoint,
    to: { readonly kind: MeshParentKind; readonly namespace: string; readonly name: string },
  ): Omit<ServiceInput, 'namespace' | 'name' | 'hostname' | 'addresses' | 'ports' | 'endpoints'> => {
    const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
    const waypoint = gatewayKey(gateway);
    const key = `${to.namespace}/${to.name}`;
    const target = to.kind === 'Service' ? { service: key } : { service: undefined, serviceEntry: key };
    const at = attachmentKeysOf({ ...target, waypoint, rootNamespace });
    const parent = parentKey(to.kind, key);
    const attached: readonly AnyRouteFacts[] = [
      ...fetch.httpRoutes.lookup(parent),
      ...fetch.grpcRoutes.lookup(parent),
    ].filter(({ namespace }) => namespace === to.namespace || namespace === gateway.namespace);
    return {
      routes: (port) => attached.filter((route) => attachesTo(route, to, port)),
      backend: (route, backend, port) => backendOf(fetch, waypoint, route, backend, port),
      mayReferTo: (route, namespace, name) =>
        mayReferTo(route, { namespace, name }, fetch.grants.lookup(namespace)),
      authorization: distinctPolicies(at.flatMap((one) => fetch.authorization.lookup(one))),
      authentication: distinctPolicies(at.flatMap((one) => fetch.authentication.lookup(one))),
      jwks: (uri) => fetch.jwks.get(uri),
      provider: (name) => fetch.providers.get(name),
      settings: fetch.waypointSettings.get(MESH_KEY) ?? defaultWaypointSettings,
    };
  };

  const services = graph.flatMap('waypointServices', {
    from: ambient.serviceWaypoints,
    uses,
    equal: sameService,
    // A Service with a canary is configured at both waypoints, and each has policies of its own.
    transform: (servedBy, fetch, key) => {
      const service = fetch.services.get(key);
      if (service === undefined) return [];
      const { namespace, name, clusterIps, ports } = service;
      return servingWaypoints(servedBy).map((gateway): readonly [string, WaypointService] => {
        const config = serviceConfig({
          namespace,
          name,
          hostname: hostnameOf(service),
          addresses: clusterIps,
          ports,
          endpoints: () => ({ kind: 'discovery' }),
          ...attachments(fetch, gateway, { kind: 'Service', namespace, name }),
        });
        const waypoint = gatewayKey(gateway);
        return [`${key} ${waypoint}`, { waypoint, config, canonical: true }];
      });
    },
  });
  const entries = graph.flatMap('waypointEntries', {
    from: ambient.proxiedEntries,
    uses,
    equal: sameService,
    transform: ({ service, waypoint: servedBy }, fetch, key) => {
      const { namespace, name, canonical } = service;
      const endpoints = fetch.endpointsByService.lookup(key);
      return servingWaypoints(servedBy).map((gateway): readonly [string, WaypointService] => {
        const config = serviceConfig({
          ...entryInput(service, endpoints),
          ...attachments(fetch, gateway, { kind: 'ServiceEntry', namespace, name }),
        });
        const waypoint = gatewayKey(gateway);
        return [`${key} ${waypoint}`, { waypoint, config, canonical }];
      });
    },
  });
  return graph.join('waypointConfigs', [services, entries], { equal: sameService });
}

/**
 * Clusters and chains are named by host: of several services of one name a waypoint serves the canonical one. Nor does
 * another take the address of a canonical one, and so what is meant for it.
 */
export function distinctHosts(services: readonly WaypointService[]): ServiceConfig[] {
  const byHost = new Map<string, WaypointService>();
  for (const service of services) {
    const { hostname } = service.config;
    if (service.canonical || !byHost.has(hostname)) byHost.set(hostname, service);
  }
  const served = [...byHost.values()];
  const taken = new Set(
    served.flatMap(({ config, canonical }) => (canonical ? config.addresses.map(comparable) : [])),
  );
  return served.map(({ config, canonical }) =>
    canonical || !config.addresses.some((address) => taken.has(comparable(address)))
      ? config
      : { ...config, addresses: config.addresses.filter((address) => !taken.has(comparable(address))) },
  );
}

function comparable(address: string): string {
  return singleAddress(address) ?? address;
}

export function gatewayKey({ namespace, name }: Waypoint): string {
  return `${namespace}/${name}`;
}

function sameService(a: WaypointService, b: WaypointService): boolean {
  return a.waypoint === b.waypoint && a.canonical === b.canonical && a.config.version === b.config.version;
}
