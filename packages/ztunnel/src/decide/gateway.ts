import { selectAddress, selectEndpoint, weightedPick, type Random, type Resolution } from './load-balance.ts';
import type { IpAddress } from '../state/ip-address.ts';
import { workloadIdentity, type GatewayAddress, type Service, type Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/** A pod of a waypoint or of a network's gateway, picked for one connection. */
export interface Gateway {
  readonly workload: Workload;
  /** The service by which it was found. */
  readonly service: Service | undefined;
  /** Undefined for one that is known by its name only, or that has no address here. */
  readonly ip: IpAddress | undefined;
  readonly port: number;
  /** Whom the tunnel's other end may be. */
  readonly identities: readonly string[];
}

/** The waypoint of a service for one connection: by weight, else the single one. */
export function chooseServiceWaypoint(service: Service, random: Random): GatewayAddress | undefined {
  return (
    weightedPick(service.weightedWaypoints, ({ weight }) => weight, random)?.destination ?? service.waypoint
  );
}

/**
 * Finds a pod that serves as the gateway; undefined if nothing known does.
 * @param resolution `waypoint` for waypoints, `standard` for network gateways
 * @param target where the application goes, whose address family is kept if a name leaves the choice
 */
export function resolveGateway(
  { store, random }: { readonly store: WorkloadStore; readonly random: Random },
  { destination, hboneMtlsPort }: GatewayAddress,
  resolution: Resolution,
  source: Workload,
  target: IpAddress,
): Gateway | undefined {
  const at = (workload: Workload, port: number, service: Service | undefined, near: IpAddress): Gateway => {
    return {
      workload,
      service,
      ip: selectAddress(workload, service, near),
      port,
      identities: [...(service?.subjectAltNames ?? []), workloadIdentity(workload)],
    };
  };
  const through = (service: Service, near: IpAddress): Gateway | undefined => {
    const endpoint = selectEndpoint(store, service, source, hboneMtlsPort, resolution, random);
    return endpoint && at(endpoint.workload, endpoint.port ?? hboneMtlsPort, service, near);
  };
  if (destination.kind === 'hostname') {
    const service = store.service(destination.key);
    if (service !== undefined) return through(service, target);
    const workload = store.workloadByHostname(destination.key);
    return workload && at(workload, hboneMtlsPort, undefined, target);
  }
  const { network, ip } = destination.address;
  // A gateway's address is usually a VIP, so services come first here.
  const service = store.serviceAt(network, ip, source.namespace);
  if (service !== undefined) return through(service, ip);
  const workload = store.workloadAt(network, ip);
  return workload && at(workload, hboneMtlsPort, undefined, ip);
}

/** Whether the client is a pod of this waypoint itself, whose traffic must not be sent back to it. */
export function isServedBy(
  store: WorkloadStore,
  { destination }: GatewayAddress,
  source: Workload,
  clientIp: IpAddress,
): boolean {
  const isCaller = (workload: Workload | undefined): boolean =>
    workload !== undefined &&
    workload.addresses.includes(clientIp) &&
    workloadIdentity(workload) === workloadIdentity(source);
  const service =
    destination.kind === 'hostname'
      ? store.service(destination.key)
      : store.serviceAt(destination.address.network, destination.address.ip, source.namespace);
  if (service !== undefined) return [...store.endpoints(service.key)].some(isCaller);
  return isCaller(
    destination.kind === 'hostname'
      ? store.workloadByHostname(destination.key)
      : store.workloadAt(destination.address.network, destination.address.ip),
  );
}
