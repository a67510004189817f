import type { Cidr, IpAddress } from './ip-address.ts';

/** Compact records of the mesh, made once from the messages and then never changed. */

export type WorkloadUid = string & { readonly __brand: 'WorkloadUid' };
/** `namespace/hostname`. */
export type ServiceKey = string & { readonly __brand: 'ServiceKey' };

export interface NetworkAddress {
  readonly network: string;
  readonly ip: IpAddress;
}

export type GatewayDestination =
  | { readonly kind: 'address'; readonly address: NetworkAddress }
  | { readonly kind: 'hostname'; readonly key: ServiceKey };

export interface GatewayAddress {
  readonly destination: GatewayDestination;
  readonly hboneMtlsPort: number;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export interface ApplicationTunnel {
  readonly protocol: 'NONE' | 'PROXY';
  /** 0 leaves the port to the authority. */
  readonly port: number;
}

/** Port numbers of a service to those of its pods; 0 where only the endpoint knows (a named port). */
export type PortMap = ReadonlyMap<number, number>;

export interface Workload {
  readonly uid: WorkloadUid;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly IpAddress[];
  readonly hostname: string;
  readonly network: string;
  readonly protocol: 'TCP' | 'HBONE';
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint: GatewayAddress | undefined;
  readonly networkGateway: GatewayAddress | undefined;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job';
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly applicationTunnel: ApplicationTunnel | undefined;
  readonly services: ReadonlyMap<ServiceKey, PortMap>;
  readonly authorizationPolicies: readonly string[];
  readonly isHealthy: boolean;
  readonly clusterId: string;
  readonly locality: Locality;
  readonly networkMode: 'Standard' | 'HostNetwork';
  /** Weight in load balancing. */
  readonly capacity: number;
}

export type RoutingScope = 'Region' | 'Zone' | 'Subzone' | 'Node' | 'Cluster' | 'Network';

export interface LoadBalancer {
  readonly mode: 'Standard' | 'Strict' | 'Failover' | 'Passthrough';
  readonly routingPreferences: readonly RoutingScope[];
  readonly healthPolicy: 'OnlyHealthy' | 'AllowAll';
}

export interface Service {
  readonly key: ServiceKey;
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly NetworkAddress[];
  readonly cidrVips: readonly { readonly network: string; readonly cidr: Cidr }[];
  readonly ports: PortMap;
  readonly subjectAltNames: readonly string[];
  readonly waypoint: GatewayAddress | undefined;
  readonly weightedWaypoints: readonly { readonly destination: GatewayAddress; readonly weight: number }[];
  readonly loadBalancer: LoadBalancer | undefined;
  readonly ipFamilies: 'IPv4' | 'IPv6' | 'Dual' | undefined;
  readonly canonical: boolean;
  readonly visibility: 'Public' | 'Namespace';
  /** Nobody may reach it but through its waypoint, even while there is none. */
  readonly requiresWaypoint: boolean;
}

export function serviceKey(namespace: string, hostname: string): ServiceKey {
  return `${namespace}/${hostname}` as ServiceKey; // the one place that makes them from parts
}

/** The workload's SPIFFE identity. */
export function workloadIdentity({ trustDomain, namespace, serviceAccount }: Workload): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** `network/ip`, how addresses are written in indexes, logs and /config_dump. */
export function networkAddressKey(network: string, ip: IpAddress): string {
  return `${network}/${ip}`;
}
