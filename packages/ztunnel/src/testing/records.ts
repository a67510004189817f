import { parseIp, type IpAddress, type SocketAddress } from '../state/ip-address.ts';
import type { Policy, PolicyKey } from '../state/policy.ts';
import {
  serviceKey,
  type GatewayAddress,
  type Service,
  type Workload,
  type WorkloadUid,
} from '../state/workload.ts';
import { WorkloadStore } from '../state/workload-store.ts';

/** Records for tests, complete but for what a case is about. */

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new TypeError(`not an IP address: ${text}`);
  return parsed;
}

export function at(address: string, port: number): SocketAddress {
  return { ip: ip(address), port };
}

export function workload(name: string, address: string | undefined, more: Partial<Workload> = {}): Workload {
  return {
    uid: `Kubernetes//Pod/default/${name}` as WorkloadUid, // as the control plane names pods
    name,
    namespace: 'default',
    addresses: address === undefined ? [] : [ip(address)],
    hostname: '',
    network: '',
    protocol: 'HBONE',
    trustDomain: 'cluster.local',
    serviceAccount: name,
    waypoint: undefined,
    networkGateway: undefined,
    node: 'node-1',
    canonicalName: name,
    canonicalRevision: 'latest',
    workloadType: 'deployment',
    workloadName: name,
    nativeTunnel: false,
    applicationTunnel: undefined,
    services: new Map(),
    authorizationPolicies: [],
    isHealthy: true,
    clusterId: 'Kubernetes',
    locality: { region: '', zone: '', subzone: '' },
    networkMode: 'Standard',
    capacity: 1,
    ...more,
  };
}

export function service(name: string, vip: string | undefined, more: Partial<Service> = {}): Service {
  const namespace = more.namespace ?? 'default';
  const hostname = `${name}.${namespace}.svc.cluster.local`;
  return {
    key: serviceKey(namespace, hostname),
    name,
    namespace,
    hostname,
    vips: vip === undefined ? [] : [{ network: '', ip: ip(vip) }],
    cidrVips: [],
    ports: new Map([[80, 8080]]),
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancer: undefined,
    ipFamilies: undefined,
    requiresWaypoint: false,
    canonical: true,
    visibility: 'Public',
    ...more,
  };
}

export function inService(
  of: Service,
  ports: readonly (readonly [number, number])[] = [],
): Pick<Workload, 'services'> {
  return { services: new Map([[of.key, new Map(ports)]]) };
}

export function gatewayAt(address: string, hboneMtlsPort = 15008): GatewayAddress {
  return { destination: { kind: 'address', address: { network: '', ip: ip(address) } }, hboneMtlsPort };
}

export function storeOf(...records: readonly (Workload | Service)[]): WorkloadStore {
  const store = new WorkloadStore();
  for (const record of records) {
    if ('uid' in record) store.upsertWorkload(record);
    else store.upsertService(record);
  }
  return store;
}

export function policy(key: string, more: Partial<Policy> = {}): Policy {
  const [namespace = '', name = ''] = key.split('/');
  return {
    key: key as PolicyKey, // as the test wrote it
    name,
    namespace,
    scope: 'Namespace',
    action: 'Deny',
    dryRun: false,
    rules: [{ clauses: [] }],
    ...more,
  };
}
