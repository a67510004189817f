import { EnvoyTypeUrl } from '@weft/api';
import { envoy } from '@weft/api/envoy';
import { istio } from '@weft/api/workload';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import type { ServedType } from '@weft/xds';
import type { EncodedResource } from '../ambient/resources.ts';
import { serviceEndpoints } from '../ambient/service-endpoints.ts';
import { serviceHostname } from '../ambient/services.ts';
import type { AddressDirectory } from '../discovery/address-directory.ts';
import { loadAssignment } from '../networking/endpoints.ts';
import { outboundCluster } from '../networking/names.ts';
import type { NamespaceFacts, ServiceFacts } from '../sources/facts.ts';
import { MadeSource } from './made-source.ts';
import { type Target, parseCluster, parseTarget, targetsOf } from './names.ts';
import { clientListener, edsCluster, routeConfiguration } from './resources.ts';

export interface ProxylessOptions {
  readonly graph: Graph;
  readonly namespaces: Collection<NamespaceFacts>;
  readonly services: Collection<ServiceFacts>;
  readonly workloads: Collection<EncodedResource>;
  readonly directory: AddressDirectory;
  readonly clusterDomain: string;
}

/**
 * What gRPC clients without a proxy are offered: of each Service's port a listener, a route, a cluster and endpoints.
 * Made when somebody asks for them by name, so that a mesh without such clients doesn't pay for them.
 */
export class ProxylessTypes {
  private readonly options: ProxylessOptions;
  private readonly shared: readonly ServedType[];
  /** Listeners, by the namespace in which short names are resolved: of those that exist, as clients may say anything. */
  private readonly listeners = new Map<string, ServedType>();

  constructor(options: ProxylessOptions) {
    this.options = options;
    const { graph } = options;
    const byCluster = (typeUrl: string, make: (cluster: string) => Uint8Array): MadeSource =>
      new MadeSource({
        typeUrl,
        graph,
        make: (cluster) => (this.serviceOfCluster(cluster) === undefined ? undefined : make(cluster)),
        affected: (changes) => this.changedServices(changes).map((target) => this.cluster(target)),
      });
    const { Cluster } = envoy.config.cluster.v3;
    const { RouteConfiguration } = envoy.config.route.v3;
    this.shared = [
      {
        source: byCluster(EnvoyTypeUrl.cluster, (cluster) => Cluster.encode(edsCluster(cluster)).finish()),
        byNameOnly: true,
        inFull: true,
        removals: 'last',
      },
      {
        source: new MadeSource({
          typeUrl: EnvoyTypeUrl.endpoint,
          graph,
          make: (cluster) => this.endpoints(cluster),
          affected: (changes) => this.changedEndpoints(changes),
        }),
        byNameOnly: true,
      },
      {
        source: byCluster(EnvoyTypeUrl.route, (name) =>
          RouteConfiguration.encode(routeConfiguration(name)).finish(),
        ),
        byNameOnly: true,
      },
    ];
  }

  for(namespace: string): readonly ServedType[] {
    let listener = this.listeners.get(namespace);
    if (listener === undefined) {
      listener = { source: this.listenerSource(namespace), byNameOnly: true, inFull: true };
      if (this.options.namespaces.get(namespace) !== undefined) this.listeners.set(namespace, listener);
    }
    return [...this.shared, listener];
  }

  private listenerSource(namespace: string): MadeSource {
    const { graph, clusterDomain } = this.options;
    return new MadeSource({
      typeUrl: EnvoyTypeUrl.listener,
      graph,
      make: (name) => {
        const target = parseTarget(name, namespace, clusterDomain);
        if (target === undefined || this.service(target) === undefined) return undefined;
        const listener = clientListener(name, this.cluster(target));
        return envoy.config.listener.v3.Listener.encode(listener).finish();
      },
      affected: (changes) =>
        this.changedServices(changes).flatMap((target) => targetsOf(target, namespace, clusterDomain)),
    });
  }

  private endpoints(cluster: string): Uint8Array | undefined {
    const { directory, clusterDomain } = this.options;
    const target = parseCluster(cluster, clusterDomain);
    const service = target === undefined ? undefined : this.service(target);
    if (target === undefined || service === undefined) return undefined;
    const key = `${target.namespace}/${serviceHostname(target.name, target.namespace, clusterDomain)}`;
    const found = directory.workloadsOf(key).flatMap((resource) => endpointsOf(resource, key));
    const assignment = loadAssignment(cluster, target.port, found, {
      unreadyToo: service.publishNotReadyAddresses,
    });
    return envoy.config.endpoint.v3.ClusterLoadAssignment.encode(assignment).finish();
  }

  private changedServices(changes: ChangeSet): readonly Target[] {
    return [...changes.of(this.options.services).values()].flatMap(({ before, after }) => {
      const ports = new Set(
        [before, after].flatMap((service) => service?.ports.map(({ port }) => port) ?? []),
      );
      const { namespace = '', name = '' } = after ?? before ?? {};
      return [...ports].map((port) => ({ namespace, name, port }));
    });
  }

  private changedEndpoints(changes: ChangeSet): readonly string[] {
    const clusters = new Set(this.changedServices(changes).map((target) => this.cluster(target)));
    for (const { before, after } of changes.of(this.options.workloads).values()) {
      for (const resource of [before, after]) {
        if (resource === undefined) continue;
        for (const { service, ports } of endpointsOf(resource)) {
          const hostname = service.slice(service.indexOf('/') + 1);
          for (const { servicePort } of ports) clusters.add(outboundCluster(servicePort, hostname));
        }
      }
    }
    return [...clusters];
  }

  private serviceOfCluster(cluster: string): ServiceFacts | undefined {
    const target = parseCluster(cluster, this.options.clusterDomain);
    return target === undefined ? undefined : this.service(target);
  }

  /** If it has that port. */
  private service({ namespace, name, port }: Target): ServiceFacts | undefined {
    const service = this.options.services.get(`${namespace}/${name}`);
    return service?.ports.some((declared) => declared.port === port) === true ? service : undefined;
  }

  private cluster({ namespace, name, port }: Target): string {
    return outboundCluster(port, serviceHostname(name, namespace, this.options.clusterDomain));
  }
}

/** Of a workload, of all its services or of one. Without tunnels: such a client can't make any. */
function endpointsOf({ bytes }: EncodedResource, only?: string) {
  const { workload } = istio.workload.Address.decode(bytes);
  if (workload === undefined || workload === null) return [];
  return serviceEndpoints(workload)
    .filter(([, { service }]) => only === undefined || service === only)
    .map(([, endpoint]) => ({ ...endpoint, tunneled: false, locality: endpoint.locality ?? NOWHERE }));
}

/** gRPC refuses endpoints that have no locality. */
const NOWHERE = { region: '', zone: '', subzone: '' };
