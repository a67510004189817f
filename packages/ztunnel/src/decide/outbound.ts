import { Port } from '@weft/api';
import { formatAuthority } from '@weft/hbone';
import type { ErrorCode } from '@weft/telemetry';
import { selectAddress, selectEndpoint, weightedPick, type Random } from './load-balance.ts';
import { chooseServiceWaypoint, isServedBy, resolveGateway, type Gateway } from './gateway.ts';
import {
  formatSocketAddress,
  ipFamily,
  isLoopback,
  type IpAddress,
  type SocketAddress,
} from '../state/ip-address.ts';
import { workloadIdentity, type GatewayAddress, type Service, type Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

const capturePorts: ReadonlySet<number> = new Set([Port.outboundCapture, Port.inboundCapture, Port.hbone]);

/** Whether it is a port of the proxy itself; relaying to those would loop. */
export function isIllegalPort(port: number, { socks5 = false }: { readonly socks5?: boolean }): boolean {
  return capturePorts.has(port) || (socks5 && port === Port.socks5);
}

export interface OutboundRequest {
  readonly source: Workload;
  readonly clientIp: IpAddress;
  /** Where the application meant to go. */
  readonly destination: SocketAddress;
}

export interface OutboundContext {
  readonly store: WorkloadStore;
  /** The network that destination addresses belong to. */
  readonly network: string;
  /** Whether pods have a SOCKS listener. */
  readonly socks5?: boolean;
  readonly random: Random;
}

interface Destination {
  /** The pod at the end of the connection, or the waypoint on the way. Unknown for foreign addresses. */
  readonly workload: Workload | undefined;
  /** The service that the application addressed. */
  readonly service: Service | undefined;
}

export type OutboundPlan =
  | Decided
  /** The endpoint is known by its name only; with one of its addresses the plan is complete. */
  | ({
      readonly kind: 'resolve';
      readonly hostname: string;
      readonly preferredFamily: 4 | 6;
      readonly at: (ip: IpAddress) => Decided;
    } & Destination);

export type Decided =
  /** Plain TCP, for whatever can't be tunnelled to. */
  | ({ readonly kind: 'tcp'; readonly upstream: SocketAddress } & Destination)
  | ({
      readonly kind: 'tunnel';
      /** Where the HBONE connection goes. */
      readonly upstream: SocketAddress;
      /** Who is there. */
      readonly endsAt: 'pod' | 'waypoint' | 'gateway';
      readonly authority: string;
      readonly acceptableIdentities: readonly string[];
      /** Another tunnel inside it, to the other network: for the same authority, by one of these. */
      readonly innerIdentities: readonly string[] | undefined;
    } & Destination)
  | ({ readonly kind: 'refuse'; readonly code: ErrorCode; readonly reason: string } & Destination);

/** Decides where an application's connection really goes. Pure, but for the endpoint that `random` picks. */
export function decideOutbound(request: OutboundRequest, context: OutboundContext): OutboundPlan {
  const { source, destination } = request;
  const { store, network, random } = context;
  if (isLoopback(destination.ip) && isIllegalPort(destination.port, context)) {
    return refuse('WEFT1314', `${formatSocketAddress(destination)} is a port of the proxy`);
  }
  const owner = store.ownerOf(network, destination.ip, source.namespace);
  const addressed = owner?.kind === 'service' ? owner.service : undefined;
  if (addressed !== undefined) {
    const waypoint = chooseServiceWaypoint(addressed, random);
    if (waypoint !== undefined) {
      const gateway = resolveGateway(context, waypoint, 'waypoint', source, destination.ip);
      if (gateway === undefined) {
        const code = addressed.requiresWaypoint ? 'WEFT1317' : 'WEFT1313';
        return refuse(code, `waypoint of service ${addressed.key}`, undefined, addressed);
      }
      if (gateway.workload.network !== source.network)
        return toOtherNetwork(request, context, addressed, gateway.workload, gateway.service);
      return toWaypoint(gateway, addressed, destination);
    }
    // The control plane always names one, be it unresolvable; without a name there is no way around it either.
    if (addressed.requiresWaypoint)
      return refuse('WEFT1317', `service ${addressed.key} has none`, undefined, addressed);
  }
  return toUpstream(request, context, addressed);
}

/** The pod itself, without a service's waypoint on the way. Here services come before workloads. */
function toUpstream(
  request: OutboundRequest,
  context: OutboundContext,
  addressed: Service | undefined,
): OutboundPlan {
  const { source, destination } = request;
  const { store, random } = context;
  const service = store.serviceAt(source.network, destination.ip, source.namespace);
  if (service?.loadBalancer?.mode === 'Passthrough') return passthrough(destination, service);
  const endpoint =
    service === undefined
      ? workloadEndpoint(store.workloadAt(source.network, destination.ip), destination.port)
      : selectEndpoint(store, service, source, destination.port, 'standard', random);
  if (endpoint === undefined) {
    const unserved = service ?? addressed;
    return unserved === undefined
      ? passthrough(destination, undefined)
      : refuse('WEFT1311', `service ${unserved.key} port ${destination.port}`, undefined, unserved);
  }
  const { workload } = endpoint;
  if (workload.network !== source.network)
    return toOtherNetwork(request, context, addressed, workload, service);
  if (service === undefined && workload.waypoint !== undefined) {
    const viaWaypoint = toWorkloadWaypoint(request, context, workload, workload.waypoint);
    if (viaWaypoint !== undefined) return viaWaypoint;
  }
  return direct(workload, service, endpoint.port, destination);
}

function workloadEndpoint(
  workload: Workload | undefined,
  port: number,
): { workload: Workload; port: number } | undefined {
  return workload && { workload, port };
}

/** Undefined if the caller is that waypoint, for which the way is direct. */
function toWorkloadWaypoint(
  { source, clientIp, destination }: OutboundRequest,
  context: OutboundContext,
  workload: Workload,
  waypoint: GatewayAddress,
): OutboundPlan | undefined {
  if (isServedBy(context.store, waypoint, source, clientIp)) return undefined;
  const gateway = resolveGateway(context, waypoint, 'waypoint', source, destination.ip);
  if (gateway === undefined) return refuse('WEFT1313', `waypoint of workload ${workload.uid}`, workload);
  if (gateway.workload.network !== source.network) return refuseOtherNetwork(gateway.workload, undefined);
  return toWaypoint(gateway, undefined, destination);
}

function toWaypoint(
  { workload, ip, port, identities }: Gateway,
  service: Service | undefined,
  destination: SocketAddress,
): OutboundPlan {
  return atAddress({ workload, service }, ip, destination.ip, (at) => ({
    kind: 'tunnel',
    upstream: { ip: at, port },
    endsAt: 'waypoint',
    authority: formatSocketAddress(destination),
    acceptableIdentities: identities,
    innerIdentities: undefined,
    workload,
    service,
  }));
}

/**
 * A tunnel to the gateway of the other network, and in it one that ends at the waypoint or pod there: whoever it
 * is, the service lists the identities, as the pod that the gateway will choose is not known here.
 */
function toOtherNetwork(
  { source, destination }: OutboundRequest,
  context: OutboundContext,
  addressed: Service | undefined,
  workload: Workload,
  through: Service | undefined,
): OutboundPlan {
  // Only a name means the same on both networks.
  if (addressed === undefined || workload.networkGateway === undefined)
    return refuseOtherNetwork(workload, addressed);
  const gateway = resolveGateway(context, workload.networkGateway, 'standard', source, destination.ip);
  if (gateway === undefined) return refuseOtherNetwork(workload, addressed);
  const to = { workload: gateway.workload, service: addressed };
  return atAddress(to, gateway.ip, destination.ip, (ip) => ({
    kind: 'tunnel',
    upstream: { ip, port: gateway.port },
    endsAt: 'gateway',
    authority: formatAuthority(addressed.hostname, destination.port),
    acceptableIdentities: gateway.identities,
    innerIdentities: through?.subjectAltNames ?? [],
    ...to,
  }));
}

function direct(
  workload: Workload,
  service: Service | undefined,
  port: number | undefined,
  destination: SocketAddress,
): OutboundPlan {
  if (port === undefined) {
    return refuse(
      'WEFT1311',
      `endpoint ${workload.uid} has no port for ${destination.port}`,
      workload,
      service,
    );
  }
  const to = { workload, service };
  return atAddress(to, selectAddress(workload, service, destination.ip), destination.ip, (ip) => {
    if (workload.protocol === 'TCP') return { kind: 'tcp', upstream: { ip, port }, ...to };
    return {
      kind: 'tunnel',
      upstream: { ip, port: Port.hbone },
      endsAt: 'pod',
      authority: formatSocketAddress({ ip, port }),
      acceptableIdentities: [...(service?.subjectAltNames ?? []), workloadIdentity(workload)],
      innerIdentities: undefined,
      ...to,
    };
  });
}

function passthrough(destination: SocketAddress, service: Service | undefined): OutboundPlan {
  return { kind: 'tcp', upstream: destination, workload: undefined, service };
}

function refuseOtherNetwork(workload: Workload, service: Service | undefined): Decided {
  return refuse('WEFT1312', `${workload.uid} is on network "${workload.network}"`, workload, service);
}

/** The plan for a pod or gateway at its address, or once its name is resolved to one. */
function atAddress(
  { workload, service }: { readonly workload: Workload; readonly service: Service | undefined },
  ip: IpAddress | undefined,
  target: IpAddress,
  plan: (ip: IpAddress) => Decided,
): OutboundPlan {
  if (ip !== undefined) return plan(ip);
  const { hostname } = workload;
  if (hostname === '')
    return refuse('WEFT1311', `endpoint ${workload.uid} has no usable address`, workload, service);
  return { kind: 'resolve', hostname, preferredFamily: ipFamily(target), at: plan, workload, service };
}

/** One of a name's addresses, of the preferred family if there is one. */
export function pickAddress(
  addresses: readonly IpAddress[],
  preferredFamily: 4 | 6,
  random: Random,
): IpAddress | undefined {
  const preferred = addresses.filter((ip) => ipFamily(ip) === preferredFamily);
  return weightedPick(preferred.length > 0 ? preferred : addresses, () => 1, random);
}

function refuse(code: ErrorCode, reason: string, workload?: Workload, service?: Service): Decided {
  return { kind: 'refuse', code, reason, workload, service };
}
