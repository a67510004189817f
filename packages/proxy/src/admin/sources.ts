import type { LogLevels } from '@weft/telemetry';
import type { NodeInfo, SocketAddress } from '../engine/types.ts';
import type { StatsStore } from '../stats/index.ts';

/** What the admin pages show of the proxy. The engine's parts answer; nothing here changes them unless it says so. */
export interface AdminSources {
  state(): ServerState;
  readonly node: NodeInfo;
  readonly version: string;
  readonly startTimeMs: number;
  readonly stats: StatsStore;
  readonly logLevels: LogLevels;
  /** Every resource in use or on its way, its static ones included. */
  resources(): Iterable<ResourceStatus>;
  clusters(): Iterable<ClusterStatus>;
  listeners(): Iterable<{ readonly name: string; readonly address: SocketAddress }>;
  certificates(): Iterable<CertificateStatus>;
  /** Stops accepting; `graceful` discourages clients first. `inboundOnly`: listeners of inbound direction. */
  drainListeners(o: { readonly graceful: boolean; readonly inboundOnly: boolean }): void;
  /** Makes health check filters fail, which drains this proxy. */
  failHealthChecks(failing: boolean): void;
  reopenLogs(): void;
  quit(): void;
}

/** `LIVE` once the first configuration is in force. */
export type ServerState = 'PRE_INITIALIZING' | 'INITIALIZING' | 'LIVE' | 'DRAINING';

export type ResourceKind = 'bootstrap' | 'cluster' | 'listener' | 'route' | 'secret' | 'endpoint';

export interface ResourceStatus {
  readonly kind: ResourceKind;
  readonly name: string;
  /** `static`: of the bootstrap. A resource that warms while its predecessor serves is listed twice. */
  readonly state: 'static' | 'active' | 'warming' | 'draining' | 'rejected';
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
  /** Why its last update was rejected. */
  readonly error?: string;
}

export interface ClusterStatus {
  readonly name: string;
  readonly addedViaApi: boolean;
  readonly circuitBreakers: Readonly<Record<'default' | 'high', BreakerLimits>>;
  readonly hosts: readonly HostStatus[];
}
export interface BreakerLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}
export interface HostStatus {
  readonly address: SocketAddress;
  readonly hostname: string;
  /** `cx_active`, `cx_total`, `cx_connect_fail`, `rq_active`, `rq_total`, `rq_success`, `rq_error`, `rq_timeout`. */
  readonly stats: Readonly<Record<string, number>>;
  /** Empty for a healthy one: `/failed_outlier_check`, `/failed_eds_health`, `/degraded`… */
  readonly healthFlags: readonly string[];
  readonly weight: number;
  readonly priority: number;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** Percent, -1 when unknown. */
  readonly successRate: number;
}

export interface CertificateStatus {
  /** Of the listener or cluster's secret. */
  readonly name: string;
  readonly chainPem: string;
  readonly caPem?: string;
}
