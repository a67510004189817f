import { REQUIRE_WAYPOINT_EXTENSION } from '@weft/api';
import { istio } from '@weft/api/workload';
import { WeftError } from '@weft/telemetry';
import { Interner } from './interner.ts';
import { Cidr, ipFromBytes } from './ip-address.ts';
import {
  networkAddressKey,
  serviceKey,
  type GatewayAddress,
  type LoadBalancer,
  type NetworkAddress,
  type PortMap,
  type RoutingScope,
  type Service,
} from './workload.ts';

const { IPFamilies, LoadBalancing } = istio.workload;

/** The record of an `istio.workload.Service`. Throws WEFT1302 with the field for one that makes no sense. */
export function serviceFromMessage(message: istio.workload.Service, intern = new Interner()): Service {
  const key = serviceKey(message.namespace, message.hostname);
  const invalid = (why: string): WeftError => new WeftError('WEFT1302', `service ${key}: ${why}`);
  if (message.hostname === '') throw invalid('hostname is empty');
  const vips = new Map<string, NetworkAddress>();
  const cidrVips = new Map<string, { network: string; cidr: Cidr }>();
  for (const { network, address, length } of message.addresses) {
    const bytes = address ?? new Uint8Array();
    const ip = ipFromBytes(bytes);
    if (ip === undefined) throw invalid(`addresses: an address has ${bytes.length} bytes`);
    const bits = length ?? 8 * bytes.length;
    if (bits > 8 * bytes.length) throw invalid(`addresses: prefix length ${bits}`);
    const of = intern.string(network ?? '');
    if (bits === 8 * bytes.length) vips.set(networkAddressKey(of, ip), { network: of, ip });
    else {
      const cidr = new Cidr(bytes, bits);
      cidrVips.set(`${of}/${cidr.key}`, { network: of, cidr });
    }
  }
  return {
    key,
    name: message.name,
    namespace: intern.string(message.namespace),
    hostname: message.hostname,
    vips: [...vips.values()],
    cidrVips: [...cidrVips.values()],
    ports: portMap(message.ports, intern, (why) => invalid(`ports: ${why}`)),
    subjectAltNames: [...message.subjectAltNames],
    waypoint: gatewayAddress(message.waypoint, (why) => invalid(`waypoint: ${why}`)),
    weightedWaypoints: message.weightedWaypoints.map(({ destination, weight }) => {
      const found = gatewayAddress(destination, (why) => invalid(`weighted_waypoints: ${why}`));
      if (found === undefined) throw invalid('weighted_waypoints: no destination');
      return { destination: found, weight: weight ?? 0 };
    }),
    loadBalancer: loadBalancer(message.loadBalancing, invalid),
    ipFamilies: ipFamilies(message.ipFamilies, invalid),
    canonical: message.canonical,
    visibility: message.visibility === istio.workload.Visibility.NAMESPACE ? 'Namespace' : 'Public',
    requiresWaypoint: message.extensions.some(({ name }) => name === REQUIRE_WAYPOINT_EXTENSION),
  };
}

const MAX_PORT = 65_535;

export function portMap(
  ports: readonly istio.workload.Port.$Properties[] | null | undefined,
  intern: Interner,
  invalid: (why: string) => WeftError,
): PortMap {
  const list = ports ?? [];
  return intern.value(`o${list.map((p) => `${p.servicePort ?? 0}:${p.targetPort ?? 0}`).join()}`, () => {
    const valid = (port: number): number => {
      if (port > MAX_PORT) throw invalid(`no port: ${port}`);
      return port;
    };
    return new Map(list.map((p) => [valid(p.servicePort ?? 0), valid(p.targetPort ?? 0)]));
  });
}

export function gatewayAddress(
  message: istio.workload.GatewayAddress.$Properties | null | undefined,
  invalid: (why: string) => WeftError,
): GatewayAddress | undefined {
  if (message === null || message === undefined) return undefined;
  const hboneMtlsPort = message.hboneMtlsPort ?? 0;
  if (hboneMtlsPort > MAX_PORT) throw invalid(`hbone_mtls_port ${hboneMtlsPort}`);
  const { hostname, address } = message;
  if (hostname !== null && hostname !== undefined) {
    return {
      destination: { kind: 'hostname', key: serviceKey(hostname.namespace ?? '', hostname.hostname ?? '') },
      hboneMtlsPort,
    };
  }
  const ip = ipFromBytes(address?.address ?? new Uint8Array());
  if (ip === undefined) throw invalid('neither a host name nor an address');
  return {
    destination: { kind: 'address', address: { network: address?.network ?? '', ip } },
    hboneMtlsPort,
  };
}

const modes: Readonly<Record<number, LoadBalancer['mode']>> = {
  [LoadBalancing.Mode.UNSPECIFIED_MODE]: 'Standard',
  [LoadBalancing.Mode.STRICT]: 'Strict',
  [LoadBalancing.Mode.FAILOVER]: 'Failover',
  [LoadBalancing.Mode.PASSTHROUGH]: 'Passthrough',
};
const scopes: Readonly<Record<number, RoutingScope>> = {
  [LoadBalancing.Scope.REGION]: 'Region',
  [LoadBalancing.Scope.ZONE]: 'Zone',
  [LoadBalancing.Scope.SUBZONE]: 'Subzone',
  [LoadBalancing.Scope.NODE]: 'Node',
  [LoadBalancing.Scope.CLUSTER]: 'Cluster',
  [LoadBalancing.Scope.NETWORK]: 'Network',
};

function loadBalancer(
  message: istio.workload.LoadBalancing.$Properties | null | undefined,
  invalid: (why: string) => WeftError,
): LoadBalancer | undefined {
  if (message === null || message === undefined) return undefined;
  const mode = modes[message.mode ?? 0];
  if (mode === undefined) throw invalid(`load_balancing.mode ${message.mode}`);
  const routingPreferences = (message.routingPreference ?? []).map((value) => {
    const scope = scopes[value];
    if (scope === undefined) throw invalid(`load_balancing.routing_preference ${value}`);
    return scope;
  });
  const { ALLOW_ALL, ONLY_HEALTHY } = LoadBalancing.HealthPolicy;
  const health: number = message.healthPolicy ?? ONLY_HEALTHY;
  if (health !== ALLOW_ALL && health !== ONLY_HEALTHY)
    throw invalid(`load_balancing.health_policy ${health}`);
  return { mode, routingPreferences, healthPolicy: health === ALLOW_ALL ? 'AllowAll' : 'OnlyHealthy' };
}

function ipFamilies(value: number, invalid: (why: string) => WeftError): Service['ipFamilies'] {
  switch (value) {
    case IPFamilies.AUTOMATIC:
      return undefined;
    case IPFamilies.IPV4_ONLY:
      return 'IPv4';
    case IPFamilies.IPV6_ONLY:
      return 'IPv6';
    case IPFamilies.DUAL:
      return 'Dual';
    default:
      throw invalid(`ip_families ${value}`);
  }
}
