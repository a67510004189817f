import { Port } from '@weft/api';
import type { ErrorCode } from '@weft/telemetry';
import { selectAddress, selectEndpoint, type Random } from './load-balance.ts';
import { chooseServiceWaypoint, isServedBy, resolveWaypoint } from './waypoint.ts';
import { formatSocketAddress, isLoopback, type IpAddress, type SocketAddress } from '../state/ip-address.ts';
import { workloadIdentity, type Service, type Workload } from '../state/workload.ts';
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
      const gateway = resolveWaypoint(store, waypoint, source, destination.ip, random);
      if (gateway === undefined) {
        const code = addressed.requiresWaypoint ? 'WEFT1317' : 'WEFT1313';
        return refuse(code, `waypoint of service ${addressed.key}`, undefined, addressed);
      }
      if (gateway.workload.network !== source.network) return refuseOtherNetwork(gateway.workload, addressed);
      return {
        kind: 'tunnel',
        upstream: gateway.address,
        authority: formatSocketAddress(destination),
        acceptableIdentities: gateway.identities,
        workload: gateway.workload,
        service: addressed,
      };
    }
    // The control plane always names one, be it unresolvable; without a name there is no way around it either.
    if (addressed.requiresWaypoint)
      return refuse('WEFT1317', `service ${addressed.key} has none`, undefined, addressed);
  }
  return toUpstream(request, context, addressed);
}

/** The pod itself, without a service's waypoint on the way. Here services come before workloads. */
function toUpstream(
  { source, clientIp, destination }: OutboundRequest,
  { store, random }: OutboundContext,
  addressed: Service | undefined,
): OutboundPlan {
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
  if (workload.network !== source.network) return refuseOtherNetwork(workload, service);
  if (service === undefined && workload.waypoint !== undefined) {
    const viaWaypoint = throughWorkloadWaypoint(workload, { source, clientIp, destination }, store, random);
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
function throughWorkloadWaypoint(
  workload: Workload,
  { source, clientIp, destination }: OutboundRequest,
  store: WorkloadStore,
  random: Random,
): OutboundPlan | undefined {
  const { waypoint } = workload;
  if (waypoint === undefined || isServedBy(store, waypoint, source, clientIp)) return undefined;
  const gateway = resolveWaypoint(store, waypoint, source, destination.ip, random);
  if (gateway === undefined) return refuse('WEFT1313', `waypoint of workload ${workload.uid}`, workload);
  if (gateway.workload.network !== source.network) return refuseOtherNetwork(gateway.workload, undefined);
  return {
    kind: 'tunnel',
    upstream: gateway.address,
    authority: formatSocketAddress(destination),
    acceptableIdentities: gateway.identities,
    workload: gateway.workload,
    service: undefined,
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
  if (ip === undefined) {
    return workload.hostname === ''
      ? refuse('WEFT1311', `endpoint ${workload.uid} has no usable address`, workload, service)
      : refuse('WEFT1319', `endpoint ${workload.uid} is ${workload.hostname}`, workload, service);
  }
  if (workload.protocol === 'TCP') return { kind: 'tcp', upstream: { ip, port }, workload, service };
  return {
    kind: 'tunnel',
    upstream: { ip, port: Port.hbone },
    authority: formatSocketAddress({ ip, port }),
    acceptableIdentities: [...(service?.subjectAltNames ?? []), workloadIdentity(workload)],
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

function refuse(code: ErrorCode, reason: string, workload?: Workload, service?: Service): OutboundPlan {
  return { kind: 'refuse', code, reason, workload, service };
}
