import { Port } from '@weft/api';
import { formatAuthority } from '@weft/hbone';
import type { ErrorCode } from '@weft/telemetry';
import { selectAddress, selectEndpoint, type Random } from './load-balance.ts';
import { chooseServiceWaypoint, isServedBy, resolveGateway, type Gateway } from './gateway.ts';
import { formatSocketAddress, isLoopback, type IpAddress, type SocketAddress } from '../state/ip-address.ts';
import { workloadIdentity, type GatewayAddress, type Service, type Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/** Ports of the proxy itself; relaying to them would loop. */
export const illegalPorts: ReadonlySet<number> = new Set([
  Port.outboundCapture,
  Port.inboundCapture,
  Port.hbone,
]);

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
  readonly random: Random;
}

interface Destination {
  /** The pod at the end of the connection, or the waypoint on the way. Unknown for foreign addresses. */
  readonly workload: Workload | undefined;
  /** The service that the application addressed. */
  readonly service: Service | undefined;
}

export type OutboundPlan =
  /** Plain TCP, for whatever can't be tunnelled to. */
  | ({ readonly kind: 'tcp'; readonly upstream: SocketAddress } & Destination)
  | ({
      readonly kind: 'tunnel';
      /** Where the HBONE connection goes. */
      readonly upstream: SocketAddress;
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
  if (isLoopback(destination.ip) && illegalPorts.has(destination.port)) {
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
  { workload, address, identities }: Gateway,
  service: Service | undefined,
  destination: SocketAddress,
): OutboundPlan {
  if (address === undefined) return refuseUnaddressable(workload, service);
  return {
    kind: 'tunnel',
    upstream: address,
    authority: formatSocketAddress(destination),
    acceptableIdentities: identities,
    innerIdentities: undefined,
    workload,
    service,
  };
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
  if (gateway.address === undefined) return refuseUnaddressable(gateway.workload, addressed);
  return {
    kind: 'tunnel',
    upstream: gateway.address,
    authority: formatAuthority(addressed.hostname, destination.port),
    acceptableIdentities: gateway.identities,
    innerIdentities: through?.subjectAltNames ?? [],
    workload: gateway.workload,
    service: addressed,
  };
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
  const ip = selectAddress(workload, service, destination.ip);
  if (ip === undefined) return refuseUnaddressable(workload, service);
  if (workload.protocol === 'TCP') return { kind: 'tcp', upstream: { ip, port }, workload, service };
  return {
    kind: 'tunnel',
    upstream: { ip, port: Port.hbone },
    authority: formatSocketAddress({ ip, port }),
    acceptableIdentities: [...(service?.subjectAltNames ?? []), workloadIdentity(workload)],
    innerIdentities: undefined,
    workload,
    service,
  };
}

function passthrough(destination: SocketAddress, service: Service | undefined): OutboundPlan {
  return { kind: 'tcp', upstream: destination, workload: undefined, service };
}

function refuseOtherNetwork(workload: Workload, service: Service | undefined): OutboundPlan {
  return refuse('WEFT1312', `${workload.uid} is on network "${workload.network}"`, workload, service);
}

function refuseUnaddressable(workload: Workload, service: Service | undefined): OutboundPlan {
  return workload.hostname === ''
    ? refuse('WEFT1311', `endpoint ${workload.uid} has no usable address`, workload, service)
    : refuse('WEFT1319', `endpoint ${workload.uid} is ${workload.hostname}`, workload, service);
}

function refuse(code: ErrorCode, reason: string, workload?: Workload, service?: Service): OutboundPlan {
  return { kind: 'refuse', code, reason, workload, service };
}
