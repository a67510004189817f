import { GatewayClass, HBONE_PROTOCOL, Label } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { GatewayFacts } from '../sources/gateway-objects.ts';
import { addressBytes } from './addresses.ts';
import { waypointServiceAccount } from './waypoints.ts';

type Workload = istio.workload.Workload.$Properties;
type GatewayAddress = istio.workload.GatewayAddress.$Properties;

/** One way into a network: an address of a Gateway that takes HBONE from other networks. */
export interface NetworkGateway {
  /** Resource name of the workload that stands for it. */
  readonly uid: string;
  readonly network: string;
  readonly address: string;
  readonly hbonePort: number;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
}

const gatewayClasses: readonly string[] = [GatewayClass.eastWest, GatewayClass.remote];

/** None for Gateways of other classes, of no network, without address, and without a listener for HBONE. */
export function networkGateways(gateway: GatewayFacts): NetworkGateway[] {
  const { namespace, name, labels, spec, status } = gateway;
  const network = labels[Label.network] ?? '';
  const hbone = spec.listeners?.find(({ protocol }) => protocol === HBONE_PROTOCOL);
  if (network === '' || hbone === undefined || !gatewayClasses.includes(spec.gatewayClassName)) return [];
  // A Gateway of another cluster is described here and run there: nobody here fills in its status.
  const addresses = status.addresses?.length ? status.addresses : (spec.addresses ?? []);
  return addresses.flatMap(({ value = '' }): NetworkGateway[] => {
    if (value === '') return [];
    const uid = `NetworkGateway/${network}/${value}/${hbone.port}`;
    const serviceAccount = waypointServiceAccount(gateway);
    return [{ uid, network, address: value, hbonePort: hbone.port, namespace, name, serviceAccount }];
  });
}

function networkGatewayAddress(gateway: NetworkGateway): GatewayAddress {
  const { namespace, network, address, hbonePort } = gateway;
  const bytes = addressBytes(address);
  return {
    ...(bytes === undefined
      ? { hostname: { namespace, hostname: address } }
      : { address: { network, address: bytes } }),
    hboneMtlsPort: hbonePort,
  };
}

/** What the pointers of workloads to their network's gateway resolve to. */
export function networkGatewayWorkload(gateway: NetworkGateway, clusterId: string): Workload {
  const { uid, namespace, name, network, address, serviceAccount } = gateway;
  const bytes = addressBytes(address);
  return {
    uid,
    name,
    namespace,
    ...(bytes === undefined ? { hostname: address } : { addresses: [bytes] }),
    network,
    tunnelProtocol: istio.workload.TunnelProtocol.HBONE,
    serviceAccount,
    workloadName: name,
    canonicalName: name,
    canonicalRevision: 'latest',
    workloadType: istio.workload.WorkloadType.POD,
    status: istio.workload.WorkloadStatus.HEALTHY,
    clusterId,
  };
}

/** The first by name: any would do, and all have to agree. */
export function gatewayOf(
  network: string,
  gateways: { lookup(network: string): readonly NetworkGateway[] },
): GatewayAddress | undefined {
  const [first] = gateways.lookup(network);
  return first === undefined ? undefined : networkGatewayAddress(first);
}
