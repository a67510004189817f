import { Label } from '@weft/api';
import { envoy } from '@weft/api/envoy';
import type { Collection, Graph } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { type EncodedResource, encoded, sameResource } from '../ambient/resources.ts';
import { attachmentKeys, attachmentKeysOf, distinctPolicies } from '../ambient/policy-targets.ts';
import { serviceHostname } from '../ambient/services.ts';
import { trustDomains } from '../ambient/trust-domain-aliases.ts';
import { entryInput, haveNames } from './entry-config.ts';
import type { ServiceFacts } from '../sources/facts.ts';
import type { AnyRouteFacts } from '../sources/gateway-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { bindWaypoint } from '../ambient/waypoint-binding.ts';
import { servingWaypoints } from '../ambient/service-waypoint.ts';
import type { Waypoint } from '../ambient/waypoints.ts';
import { sharedClusters } from './clusters.ts';
import { loadAssignment } from './endpoints.ts';
import { providerClusters } from './external-authorization.ts';
import { mainInternal } from './main-internal.ts';
import { inboundCluster, outboundCluster } from './names.ts';
import { mayReferTo } from './reference-grants.ts';
import { attachesTo, parentServices } from './route-attachment.ts';
import type { Backend } from './routes.ts';
import { type ServiceConfig, serviceConfig, upstreamProtocol } from './service-config.ts';
import { connectOriginate, connectTerminate } from './shared-listeners.ts';
import { type ServedWorkload, workloadGroups } from './workload-config.ts';

type Listener = envoy.config.listener.v3.Listener.$Properties;
type Cluster = envoy.config.cluster.v3.Cluster.$Properties;

/** The resources of one type that one proxy gets, by name. */
export type ResourceSet = ReadonlyMap<string, EncodedResource>;

/** What waypoints are told. Sets are by `namespace/name` of the Gateway, so a change concerns its waypoint only. */
export interface Networking {
  readonly listeners: Collection<ResourceSet>;
  readonly clusters: Collection<ResourceSet>;
  /** By cluster name; the same for all who ask. */
  readonly endpoints: Collection<EncodedResource>;
}

interface WaypointService {
  readonly waypoint: string;
  readonly config: ServiceConfig;
}

