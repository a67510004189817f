import { ipBytes, prefixKey, type IpAddress } from './ip-address.ts';
import {
  networkAddressKey,
  serviceKey,
  type Service,
  type ServiceKey,
  type Workload,
  type WorkloadUid,
} from './workload.ts';

export interface LocalPod {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What a service's VIP or address was found to be. */
export type AddressOwner =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service };

/**
 * Workloads and services by every key that a connection can ask for. Lookups are synchronous and pure; the
 * endpoints of a service follow from its workloads, in whichever order both arrive.
 */
export class WorkloadStore {
  private readonly workloads = new Map<WorkloadUid, Workload>();
  private readonly services = new Map<ServiceKey, Service>();
  /** By `network/ip`. Almost always one; several while a pod's address passes on to another pod. */
  private readonly byAddress: Index<Workload> = new Map();
  private readonly byPod: Index<Workload> = new Map();
  private readonly endpointsByService = new Map<ServiceKey, Map<WorkloadUid, Workload>>();
  private readonly byVip: Index<Service> = new Map();
  private readonly byHostname: Index<Service> = new Map();
  private readonly byCidr = new CidrIndex();
  /** Those that have a host name, which few do. */
  private readonly byWorkloadHostname: Index<Workload> = new Map();

  /** Returns the record it replaces. */
  upsertWorkload(workload: Workload): Workload | undefined {
    const old = this.removeWorkload(workload.uid);
    this.workloads.set(workload.uid, workload);
    for (const key of addressKeys(workload)) add(this.byAddress, key, workload);
    if (workload.hostname !== '') add(this.byWorkloadHostname, hostnameKey(workload), workload);
    add(this.byPod, podKey(workload), workload);
    for (const key of workload.services.keys()) {
      const endpoints = this.endpointsByService.get(key);
      if (endpoints === undefined) this.endpointsByService.set(key, new Map([[workload.uid, workload]]));
      else endpoints.set(workload.uid, workload);
    }
    return old;
  }

  removeWorkload(uid: WorkloadUid): Workload | undefined {
    const old = this.workloads.get(uid);
    if (old === undefined) return undefined;
    this.workloads.delete(uid);
    for (const key of addressKeys(old)) remove(this.byAddress, key, old);
    if (old.hostname !== '') remove(this.byWorkloadHostname, hostnameKey(old), old);
    remove(this.byPod, podKey(old), old);
    for (const key of old.services.keys()) {
      const endpoints = this.endpointsByService.get(key);
      endpoints?.delete(uid);
      if (endpoints?.size === 0) this.endpointsByService.delete(key);
    }
    return old;
  }

  upsertService(service: Service): void {
    this.removeService(service.key);
    this.services.set(service.key, service);
    for (const { network, ip } of service.vips) add(this.byVip, networkAddressKey(network, ip), service);
    for (const { network, cidr } of service.cidrVips)
      this.byCidr.add(network, cidr.length, cidr.key, service);
    add(this.byHostname, service.hostname, service);
  }

  removeService(key: ServiceKey): boolean {
    const old = this.services.get(key);
    if (old === undefined) return false;
    this.services.delete(key);
    for (const { network, ip } of old.vips) remove(this.byVip, networkAddressKey(network, ip), old);
    for (const { network, cidr } of old.cidrVips) this.byCidr.remove(network, cidr.length, cidr.key, old);
    remove(this.byHostname, old.hostname, old);
    return true;
  }

  workload(uid: WorkloadUid): Workload | undefined {
    return this.workloads.get(uid);
  }

  service(key: ServiceKey): Service | undefined {
    return this.services.get(key);
  }

  /** The workload at an address; host-network pods share their node's and are not found by it. */
  workloadAt(network: string, ip: IpAddress): Workload | undefined {
    const found = all(this.byAddress, networkAddressKey(network, ip));
    if (found.length < 2) return found[0];
    // Pods before what only refers to them (WorkloadEntries), then what can be tunnelled to.
    const pods = found.filter(isPod);
    const candidates = pods.length > 0 ? pods : found;
    return candidates.find(({ protocol }) => protocol === 'HBONE') ?? candidates[0];
  }

  /** The workload that has this host name in this namespace. */
  workloadByHostname(key: ServiceKey): Workload | undefined {
    return all(this.byWorkloadHostname, key)[0];
  }

  /** The service that a client in this namespace reaches by a virtual address. */
  serviceAt(network: string, ip: IpAddress, clientNamespace: string): Service | undefined {
    return (
      this.exactServiceAt(network, ip, clientNamespace) ?? this.byCidr.find(network, ip, clientNamespace)
    );
  }

  private exactServiceAt(network: string, ip: IpAddress, clientNamespace: string): Service | undefined {
    return preferred(all(this.byVip, networkAddressKey(network, ip)), clientNamespace);
  }

  /**
   * Workload first, as the first look at a destination wants it; but of what isn't a pod anybody may write any address,
   * which must take no service's address from it, and so its waypoint.
   */
  ownerOf(network: string, ip: IpAddress, clientNamespace: string): AddressOwner | undefined {
    const workload = this.workloadAt(network, ip);
    if (workload !== undefined && isPod(workload)) return { kind: 'workload', workload };
    const service = this.exactServiceAt(network, ip, clientNamespace);
    if (service !== undefined) return { kind: 'service', service };
    if (workload !== undefined) return { kind: 'workload', workload };
    const inRange = this.byCidr.find(network, ip, clientNamespace);
    return inRange && { kind: 'service', service: inRange };
  }

