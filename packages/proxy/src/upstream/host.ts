import {
  type Endpoint,
  type EndpointResult,
  formatAddress,
  type Metadata,
  type SocketAddress,
} from '../engine/types.ts';
import type { Balanced } from './load-balancer/index.ts';
import type { OutlierMonitor } from './outlier-detection.ts';
import { type SlowStart, slowStartShare } from './slow-start.ts';

export type Locality = Endpoint['locality'];
/** What EDS (or configuration) says of an endpoint. */
export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy' | 'draining';

/** An endpoint as configured: by EDS, in the cluster, or from DNS. */
export interface EndpointSpec {
  readonly address: SocketAddress;
  /** Of other families, for happy eyeballs. */
  readonly additionalAddresses: readonly SocketAddress[];
  readonly hostname: string;
  readonly metadata: Metadata;
  readonly locality: Locality;
  readonly localityWeight: number | undefined;
  readonly priority: number;
  readonly weight: number;
  readonly health: HealthStatus;
}

/** A healthy endpoint of which no more than its address is known. */
export function endpointAt(address: SocketAddress): EndpointSpec {
  return {
    address,
    additionalAddresses: [],
    hostname: '',
    metadata: new Map(),
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: undefined,
    priority: 0,
    weight: 1,
    health: 'healthy',
  };
}

/** How the hosts of a cluster start, by its clock. */
export interface HostSlowStart {
  readonly config: SlowStart;
  readonly now: () => number;
}

/** Counted per host, for the admin interface. */
export interface HostStats {
  connectionsTotal: number;
  connectionsActive: number;
  connectFailures: number;
  requestsTotal: number;
  requestErrors: number;
  requestTimeouts: number;
  requestSuccesses: number;
}

/**
 * One upstream host. Its identity is its address: an endpoint update changes the specification of the same object, so
 * that load, counters and ejection survive it.
 */
export class Host implements Endpoint, Balanced {
  readonly address: SocketAddress;
  /** Unique in the cluster: `10.0.0.1:80`, `envoy://connect_originate/10.0.0.1:80`. */
  readonly key: string;
  readonly hashKey: string;
  readonly monitor: OutlierMonitor | undefined;
  readonly stats: HostStats = {
    connectionsTotal: 0,
    connectionsActive: 0,
    connectFailures: 0,
    requestsTotal: 0,
    requestErrors: 0,
    requestTimeouts: 0,
    requestSuccesses: 0,
  };
  activeRequests = 0;
  spec: EndpointSpec;
  private readonly slowStart: HostSlowStart | undefined;
  private startedAtMs: number;
  private wasHealthy = true;

  constructor(
    spec: EndpointSpec,
    o: {
      readonly hashByHostname: boolean;
      readonly monitor?: OutlierMonitor | undefined;
      readonly slowStart?: HostSlowStart | undefined;
    },
  ) {
    this.spec = spec;
    this.address = spec.address;
    this.key = formatAddress(spec.address);
    this.hashKey = o.hashByHostname && spec.hostname !== '' ? spec.hostname : this.key;
    this.monitor = o.monitor;
    this.slowStart = o.slowStart;
    this.startedAtMs = o.slowStart?.now() ?? 0;
  }

  get hostname(): string {
    return this.spec.hostname;
  }

  get metadata(): Metadata {
    return this.spec.metadata;
  }

  get locality(): Locality {
    return this.spec.locality;
  }

  get priority(): number {
    return this.spec.priority;
  }

  get weight(): number {
    return this.spec.weight;
  }

  get currentWeight(): number | undefined {
    const { slowStart } = this;
    if (slowStart === undefined) return undefined;
    return this.weight * slowStartShare(slowStart.config, slowStart.now() - this.startedAtMs);
  }

  /** The health may have changed: a host that became healthy begins slowly again, if its cluster asks for that. */
  noteHealth(): void {
    const healthy = this.health === 'healthy';
    if (healthy && !this.wasHealthy) this.startedAtMs = this.slowStart?.now() ?? 0;
    this.wasHealthy = healthy;
  }

  /** What load balancing goes by: the configured health, unless outlier detection has ejected the host. */
  get health(): HealthStatus {
    return this.monitor?.isEjected === true ? 'unhealthy' : this.spec.health;
  }

  reportResult(result: EndpointResult): void {
    const failed = result.kind === 'response' ? result.status >= 500 : !result.success;
    if (failed) this.stats.requestErrors++;
    else if (result.kind === 'response') this.stats.requestSuccesses++;
    this.monitor?.report(result);
  }
}
