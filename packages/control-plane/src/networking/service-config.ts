import { createHash } from 'node:crypto';
import { envoy } from '@weft/api/envoy';
import { istio } from '@weft/api/workload';
import type { AnyRouteFacts } from '../sources/gateway-objects.ts';
import type {
  AuthorizationPolicySpec,
  PolicyObject,
  RequestAuthenticationSpec,
} from '../sources/policy-objects.ts';
import type { ServicePortFacts } from '../sources/facts.ts';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { appProtocol } from '../ambient/services.ts';
import { type EndpointSource, type UpstreamProtocol, serviceCluster } from './clusters.ts';
import { type FindProvider, providerClusters } from './external-authorization.ts';
import { httpChain, tcpChain } from './filter-chains.ts';
import { type Layer, inboundCluster, outboundCluster } from './names.ts';
import { type RouteContext, serviceRoutes } from './routes.ts';

type Cluster = envoy.config.cluster.v3.Cluster.$Properties;
type FilterChain = envoy.config.listener.v3.FilterChain.$Properties;
const { AppProtocol } = istio.workload;

/** All that decides how a waypoint treats requests to one Service. */
export interface ServiceInput {
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePortFacts[];
  /** Of a port's cluster. */
  readonly endpoints: (cluster: string, port: number) => EndpointSource;
  /** The service is a wildcard, and clients say which of its hosts they mean. */
  readonly hostsNamedByClients?: boolean;
  /** Routes of a port: those that name it as their parent, and those that name the Service without a port. */
  readonly routes: (port: ServicePortFacts) => readonly AnyRouteFacts[];
  readonly backend: RouteContext['backend'];
  readonly mayReferTo: RouteContext['mayReferTo'];
  readonly authorization: readonly PolicyObject<AuthorizationPolicySpec>[];
  readonly authentication: readonly PolicyObject<RequestAuthenticationSpec>[];
  /** Keys of an issuer, by its `jwksUri`. */
  readonly jwks: (uri: string) => string | undefined;
  readonly provider: FindProvider;
  readonly settings: WaypointSettings;
}

/** One Service's part of a waypoint's configuration: listeners are put together of these. */
export interface ServiceConfig {
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly ports: readonly PortConfig[];
  readonly chains: readonly FilterChain[];
  readonly clusters: readonly Cluster[];
  /** A hash of the content. */
  readonly version: string;
}

/** Which chain takes a connection to the port. `sniffed`: by what the client says first. */
export type PortConfig =
  | { readonly port: number; readonly kind: 'http'; readonly chain: string }
  | {
      readonly port: number;
      readonly kind: 'tcp';
      readonly chain: string;
      readonly isTls: boolean;
      /** Only handshakes that name a host that it covers. */
      readonly serverName?: string;
    }
  | {
      readonly port: number;
      readonly kind: 'sniffed';
      readonly httpChain: string;
      readonly tcpChain: string;
    };

export function serviceConfig(input: ServiceInput): ServiceConfig {
  const { hostname, addresses, namespace, name, settings } = input;
  const forwardedHost = input.hostsNamedByClients === true ? hostname : undefined;
  const others = new Map<string, Cluster>();
  const backend: RouteContext['backend'] = (...reference) => {
    const found = input.backend(...reference);
    if (found !== undefined && !found.served) {
      const cluster = outboundCluster(found.port, found.hostname);
      const { protocol, endpoints } = found;
      others.set(
        cluster,
        serviceCluster({ name: cluster, protocol, service: found, endpoints: endpoints(cluster), settings }),
      );
    }
    return found;
  };
  const service = { hostname, name, namespace };
  const ports: PortConfig[] = [];
  const chains: FilterChain[] = [];
  const clusters: Cluster[] = [];
  const { mayReferTo } = input;
  const add = (declared: ServicePortFacts, layer: Layer, protocol: UpstreamProtocol): string => {
    const { port } = declared;
    const cluster = inboundCluster(port, layer, hostname);
    const endpoints = input.endpoints(cluster, port);
    clusters.push(serviceCluster({ name: cluster, protocol, service, endpoints, settings }));
    if (layer === 'tcp') {
      const forwardedPort = forwardedHost === undefined ? undefined : targetPortOf(declared);
      chains.push(tcpChain({ cluster, forwardedPort, authorization: input.authorization, settings }));
      return cluster;
    }
    const context: RouteContext = { hostname, port, ownCluster: cluster, backend, mayReferTo };
    chains.push(
      httpChain({
        cluster,
        port,
        forwardedHost,
        routes: serviceRoutes(input.routes(declared), context),
        authorization: input.authorization,
        authentication: input.authentication,
        jwks: input.jwks,
        provider: input.provider,
        settings,
      }),
    );
    return cluster;
  };
  for (const declared of input.ports) {
    const { port } = declared;
    const protocol = upstreamProtocol(declared);
    switch (protocol) {
      case 'http1':
      case 'http2':
        ports.push({ port, kind: 'http', chain: add(declared, 'http', protocol) });
        break;
      case 'tcp': {
        const isTls = appProtocol(declared) === AppProtocol.TLS;
        // Nothing but a TLS handshake names a host.
        if (forwardedHost !== undefined && !isTls) break;
        const named = forwardedHost === undefined ? {} : { serverName: forwardedHost };
        ports.push({ port, kind: 'tcp', chain: add(declared, 'tcp', protocol), isTls, ...named });
        break;
      }
      case 'downstream':
        if (forwardedHost !== undefined) {
          ports.push({ port, kind: 'http', chain: add(declared, 'http', protocol) });
          break;
        }
        ports.push({
          port,
          kind: 'sniffed',
          httpChain: add(declared, 'http', protocol),
          tcpChain: add(declared, 'tcp', 'tcp'),
        });
    }
  }
  const providers = providerClusters(input.authorization, input.provider, settings);
  const allClusters = [...clusters, ...providers, ...others.values()];
  const version = contentVersion({ addresses, ports }, chains, allClusters);
  return { hostname, addresses, ports, chains, clusters: allClusters, version };
}

function targetPortOf({ port, targetPort }: ServicePortFacts): number {
  return typeof targetPort === 'number' ? targetPort : port;
}

/** How a port is spoken to; `downstream` where the Service doesn't say what it speaks. */
export function upstreamProtocol(port: ServicePortFacts): UpstreamProtocol {
  switch (appProtocol(port)) {
    case AppProtocol.HTTP11:
      return 'http1';
    case AppProtocol.HTTP2:
    case AppProtocol.GRPC:
      return 'http2';
    case AppProtocol.TCP:
    case AppProtocol.TLS:
      return 'tcp';
    default:
      return 'downstream';
  }
}

function contentVersion(rest: unknown, chains: readonly FilterChain[], clusters: readonly Cluster[]): string {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const chain of chains) hash.update(envoy.config.listener.v3.FilterChain.encode(chain).finish());
  for (const cluster of clusters) hash.update(envoy.config.cluster.v3.Cluster.encode(cluster).finish());
  return hash.digest('hex');
}
