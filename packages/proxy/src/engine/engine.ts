import type { Clock, Logger } from '@weft/telemetry';
import type { FilterRegistry } from '../filters/index.ts';
import { DrainState } from '../network/drain-state.ts';
import { systemResolver } from '../upstream/discovery/dns.ts';
import { NameLookups } from '../upstream/discovery/name-lookups.ts';
import type {
  ClusterManager,
  EndpointProvider,
  Engine,
  ForbiddenAddress,
  HttpFilterFactory,
  InternalListeners,
  MetadataValue,
  NetworkFilterFactory,
  NodeInfo,
  RouteProvider,
  SecretProvider,
  StatsScope,
  WorkloadDirectory,
} from './types.ts';

export interface EngineParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsScope;
  readonly clusters: ClusterManager;
  readonly secrets: SecretProvider;
  readonly routes: RouteProvider;
  readonly endpoints: EndpointProvider;
  readonly internalListeners: InternalListeners;
  readonly node: NodeInfo;
  readonly runtime: ReadonlyMap<string, unknown>;
  /** What a resource may name; anything else is refused. */
  readonly filters: FilterRegistry;
  readonly random?: () => number;
  readonly workloads?: WorkloadDirectory;
  readonly isForbidden?: ForbiddenAddress;
}

/** What everything compiled may use, put together. */
export class ProxyEngine implements Engine {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsScope;
  readonly clusters: ClusterManager;
  readonly secrets: SecretProvider;
  readonly routes: RouteProvider;
  readonly endpoints: EndpointProvider;
  readonly internalListeners: InternalListeners;
  readonly node: NodeInfo;
  readonly workloads?: WorkloadDirectory;
  readonly isForbidden?: ForbiddenAddress;
  readonly lookups = new NameLookups(systemResolver);
  readonly drain = new DrainState();
  private readonly filters: FilterRegistry;
  private readonly runtimeValues: ReadonlyMap<string, unknown>;
  private readonly randomSource: () => number;

  constructor(parts: EngineParts) {
    this.filters = parts.filters;
    this.clock = parts.clock;
    this.logger = parts.logger;
    this.stats = parts.stats;
    this.clusters = parts.clusters;
    this.secrets = parts.secrets;
    this.routes = parts.routes;
    this.endpoints = parts.endpoints;
    this.internalListeners = parts.internalListeners;
    this.node = parts.node;
    if (parts.workloads !== undefined) this.workloads = parts.workloads;
    if (parts.isForbidden !== undefined) this.isForbidden = parts.isForbidden;
    this.runtimeValues = parts.runtime;
    this.randomSource = parts.random ?? Math.random;
  }

  random(): number {
    return this.randomSource();
  }

  httpFilter(typeUrl: string): HttpFilterFactory | undefined {
    return this.filters.httpFilter(typeUrl);
  }

  networkFilter(typeUrl: string): NetworkFilterFactory | undefined {
    return this.filters.networkFilter(typeUrl);
  }

  runtime(key: string): MetadataValue | undefined {
    const value = this.runtimeValues.get(key);
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? value
      : undefined;
  }
}
