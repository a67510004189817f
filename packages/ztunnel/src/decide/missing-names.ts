import { networkAddressKey, type GatewayAddress, type Workload } from '../state/workload.ts';
import type { IpAddress } from '../state/ip-address.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/**
 * What a decision about this destination would look for and not find: names by which an on-demand control plane knows
 * it. Empty once everything is there; what is learned may itself refer to more.
 */
export function missingNames(
  store: WorkloadStore,
  network: string,
  source: Workload,
  destination: IpAddress,
): readonly string[] {
  const owner = store.ownerOf(network, destination, source.namespace);
  if (owner === undefined) return [networkAddressKey(network, destination)];
  const gateways =
    owner.kind === 'workload'
      ? [owner.workload.waypoint, owner.workload.networkGateway]
      : [
          owner.service.waypoint,
          ...owner.service.weightedWaypoints.map((waypoint) => waypoint.destination),
          ...[...store.endpoints(owner.service.key)]
            .filter((endpoint) => endpoint.network !== source.network)
            .map(({ networkGateway }) => networkGateway),
        ];
  const missing = gateways.flatMap((gateway) =>
    gateway === undefined ? [] : missingGateway(store, gateway, source.namespace),
  );
  return [...new Set(missing)];
}

function missingGateway(
  store: WorkloadStore,
  { destination }: GatewayAddress,
  clientNamespace: string,
): readonly string[] {
  if (destination.kind === 'hostname') {
    const { key } = destination;
    return store.service(key) === undefined && store.workloadByHostname(key) === undefined ? [key] : [];
  }
  const { network, ip } = destination.address;
  return store.ownerOf(network, ip, clientNamespace) === undefined ? [networkAddressKey(network, ip)] : [];
}
