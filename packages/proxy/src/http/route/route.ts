import type { HeaderMap, Metadata, MetadataStruct, RouteInfo, StreamInfo } from '../../engine/types.ts';
import type { HeaderMutations } from './header-mutations.ts';
import type { HashPolicy } from './hash-policy.ts';
import type { PathRewrite } from './path-rewrite.ts';
import type { RetryPolicy } from './retry-policy.ts';

/** A compiled route. */
export interface Route {
  readonly name: string;
  readonly virtualHost: VirtualHostScope;
  readonly matches: (headers: HeaderMap, info: StreamInfo) => boolean;
  readonly action: RouteActionKind;
  readonly metadata: Metadata;
  readonly decoratorOperation: string | undefined;
  readonly request: HeaderMutations;
  readonly response: HeaderMutations;
  readonly filterConfigs: ReadonlyMap<string, unknown>;
  readonly bufferLimitBytes: number | undefined;
}

/** What routes of one virtual host share. */
export interface VirtualHostScope {
  readonly name: string;
  readonly metadata: Metadata;
  readonly table: TableScope;
  readonly request: HeaderMutations;
  readonly response: HeaderMutations;
  readonly filterConfigs: ReadonlyMap<string, unknown>;
  readonly includeAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly requireTls: 'none' | 'external' | 'all';
}

export interface TableScope {
  readonly request: HeaderMutations;
  readonly response: HeaderMutations;
  readonly filterConfigs: ReadonlyMap<string, unknown>;
  readonly mostSpecificWins: boolean;
}

export type RouteActionKind =
  | { readonly kind: 'forward'; readonly forward: ForwardAction }
  | { readonly kind: 'redirect'; readonly redirect: RedirectAction }
  | { readonly kind: 'direct-response'; readonly status: number; readonly body: string }
  | { readonly kind: 'none' };

export interface ForwardAction {
  /** Chooses among weighted clusters with a number in [0, 1). */
  readonly cluster: (headers: HeaderMap, random: number) => ChosenCluster;
  readonly clusterNotFoundStatus: number;
  readonly rewritePath: PathRewrite | undefined;
  readonly rewriteHost: HostRewrite | undefined;
  readonly appendForwardedHost: boolean;
  readonly timeoutMs: number;
  /** Undefined: the connection manager's. */
  readonly idleTimeoutMs: number | undefined;
  /** `max_stream_duration` is there: as in Envoy, `timeout` and `max_grpc_timeout` then count for nothing. */
  readonly replacesTimeout: boolean;
  readonly maxStreamDurationMs: number | undefined;
  readonly grpcTimeoutHeaderMaxMs: number | undefined;
  /** Cap of grpc-timeout; 0: as asked; undefined: grpc-timeout is not looked at. */
  readonly maxGrpcTimeoutMs: number | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  readonly hashPolicies: readonly HashPolicy[];
  readonly priority: 'default' | 'high';
  /** Upper-case types: CONNECT, WEBSOCKET. Undefined: nothing is said. */
  readonly upgrades: ReadonlyMap<string, UpgradePolicy>;
}

export interface UpgradePolicy {
  readonly enabled: boolean;
  /** CONNECT ends here: bytes go to the cluster as they are. */
  readonly terminate: boolean;
}

export interface ChosenCluster {
  readonly name: string | undefined;
  readonly metadataMatch: MetadataStruct | undefined;
  readonly request: HeaderMutations;
  readonly response: HeaderMutations;
  readonly filterConfigs: ReadonlyMap<string, unknown>;
  readonly hostRewrite: string | undefined;
}

export type HostRewrite =
  | { readonly kind: 'literal'; readonly host: string }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'path-regex'; readonly rewrite: (path: string) => string }
  /** The chosen endpoint's hostname. */
  | { readonly kind: 'auto' };

export interface RedirectAction {
  readonly status: number;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  /** Replaces the path, its query too if it has one. */
  readonly path: string | undefined;
  readonly rewritePath: PathRewrite | undefined;
  readonly stripQuery: boolean;
}

export interface MirrorPolicy {
  readonly cluster: (headers: HeaderMap) => string | undefined;
  readonly fraction: number;
  readonly appendShadowSuffix: boolean;
}

const noConfigs: ReadonlyMap<string, unknown> = new Map();

/** A route that was chosen for a request, with the cluster among weighted ones. */
export class ChosenRoute implements RouteInfo {
  readonly route: Route;
  readonly cluster: ChosenCluster | undefined;
  // Absent, not undefined: the interface is for those who test with `in`.
  declare readonly decoratorOperation?: string;
  declare readonly clusterName?: string;

  constructor(route: Route, cluster: ChosenCluster | undefined) {
    this.route = route;
    this.cluster = cluster;
    if (route.decoratorOperation !== undefined) this.decoratorOperation = route.decoratorOperation;
    if (cluster?.name !== undefined) this.clusterName = cluster.name;
  }

  get name(): string {
    return this.route.name;
  }

  get virtualHost(): string {
    return this.route.virtualHost.name;
  }

  get virtualHostMetadata(): Metadata {
    return this.route.virtualHost.metadata;
  }

  get metadata(): Metadata {
    return this.route.metadata;
  }

  filterConfig(filterName: string): unknown {
    const { route } = this;
    const { virtualHost } = route;
    for (const configs of [
      this.cluster?.filterConfigs ?? noConfigs,
      route.filterConfigs,
      virtualHost.filterConfigs,
      virtualHost.table.filterConfigs,
    ]) {
      if (configs.has(filterName)) return configs.get(filterName);
    }
    return undefined;
  }

  /** Most specific level first, so that later levels win an overwrite; reversed by option of the table. */
  mutate(side: 'request' | 'response', headers: HeaderMap, info: StreamInfo): void {
    const { route } = this;
    const { virtualHost } = route;
    const levels = [this.cluster?.[side], route[side], virtualHost[side], virtualHost.table[side]];
    if (virtualHost.table.mostSpecificWins) levels.reverse();
    for (const level of levels) level?.apply(headers, info);
  }
}

/** What the table says for routes that say nothing. */
export interface RouteDefaults {
  readonly virtualHost: VirtualHostScope;
  readonly retry: RetryPolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  readonly maxDirectResponseBytes: number;
}