  /** Service first: the workload's own host name is the rare case. */
  ownerOfHostname(key: ServiceKey): AddressOwner | undefined {
    const service = this.service(key);
    if (service !== undefined) return { kind: 'service', service };
    const workload = this.workloadByHostname(key);
    return workload && { kind: 'workload', workload };
  }

  /** The service of a host name as seen from a namespace. */
  serviceByHostname(hostname: string, clientNamespace: string): Service | undefined {
    return preferred(all(this.byHostname, hostname), clientNamespace);
  }

  /** All services of a host name, whoever may see them. */
  servicesByHostname(hostname: string): readonly Service[] {
    return all(this.byHostname, hostname);
  }

  endpoints(key: ServiceKey): Iterable<Workload> {
    return this.endpointsByService.get(key)?.values() ?? [];
  }

  isEndpoint(key: ServiceKey, uid: WorkloadUid): boolean {
    return this.endpointsByService.get(key)?.has(uid) === true;
  }

  /** Endpoints of services that are not known (yet). */
  stagedServices(): ReadonlyMap<ServiceKey, readonly Workload[]> {
    const staged = new Map<ServiceKey, readonly Workload[]>();
    for (const [key, endpoints] of this.endpointsByService) {
      if (!this.services.has(key)) staged.set(key, [...endpoints.values()]);
    }
    return staged;
  }

  /** The workload of a pod on this node; any node's if `node` is empty. */
  localWorkload(pod: LocalPod, node: string): Workload | undefined {
    for (const workload of all(this.byPod, podKey(pod))) {
      if (isLocal(workload, node)) return workload;
    }
    return undefined;
  }

  allWorkloads(): Iterable<Workload> {
    return this.workloads.values();
  }

  allServices(): Iterable<Service> {
    return this.services.values();
  }

  get sizes(): { readonly workloads: number; readonly services: number } {
    return { workloads: this.workloads.size, services: this.services.size };
  }
}

export function isLocal(workload: Workload, node: string): boolean {
  return node === '' || workload.node === node;
}

function isPod({ uid }: Workload): boolean {
  return uid.includes('//Pod/');
}

/** By what ZDS and the control plane both know a pod. */
export function podKey({ name, namespace, serviceAccount }: LocalPod): string {
  return `${namespace}/${name}/${serviceAccount}`;
}

function hostnameKey({ namespace, hostname }: Workload): ServiceKey {
  return serviceKey(namespace, hostname);
}

function addressKeys({ network, addresses, networkMode }: Workload): string[] {
  return networkMode === 'HostNetwork' ? [] : addresses.map((ip) => networkAddressKey(network, ip));
}

/** Whether clients of a namespace may know of the service at all. */
export function isVisible({ visibility, namespace }: Service, clientNamespace: string): boolean {
  return visibility === 'Public' || namespace === clientNamespace;
}

function preferred(services: readonly Service[], clientNamespace: string): Service | undefined {
  const visible = services.filter((service) => isVisible(service, clientNamespace));
  return (
    visible.find(({ namespace }) => namespace === clientNamespace) ??
    visible.find(({ canonical }) => canonical) ??
    visible[0]
  );
}

/** Services by the prefixes they claim: one hash table for each prefix length in use. */
class CidrIndex {
  private readonly byNetwork = new Map<string, Map<number, Index<Service>>>();

  add(network: string, length: number, key: string, service: Service): void {
    const lengths = this.byNetwork.get(network) ?? new Map<number, Index<Service>>();
    this.byNetwork.set(network, lengths);
    const prefixes = lengths.get(length) ?? new Map<string, Service | Set<Service>>();
    lengths.set(length, prefixes);
    add(prefixes, key, service);
  }

  remove(network: string, length: number, key: string, service: Service): void {
    const lengths = this.byNetwork.get(network);
    const prefixes = lengths?.get(length);
    if (lengths === undefined || prefixes === undefined) return;
    remove(prefixes, key, service);
    if (prefixes.size === 0) lengths.delete(length);
    if (lengths.size === 0) this.byNetwork.delete(network);
  }

  /** Ranked by: in the client's namespace, longest prefix, canonical. */
  find(network: string, ip: IpAddress, clientNamespace: string): Service | undefined {
    const lengths = this.byNetwork.get(network);
    if (lengths === undefined) return undefined;
    const bytes = ipBytes(ip);
    let best: { service: Service; rank: number } | undefined;
    for (const [length, prefixes] of lengths) {
      for (const service of all(prefixes, prefixKey(bytes, length))) {
        if (!isVisible(service, clientNamespace)) continue;
        const isOwn = service.namespace === clientNamespace ? 1 : 0;
        const rank = isOwn * 1000 + length * 2 + (service.canonical ? 1 : 0);
        if (best === undefined || rank > best.rank) best = { service, rank };
      }
    }
    return best?.service;
  }
}

/**
 * Nearly every key has one value, which then needs no set: with 100,000 workloads that is 20 MB. The others have sets,
 * as nobody says how many workloads may claim one address.
 */
type Index<T extends object> = Map<string, T | Set<T>>;

function all<T extends object>(index: Index<T>, key: string): readonly T[] {
  const found = index.get(key);
  if (found === undefined) return [];
  return found instanceof Set ? [...found] : [found];
}

function add<T extends object>(index: Index<T>, key: string, value: T): void {
  const present = index.get(key);
  if (present === undefined) index.set(key, value);
  else if (present instanceof Set) present.add(value);
  else index.set(key, new Set([present, value]));
}

function remove<T extends object>(index: Index<T>, key: string, value: T): void {
  const present = index.get(key);
  if (!(present instanceof Set)) {
    if (present === value) index.delete(key);
    return;
  }
  present.delete(value);
  if (present.size > 1) return;
  for (const last of present) index.set(key, last);
}
