import { selectAddress, selectEndpoint, weightedPick, type Random } from './load-balance.ts';
import type { IpAddress, SocketAddress } from '../state/ip-address.ts';
import { workloadIdentity, type GatewayAddress, type Service, type Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/** A waypoint's pod that was picked for one connection. */
export interface ResolvedGateway {
  readonly workload: Workload;
  readonly address: SocketAddress;
  /** Whom the tunnel's other end may be. */
  readonly identities: readonly string[];
}

/** The waypoint of a service for one connection: by weight, else the single one. */
export function chooseServiceWaypoint(service: Service, random: Random): GatewayAddress | undefined {
  return (
    weightedPick(service.weightedWaypoints, ({ weight }) => weight, random)?.destination ?? service.waypoint
  );
}

/** Finds a pod of a waypoint; undefined if nothing known serves it. */
export function resolveWaypoint(
  store: WorkloadStore,
  gateway: GatewayAddress,
  source: Workload,
  target: IpAddress,
  random: Random,
): ResolvedGateway | undefined {
  const { destination, hboneMtlsPort } = gateway;
  const through = (service: Service, near: IpAddress): ResolvedGateway | undefined => {
    const endpoint = selectEndpoint(store, service, source, hboneMtlsPort, 'waypoint', random);
    return endpoint && resolved(endpoint.workload, endpoint.port ?? hboneMtlsPort, service, near);
  };
  if (destination.kind === 'hostname') {
    const service = store.service(destination.key);
    return service && through(service, target);
  }
  const { network, ip } = destination.address;
  // A gateway's address is usually a VIP, so services come first here.
  const service = store.serviceAt(network, ip, source.namespace);
  if (service !== undefined) return through(service, ip);
  const workload = store.workloadAt(network, ip);
  return workload && resolved(workload, hboneMtlsPort, undefined, ip);
}

function resolved(
  workload: Workload,
  port: number,
  service: Service | undefined,
  near: IpAddress,
): ResolvedGateway | undefined {
  const ip = selectAddress(workload, service, near);
  if (ip === undefined) return undefined;
  const identities = [...(service?.subjectAltNames ?? []), workloadIdentity(workload)];
  return { workload, address: { ip, port }, identities };
}

/** Whether the client is a pod of this waypoint itself, whose traffic must not be sent back to it. */
export function isServedBy(
  store: WorkloadStore,
  gateway: GatewayAddress,
  source: Workload,
  clientIp: IpAddress,
): boolean {
  if (!source.addresses.includes(clientIp)) return false;
  const { destination } = gateway;
  const service =
    destination.kind === 'hostname'
      ? store.service(destination.key)
      : store.serviceAt(destination.address.network, destination.address.ip, source.namespace);
  if (service !== undefined) {
    for (const workload of store.endpoints(service.key)) {
      if (workloadIdentity(workload) === workloadIdentity(source) && workload.addresses.includes(clientIp))
        return true;
    }
    return false;
  }
  if (destination.kind === 'hostname') return false;
  const workload = store.workloadAt(destination.address.network, destination.address.ip);
  return (
    workload !== undefined &&
    workloadIdentity(workload) === workloadIdentity(source) &&
    workload.addresses.includes(clientIp)
  );
}
