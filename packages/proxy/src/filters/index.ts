import type { HttpFilterFactory, NetworkFilterFactory } from '../engine/types.ts';
import { cors } from './cors.ts';
import { extAuthz } from './ext-authz/http-filter.ts';
import { httpDynamicForwardProxy, sniDynamicForwardProxy } from './dynamic-forward-proxy.ts';
import { fault } from './fault.ts';
import { grpcStats } from './grpc-stats.ts';
import { headerMutation } from './header-mutation.ts';
import { peerMetadata } from './istio/peer-metadata.ts';
import { httpIstioStats, networkIstioStats } from './istio/stats-filter.ts';
import { jwtAuthn } from './jwt-authn/http-filter.ts';
import { localRateLimit } from './local-rate-limit.ts';
import { httpRbac } from './rbac/http-filter.ts';
import { networkRbac } from './rbac/network-filter.ts';
import { httpSetFilterState, networkSetFilterState } from './set-filter-state.ts';

/** The HTTP filters of this folder; the router is the HTTP part's. */
export const httpFilters: readonly HttpFilterFactory[] = [
  cors,
  extAuthz,
  fault,
  grpcStats,
  headerMutation,
  httpDynamicForwardProxy,
  httpIstioStats,
  httpRbac,
  httpSetFilterState,
  jwtAuthn,
  localRateLimit,
  peerMetadata,
];

/** The network filters that aren't terminal. */
export const networkFilters: readonly NetworkFilterFactory[] = [
  networkIstioStats,
  networkRbac,
  networkSetFilterState,
  sniDynamicForwardProxy,
];

/**
 * Filters by the type URL of their configuration. What isn't in it is refused with the resource (NACK): a filter that
 * is silently left out could be the one that enforces a policy.
 */
export class FilterRegistry {
  private readonly http = new Map<string, HttpFilterFactory>();
  private readonly network = new Map<string, NetworkFilterFactory>();

  constructor(
    http: readonly HttpFilterFactory[] = httpFilters,
    network: readonly NetworkFilterFactory[] = networkFilters,
  ) {
    for (const factory of http) this.addHttp(factory);
    for (const factory of network) this.addNetwork(factory);
  }

  addHttp(factory: HttpFilterFactory): this {
    for (const url of [...factory.typeUrls, ...(factory.routeTypeUrls ?? [])]) this.http.set(url, factory);
    return this;
  }

  addNetwork(factory: NetworkFilterFactory): this {
    for (const url of factory.typeUrls) this.network.set(url, factory);
    return this;
  }

  /** By the type of the filter's own or of its per-route configuration. */
  httpFilter(typeUrl: string): HttpFilterFactory | undefined {
    return this.http.get(typeUrl);
  }

  networkFilter(typeUrl: string): NetworkFilterFactory | undefined {
    return this.network.get(typeUrl);
  }

  /** For admin's server_info and the node's extensions. */
  names(): { readonly http: readonly string[]; readonly network: readonly string[] } {
    const names = (factories: Iterable<{ readonly name: string }>): readonly string[] =>
      [...new Set([...factories].map((f) => f.name))].sort();
    return { http: names(this.http.values()), network: names(this.network.values()) };
  }
}
