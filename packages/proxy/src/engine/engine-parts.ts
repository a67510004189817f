import type { Clock, Logger } from '@weft/telemetry';
import type { DrainSignal } from './compile-context.ts';
import type { HttpFilterFactory } from './http-filter.ts';
import type { MetadataStruct, MetadataValue } from './metadata.ts';
import type { NetworkFilterFactory } from './network-filter.ts';
import type {
  EndpointProvider,
  InternalListeners,
  RouteProvider,
  SecretProvider,
} from './resource-providers.ts';
import type { StatsScope } from './stats-scope.ts';
import type { NameLookups } from '../upstream/discovery/name-lookups.ts';
import type { ClusterManager } from './upstream.ts';

/** Where this process lets nobody be connected to. */
export type ForbiddenAddress = (address: { readonly ip: string; readonly port: number }) => boolean;

/** What everything compiled may use. One per proxy. */
export interface Engine {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsScope;
  readonly clusters: ClusterManager;
  readonly secrets: SecretProvider;
  readonly routes: RouteProvider;
  readonly endpoints: EndpointProvider;
  readonly internalListeners: InternalListeners;
  readonly lookups: NameLookups;
  readonly node: NodeInfo;
  /** Uniform in [0, 1). */
  random(): number;
  /** The whole proxy drains. */
  readonly drain: DrainSignal;
  httpFilter(typeUrl: string): HttpFilterFactory | undefined;
  networkFilter(typeUrl: string): NetworkFilterFactory | undefined;
  /** Feature flags of the bootstrap's layered runtime. */
  runtime(key: string): MetadataValue | undefined;
  /** Where no connection may go, whatever clusters and names say (`Embedding.isForbidden`). */
  readonly isForbidden?: ForbiddenAddress;
  /** Who is behind an address, when the process knows (`Embedding.workloads`). */
  readonly workloads?: WorkloadDirectory;
}

/** The workload API, for peers' names in metrics and logs; never for policy. */
export interface WorkloadDirectory {
  byAddress(ip: string): WorkloadMetadata | undefined;
}
/** What Istio's metrics say of either side; absent fields are printed `unknown` (revision: `latest`). */
export interface WorkloadMetadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly cluster?: string;
  readonly canonicalName?: string;
  readonly canonicalRevision?: string;
  readonly app?: string;
  readonly version?: string;
  /** `spiffe://…` */
  readonly identity?: string;
}

export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: MetadataStruct;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
}
