import { fieldError, type FieldError } from '../../schema/index.ts';
import { objectAt, objectKey, objectsAt, stringAt, type ApiObject, type JsonObject } from '../object.ts';
import type { Store } from '../store/store.ts';

/** IPv4 range of Service addresses; `.0` and the broadcast address are never given out. */
export interface ServiceRange {
  readonly first: number;
  readonly size: number;
}

const NODE_PORTS = { first: 30_000, last: 32_767 };
/** Addresses below this offset are left for those who ask for one by name (`.1` API server, `.10` DNS). */
const STATIC_ADDRESSES = 256;

export function parseServiceRange(cidr: string): ServiceRange {
  const [address = '', bits = ''] = cidr.split('/');
  return { first: ipv4Number(address), size: 2 ** (32 - Number(bits)) };
}

/** Gives Services their cluster IPs and node ports, from what the store's Services leave free. */
export class ServiceAddresses {
  private readonly store: Store;
  private readonly range: ServiceRange;
  private nextAddress = STATIC_ADDRESSES;
  private nextPort = 0;

  constructor(store: Store, range: ServiceRange) {
    this.store = store;
    this.range = range;
  }

  /** Completes the spec in place; errors when an address or port is outside its range, taken, or none is left. */
  allocate(service: ApiObject, live: ApiObject | undefined): FieldError[] {
    const spec = objectAt(service, 'spec');
    if (spec === undefined) return [];
    if (spec['type'] === 'ExternalName') {
      for (const field of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) delete spec[field];
      return [];
    }
    const others = this.store
      .list('services')
      .filter(
        ({ metadata }) =>
          objectKey(metadata.namespace, metadata.name) !==
          objectKey(service.metadata.namespace, service.metadata.name),
      );
    return [...this.allocateAddress(spec, live, others), ...this.allocatePorts(spec, live, others)];
  }

  private allocateAddress(
    spec: JsonObject,
    live: ApiObject | undefined,
    others: readonly ApiObject[],
  ): FieldError[] {
    const listed = Array.isArray(spec['clusterIPs']) ? spec['clusterIPs'][0] : undefined;
    let address = stringAt(spec, 'clusterIP') ?? '';
    if (address === '' && typeof listed === 'string') address = listed;
    if (address === '') address = stringAt(live, 'spec', 'clusterIP') ?? '';
    const taken = new Set(others.map((other) => stringAt(other, 'spec', 'clusterIP')));
    if (address === '') {
      const free = this.freeAddress(taken);
      if (free === undefined) {
        return [fieldError.invalid('spec.clusterIPs', [], 'failed to allocate IP: range is full')];
      }
      address = free;
    } else if (address !== 'None') {
      const offset = ipv4Number(address) - this.range.first;
      if (!(offset > 0 && offset < this.range.size - 1)) {
        return [
          fieldError.invalid(
            'spec.clusterIPs',
            [address],
            `failed to allocate IP ${address}: the provided IP is not in the valid range`,
          ),
        ];
      }
      if (taken.has(address)) {
        return [
          fieldError.invalid(
            'spec.clusterIPs',
            [address],
            `failed to allocate IP ${address}: provided IP is already allocated`,
          ),
        ];
      }
    }
    spec['clusterIP'] = address;
    spec['clusterIPs'] = [address];
    spec['ipFamilies'] = ['IPv4'];
    spec['ipFamilyPolicy'] ??= 'SingleStack';
    return [];
  }

  private freeAddress(taken: ReadonlySet<string | undefined>): string | undefined {
    const usable = this.range.size - 1;
    for (let tried = 0; tried < usable; tried++) {
      const offset = this.nextAddress;
      this.nextAddress = offset + 1 >= usable ? 1 : offset + 1;
      const address = ipv4Text(this.range.first + offset);
      if (offset > 0 && !taken.has(address)) return address;
    }
    return undefined;
  }

  private allocatePorts(
    spec: JsonObject,
    live: ApiObject | undefined,
    others: readonly ApiObject[],
  ): FieldError[] {
    const type = stringAt(spec, 'type');
    const ports = objectsAt(spec, 'ports');
    const wanted =
      type === 'NodePort' || (type === 'LoadBalancer' && spec['allocateLoadBalancerNodePorts'] !== false);
    if (!wanted) {
      if (type !== 'LoadBalancer') for (const port of ports) delete port['nodePort'];
      return [];
    }
    const taken = new Set(others.flatMap((other) => objectsAt(other, 'spec', 'ports').map(portKey)));
    const errors: FieldError[] = [];
    for (const [index, port] of ports.entries()) {
      const before = objectsAt(live, 'spec', 'ports').find(
        (p) => p['port'] === port['port'] && p['protocol'] === port['protocol'],
      );
      if (port['nodePort'] === undefined || port['nodePort'] === 0) {
        port['nodePort'] = before?.['nodePort'] ?? this.freePort(port, taken);
      }
      const path = `spec.ports[${index}].nodePort`;
      const value = port['nodePort'];
      if (typeof value !== 'number' || value < NODE_PORTS.first || value > NODE_PORTS.last) {
        const range = `${NODE_PORTS.first}-${NODE_PORTS.last}`;
        errors.push(
          fieldError.invalid(
            path,
            value,
            `provided port is not in the valid range. The range of valid ports is ${range}`,
          ),
        );
      } else if (taken.has(portKey(port))) {
        errors.push(fieldError.invalid(path, value, 'provided port is already allocated'));
      }
      taken.add(portKey(port));
    }
    return errors;
  }

  private freePort(port: JsonObject, taken: ReadonlySet<string>): number {
    const count = NODE_PORTS.last - NODE_PORTS.first + 1;
    for (let tried = 0; tried < count; tried++) {
      const number = NODE_PORTS.first + this.nextPort;
      this.nextPort = (this.nextPort + 1) % count;
      if (!taken.has(portKey({ ...port, nodePort: number }))) return number;
    }
    return 0;
  }
}

function portKey(port: JsonObject): string {
  return `${stringAt(port, 'protocol') ?? 'TCP'} ${JSON.stringify(port['nodePort'])}`;
}

function ipv4Number(address: string): number {
  const bytes = address.split('.').map(Number);
  return bytes.length === 4 ? bytes.reduce((number, byte) => number * 256 + byte, 0) : Number.NaN;
}

function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
