import { istio } from '@weft/api/workload';
import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN } from '@weft/api';
import { WeftError } from '@weft/telemetry';
import { Interner } from './interner.ts';
import { ipFromBytes, type IpAddress } from './ip-address.ts';
import { gatewayAddress, portMap } from './service-message.ts';
import type { ApplicationTunnel, PortMap, ServiceKey, Workload, WorkloadUid } from './workload.ts';

const { NetworkMode, TunnelProtocol, WorkloadStatus, WorkloadType } = istio.workload;

const workloadTypes: Readonly<Record<number, Workload['workloadType']>> = {
  [WorkloadType.DEPLOYMENT]: 'deployment',
  [WorkloadType.CRONJOB]: 'cronjob',
  [WorkloadType.POD]: 'pod',
  [WorkloadType.JOB]: 'job',
};

/** The record of an `istio.workload.Workload`. Throws WEFT1301 with the field for one that makes no sense. */
export function workloadFromMessage(message: istio.workload.Workload, intern = new Interner()): Workload {
  if (message.uid === '') throw invalid('', 'uid is empty');
  const { uid } = message;
  const shared = (text: string): string => intern.string(text);
  return {
    uid: uid as WorkloadUid, // the one place that makes them from the wire
    name: message.name,
    namespace: shared(message.namespace),
    addresses: [...new Set(message.addresses.map((bytes) => address(uid, bytes)))],
    hostname: message.hostname,
    network: shared(message.network),
    protocol: protocol(uid, message.tunnelProtocol),
    trustDomain: shared(message.trustDomain || DEFAULT_TRUST_DOMAIN),
    serviceAccount: shared(message.serviceAccount || 'default'),
    waypoint: gatewayAddress(message.waypoint, (why) => invalid(uid, `waypoint: ${why}`)),
    networkGateway: gatewayAddress(message.networkGateway, (why) => invalid(uid, `network_gateway: ${why}`)),
    node: shared(message.node),
    canonicalName: shared(message.canonicalName),
    canonicalRevision: shared(message.canonicalRevision),
    workloadType: workloadTypes[message.workloadType] ?? 'deployment',
    workloadName: shared(message.workloadName),
    nativeTunnel: message.nativeTunnel,
    applicationTunnel: applicationTunnel(uid, message.applicationTunnel),
    services: services(uid, message.services, intern),
    authorizationPolicies: intern.value(`p${message.authorizationPolicies.join('\n')}`, () => [
      ...message.authorizationPolicies,
    ]),
    isHealthy: status(uid, message.status),
    clusterId: shared(message.clusterId || DEFAULT_CLUSTER_ID),
    locality: locality(message.locality, intern),
    networkMode: networkMode(uid, message.networkMode),
    capacity: message.capacity?.value ?? 1,
  };
}

function invalid(uid: string, why: string): WeftError {
  return new WeftError('WEFT1301', `workload ${uid || '(no uid)'}: ${why}`);
}

function address(uid: string, bytes: Uint8Array): IpAddress {
  const ip = ipFromBytes(bytes);
  if (ip === undefined) throw invalid(uid, `addresses: an address has ${bytes.length} bytes`);
  return ip;
}

function protocol(uid: string, value: number): Workload['protocol'] {
  if (value === TunnelProtocol.NONE) return 'TCP';
  if (value === TunnelProtocol.HBONE) return 'HBONE';
  throw invalid(uid, `tunnel_protocol ${value} is not supported`);
}

function status(uid: string, value: number): boolean {
  if (value !== WorkloadStatus.HEALTHY && value !== WorkloadStatus.UNHEALTHY)
    throw invalid(uid, `status ${value}`);
  return value === WorkloadStatus.HEALTHY;
}

function networkMode(uid: string, value: number): Workload['networkMode'] {
  if (value === NetworkMode.STANDARD) return 'Standard';
  if (value === NetworkMode.HOST_NETWORK) return 'HostNetwork';
  throw invalid(uid, `network_mode ${value}`);
}

function applicationTunnel(
  uid: string,
  message: istio.workload.ApplicationTunnel.$Properties | null | undefined,
): ApplicationTunnel | undefined {
  if (message === null || message === undefined) return undefined;
  const { Protocol } = istio.workload.ApplicationTunnel;
  const port = message.port ?? 0;
  if (port > 65_535) throw invalid(uid, `application_tunnel.port ${port}`);
  const value: number = message.protocol ?? Protocol.NONE;
  if (value === Protocol.NONE) return { protocol: 'NONE', port };
  if (value === Protocol.PROXY) return { protocol: 'PROXY', port };
  throw invalid(uid, `application_tunnel.protocol ${value}`);
}

const noServices: ReadonlyMap<ServiceKey, PortMap> = new Map();

function services(
  uid: string,
  message: { readonly [key: string]: istio.workload.PortList.$Properties },
  intern: Interner,
): ReadonlyMap<ServiceKey, PortMap> {
  const keys = Object.keys(message).sort();
  if (keys.length === 0) return noServices;
  const ports = keys.map((key) =>
    (message[key]?.ports ?? []).map((p) => `${p.servicePort}:${p.targetPort}`).join(),
  );
  return intern.value(`m${keys.map((key, i) => `${key}=${ports[i]}`).join()}`, () => {
    const map = new Map<ServiceKey, PortMap>();
    // Names that the control plane chose; they are looked up, never taken apart.
    for (const key of keys) {
      const ports = portMap(message[key]?.ports, intern, (why) => invalid(uid, `services: ${key}: ${why}`));
      map.set(intern.string(key) as ServiceKey, ports);
    }
    return map;
  });
}

function locality(
  message: istio.workload.Locality.$Properties | null | undefined,
  intern: Interner,
): Workload['locality'] {
  const { region, zone, subzone } = message ?? {};
  return intern.value(`l${region}\n${zone}\n${subzone}`, () => ({
    region: region ?? '',
    zone: zone ?? '',
    subzone: subzone ?? '',
  }));
}