export function createNetworkingGraph(
  graph: Graph,
  sources: Sources,
  ambient: Ambient,
  options: { readonly clusterDomain: string },
): Networking {
  const { clusterDomain } = options;
  const { mesh, defaultMesh, waypoints, serviceWaypoints, endpointsByService, proxiedServices } = ambient;
  const providers = ambient.authorizationProviders;
  const hostnameOf = ({ name, namespace }: ServiceFacts): string =>
    serviceHostname(name, namespace, clusterDomain);

  const httpRoutes = sources.httpRoutes.index('parent', parentServices);
  const grpcRoutes = sources.grpcRoutes.index('parent', parentServices);
  const authorization = ambient.authorizationPolicies.index('target', attachmentKeys);
  const authentication = sources.requestAuthentications.index('target', attachmentKeys);

  const grants = sources.referenceGrants.index('namespace', ({ namespace }) => [namespace]);

  const configs = graph.flatMap('waypointServices', {
    from: serviceWaypoints,
    uses: {
      mesh,
      services: sources.services,
      serviceWaypoints,
      httpRoutes,
      grpcRoutes,
      authorization,
      authentication,
      jwks: sources.jwks,
      grants,
      providers,
    },
    equal: sameConfig,
    // A Service with a canary is configured at both waypoints, and each has policies of its own.
    transform: (servedBy, fetch, key) => {
      const service = fetch.services.get(key);
      if (service === undefined) return [];
      const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const routesOfService: readonly AnyRouteFacts[] = [
        ...fetch.httpRoutes.lookup(key),
        ...fetch.grpcRoutes.lookup(key),
      ];
      const isServed = (backend: string, waypoint: string): boolean => {
        const serving = fetch.serviceWaypoints.get(backend);
        return serving !== undefined && servingWaypoints(serving).some((one) => gatewayKey(one) === waypoint);
      };
      return servingWaypoints(servedBy).map((gateway): readonly [string, WaypointService] => {
        const waypoint = gatewayKey(gateway);
        const at = attachmentKeysOf({ service: key, waypoint, rootNamespace });
        const attached = routesOfService.filter(
          ({ namespace }) => namespace === service.namespace || namespace === gateway.namespace,
        );
        const config = serviceConfig({
          namespace: service.namespace,
          name: service.name,
          hostname: hostnameOf(service),
          addresses: service.clusterIps,
          ports: service.ports,
          routes: (port) => attached.filter((route) => attachesTo(route, service, port)),
          backend: (namespace, name, port): Backend | undefined => {
            const backend = `${namespace}/${name}`;
            const found = fetch.services.get(backend);
            const backendPort = found?.ports.find((declared) => declared.port === port);
            if (found === undefined || backendPort === undefined) return undefined;
            const protocol = upstreamProtocol(backendPort);
            return {
              namespace,
              name,
              hostname: hostnameOf(found),
              port: backendPort.port,
              protocol,
              served: protocol !== 'tcp' && isServed(backend, waypoint),
            };
          },
          mayReferTo: (route, namespace, name) =>
            mayReferTo(route, { namespace, name }, fetch.grants.lookup(namespace)),
          authorization: distinctPolicies(at.flatMap((target) => fetch.authorization.lookup(target))),
          authentication: distinctPolicies(at.flatMap((target) => fetch.authentication.lookup(target))),
          jwks: (uri) => fetch.jwks.get(uri),
          provider: (name) => fetch.providers.get(name),
        });
        return [`${key} ${waypoint}`, { waypoint, config }];
      });
    },
  });
  const entryConfigs = graph.flatMap('waypointEntries', {
    from: ambient.proxiedEntries,
    uses: { mesh, authorization, authentication, jwks: sources.jwks, endpointsByService, providers },
    equal: sameConfig,
    transform: ({ service, waypoint: servedBy }, fetch, key) => {
      const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const endpoints = fetch.endpointsByService.lookup(key);
      return servingWaypoints(servedBy).map((gateway): readonly [string, WaypointService] => {
        const waypoint = gatewayKey(gateway);
        const serviceEntry = `${service.namespace}/${service.name}`;
        const at = attachmentKeysOf({ service: undefined, serviceEntry, waypoint, rootNamespace });
        const config = serviceConfig({
          ...entryInput(service, endpoints),
          authorization: distinctPolicies(at.flatMap((target) => fetch.authorization.lookup(target))),
          authentication: distinctPolicies(at.flatMap((target) => fetch.authentication.lookup(target))),
          jwks: (uri) => fetch.jwks.get(uri),
          provider: (name) => fetch.providers.get(name),
        });
        return [`${key} ${waypoint}`, { waypoint, config }];
      });
    },
  });
  const allConfigs = graph.join('waypointConfigs', [configs, entryConfigs], { equal: sameConfig });
  const configsByWaypoint = allConfigs.index('waypoint', ({ waypoint }) => [waypoint]);

  const servedWorkloads = graph.map('servedWorkloads', {
    from: sources.pods,
    uses: { mesh, namespaces: sources.namespaces, waypoints },
    transform: (pod, fetch): ServedWorkload | undefined => {
      if (pod.addresses.length === 0 || pod.labels[Label.gatewayName] !== undefined) return undefined;
      const { namespace, labels } = pod;
      const namespaceLabels = fetch.namespaces.get(namespace)?.labels ?? {};
      const binding = bindWaypoint(
        { kind: 'workload', namespace, labels, namespaceLabels },
        { waypoint: (at) => fetch.waypoints.get(at) },
      );
      if (binding.kind !== 'bound') return undefined;
      const { trustDomain } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      return {
        waypoint: gatewayKey(binding.waypoint),
        addresses: pod.addresses,
        identity: pod.redirected
          ? `spiffe://${trustDomain}/ns/${namespace}/sa/${pod.serviceAccount}`
          : undefined,
      };
    },
  });
  const workloadsByWaypoint = servedWorkloads.index('waypoint', ({ waypoint }) => [waypoint]);

  const listeners = graph.map('waypointListeners', {
    from: waypoints,
    uses: { mesh, configsByWaypoint, workloadsByWaypoint, authorization, providers },
    equal: sameSet,
    transform: (_waypoint, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { rootNamespace } = meshNow;
      // Of policies only those of the waypoint as a whole concern a workload: targets are Services, not pods.
      const policies = attachmentKeysOf({ service: undefined, waypoint: key, rootNamespace }).flatMap(
        (target) => fetch.authorization.lookup(target),
      );
      const workloads = workloadGroups(
        fetch.workloadsByWaypoint.lookup(key),
        distinctPolicies(policies),
        (name) => fetch.providers.get(name),
      );
      const services = fetch.configsByWaypoint.lookup(key).map(({ config }) => config);
      return resourceSet<Listener>(envoy.config.listener.v3.Listener, [
        connectTerminate(trustDomains(meshNow)),
        mainInternal(services, workloads),
        connectOriginate(),
      ]);
    },
  });
  const clusters = graph.map('waypointClusters', {
    from: waypoints,
    uses: { mesh, configsByWaypoint, authorization, providers },
    equal: sameSet,
    transform: (_waypoint, fetch, key) => {
      const meshNow = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      const { rootNamespace } = meshNow;
      const policies = attachmentKeysOf({ service: undefined, waypoint: key, rootNamespace }).flatMap(
        (target) => fetch.authorization.lookup(target),
      );
      const ofServices = fetch.configsByWaypoint.lookup(key).flatMap(({ config }) => config.clusters);
      return resourceSet<Cluster>(envoy.config.cluster.v3.Cluster, [
        ...sharedClusters(trustDomains(meshNow)),
        ...providerClusters(policies, (name) => fetch.providers.get(name)),
        ...ofServices,
      ]);
    },
  });
  const endpoints = graph.flatMap('clusterEndpoints', {
    from: proxiedServices,
    uses: { services: sources.services, serviceWaypoints, endpointsByService },
    equal: sameResource,
    transform: (_true, fetch, key) => {
      const service = fetch.services.get(key);
      if (service === undefined) return [];
      const hostname = hostnameOf(service);
      const found = fetch.endpointsByService.lookup(`${service.namespace}/${hostname}`);
      const isBound = fetch.serviceWaypoints.get(key)?.binding.kind === 'bound';
      return service.ports.flatMap(({ port }) => {
        const names = [
          outboundCluster(port, hostname),
          ...(isBound ? [inboundCluster(port, 'http', hostname), inboundCluster(port, 'tcp', hostname)] : []),
        ];
        return names.map((name) => {
          const assignment = loadAssignment(name, port, found, {
            unreadyToo: service.publishNotReadyAddresses,
          });
          const bytes = envoy.config.endpoint.v3.ClusterLoadAssignment.encode(assignment).finish();
          return [name, encoded(name, bytes)] as const;
        });
      });
    },
  });
  const entryEndpoints = graph.flatMap('entryClusterEndpoints', {
    from: ambient.proxiedEntries,
    uses: { endpointsByService },
    equal: sameResource,
    transform: ({ service }, fetch, key) => {
      const found = fetch.endpointsByService.lookup(key);
      return haveNames(found)
        ? []
        : service.ports.flatMap(({ number }) =>
            (['http', 'tcp'] as const).map((layer) => {
              const name = inboundCluster(number, layer, service.hostname);
              const assignment = loadAssignment(name, number, found, { unreadyToo: false });
              return [
                name,
                encoded(name, envoy.config.endpoint.v3.ClusterLoadAssignment.encode(assignment).finish()),
              ] as const;
            }),
          );
    },
  });
  const allEndpoints = graph.join('allClusterEndpoints', [endpoints, entryEndpoints], {
    equal: sameResource,
  });
  return { listeners, clusters, endpoints: allEndpoints };
}

function gatewayKey({ namespace, name }: Waypoint): string {
  return `${namespace}/${name}`;
}

function sameConfig(a: WaypointService, b: WaypointService): boolean {
  return a.waypoint === b.waypoint && a.config.version === b.config.version;
}

function sameSet(a: ResourceSet, b: ResourceSet): boolean {
  if (a.size !== b.size) return false;
  for (const [name, resource] of a) if (b.get(name)?.version !== resource.version) return false;
  return true;
}

/** Of equal names the first counts. */
function resourceSet<T extends { name?: string | null }>(
  type: { encode(message: T): { finish(): Uint8Array } },
  messages: readonly T[],
): ResourceSet {
  const set = new Map<string, EncodedResource>();
  for (const message of messages) {
    const name = message.name ?? '';
    if (!set.has(name)) set.set(name, encoded(name, type.encode(message).finish()));
  }
  return set;
}
