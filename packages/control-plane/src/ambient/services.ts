import { istio } from '@weft/api/workload';
import type { NamespaceFacts, ServiceFacts, ServicePortFacts } from '../sources/facts.ts';
import { addressBytes } from './addresses.ts';

const { AppProtocol, IPFamilies, LoadBalancing } = istio.workload;
type LoadBalancingMessage = istio.workload.LoadBalancing.$Properties;

export interface ServiceContext {
  /** Fields that the Service owes to its waypoint. */
  readonly waypoint?: Pick<
    istio.workload.Service.$Properties,
    'waypoint' | 'weightedWaypoints' | 'ingressUseWaypoint' | 'extensions'
  >;
  readonly network: string;
  readonly clusterDomain: string;
  readonly namespace: NamespaceFacts | undefined;
}

export function serviceHostname(name: string, namespace: string, clusterDomain: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** A Kubernetes Service as the data plane sees it. Its resource name is `namespace/hostname`. */
export function kubernetesService(
  service: ServiceFacts,
  context: ServiceContext,
): istio.workload.Service.$Properties {
  const { namespace, name } = service;
  const { network } = context;
  const loadBalancing = loadBalancingOf(service, context.namespace);
  return {
    name,
    namespace,
    hostname: serviceHostname(name, namespace, context.clusterDomain),
    addresses: service.clusterIps.flatMap((ip) => {
      const address = addressBytes(ip);
      return address === undefined ? [] : [{ network, address }];
    }),
    ports: service.ports.map((port) => ({
      servicePort: port.port,
      targetPort: typeof port.targetPort === 'number' ? port.targetPort : 0,
      appProtocol: appProtocol(port),
    })),
    ipFamilies: ipFamilies(service.ipFamilies),
    canonical: true,
    ...(loadBalancing === undefined ? {} : { loadBalancing }),
    ...context.waypoint,
  };
}

const { Scope, Mode, HealthPolicy } = LoadBalancing;

const distributions: Readonly<Record<string, LoadBalancingMessage | undefined>> = {
  any: {},
  preferclose: { mode: Mode.FAILOVER, routingPreference: [Scope.NETWORK, Scope.REGION, Scope.ZONE] },
  prefersamezone: { mode: Mode.FAILOVER, routingPreference: [Scope.NETWORK, Scope.REGION, Scope.ZONE] },
  prefersamenode: {
    mode: Mode.FAILOVER,
    routingPreference: [Scope.NETWORK, Scope.REGION, Scope.ZONE, Scope.SUBZONE, Scope.NODE],
  },
};

/** The most specific wish wins; a value that nobody knows counts as none. */
export function loadBalancingOf(
  service: Partial<
    Pick<
      ServiceFacts,
      | 'trafficDistribution'
      | 'trafficDistributionAnnotation'
      | 'internalTrafficPolicy'
      | 'publishNotReadyAddresses'
    >
  >,
  namespace: NamespaceFacts | undefined,
): LoadBalancingMessage | undefined {
  const wishes = [
    service.trafficDistribution,
    service.trafficDistributionAnnotation,
    namespace?.trafficDistribution,
  ];
  const preference: LoadBalancingMessage =
    service.internalTrafficPolicy === 'Local'
      ? { mode: Mode.STRICT, routingPreference: [Scope.NODE] }
      : (wishes.map((wish) => distributions[wish?.toLowerCase() ?? '']).find((d) => d !== undefined) ?? {});
  const loadBalancing =
    service.publishNotReadyAddresses === true
      ? { ...preference, healthPolicy: HealthPolicy.ALLOW_ALL }
      : preference;
  return Object.keys(loadBalancing).length === 0 ? undefined : loadBalancing;
}

function ipFamilies(families: readonly string[]): istio.workload.IPFamilies {
  const four = families.includes('IPv4');
  const six = families.includes('IPv6');
  if (four && six) return IPFamilies.DUAL;
  if (four) return IPFamilies.IPV4_ONLY;
  return six ? IPFamilies.IPV6_ONLY : IPFamilies.AUTOMATIC;
}

const protocols: Readonly<Record<string, istio.workload.AppProtocol | undefined>> = {
  http: AppProtocol.HTTP11,
  ws: AppProtocol.HTTP11,
  'grpc-web': AppProtocol.HTTP11,
  http2: AppProtocol.HTTP2,
  h2c: AppProtocol.HTTP2,
  grpc: AppProtocol.GRPC,
  tcp: AppProtocol.TCP,
  mongo: AppProtocol.TCP,
  mysql: AppProtocol.TCP,
  redis: AppProtocol.TCP,
  tls: AppProtocol.TLS,
  https: AppProtocol.TLS,
  wss: AppProtocol.TLS,
};

/** SMTP, DNS, MySQL, MongoDB: to find out what is spoken there would take bytes that clients don't send first. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27_017]);

/**
 * `appProtocol` if it says anything, else the port's name up to the first dash: `http-web`, `grpc-web-ui`. Ports known
 * for protocols that can't be detected are TCP unless something is said of them.
 */
export function appProtocol(
  port: Pick<ServicePortFacts, 'name' | 'appProtocol' | 'port'>,
): istio.workload.AppProtocol {
  const unknown = serverFirstPorts.has(port.port) ? AppProtocol.TCP : AppProtocol.UNKNOWN;
  return declaredProtocol(port) ?? unknown;
}

function declaredProtocol({
  name,
  appProtocol,
}: Pick<ServicePortFacts, 'name' | 'appProtocol'>): istio.workload.AppProtocol | undefined {
  const declared = appProtocol?.toLowerCase().replace(/^kubernetes\.io\//, '');
  if (declared !== undefined && declared !== '') return protocols[declared];
  const lower = name.toLowerCase();
  const [prefix = ''] = lower.split('-');
  return lower === 'grpc-web' || lower.startsWith('grpc-web-') ? protocols['grpc-web'] : protocols[prefix];
}
