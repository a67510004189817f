import { ipFamily, type IpAddress } from '../state/ip-address.ts';
import type { RoutingScope, Service, Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/** A number from 0 (included) to 1 (excluded), as Math.random. */
export type Random = () => number;

/** Waypoints may terminate a port that their service doesn't list. */
export type Resolution = 'standard' | 'waypoint';

export interface Endpoint {
  readonly workload: Workload;
  /** The pod's port; undefined only if nothing tells it. */
  readonly port: number | undefined;
}

/** Picks an endpoint of a service for a client; undefined if none will do. */
export function selectEndpoint(
  store: WorkloadStore,
  service: Service,
  source: Workload,
  servicePort: number,
  resolution: Resolution,
  random: Random,
): Endpoint | undefined {
  const eligible = [...store.endpoints(service.key)].filter((w) =>
    isEligible(w, service, source, servicePort, resolution),
  );
  const workload = weightedPick(
    preferredEndpoints(eligible, service, source),
    ({ capacity }) => capacity,
    random,
  );
  return workload && { workload, port: endpointPort(workload, service, servicePort) };
}

function isEligible(
  workload: Workload,
  service: Service,
  source: Workload,
  servicePort: number,
  resolution: Resolution,
): boolean {
  if (!workload.isHealthy && service.loadBalancer?.healthPolicy !== 'AllowAll') return false;
  const isReachable =
    workload.addresses.length > 0 ||
    workload.hostname !== '' ||
    (workload.network !== source.network && workload.networkGateway !== undefined);
  if (!isReachable) return false;
  if (resolution === 'waypoint' && workload.applicationTunnel !== undefined) return true;
  const target = service.ports.get(servicePort);
  if (target === undefined) return false;
  // 0 is a named port, which each endpoint maps to a number of its own.
  return target !== 0 || workload.services.get(service.key)?.has(servicePort) === true;
}

/** The endpoint's own mapping, the service's, or the port itself where an application tunnel takes all. */
export function endpointPort(workload: Workload, service: Service, servicePort: number): number | undefined {
  const own = workload.services.get(service.key)?.get(servicePort);
  if (own !== undefined && own !== 0) return own;
  const shared = service.ports.get(servicePort);
  if (shared !== undefined && shared !== 0) return shared;
  return (workload.applicationTunnel?.port ?? 0) === 0 ? undefined : servicePort;
}

function preferredEndpoints(
  endpoints: readonly Workload[],
  service: Service,
  source: Workload,
): readonly Workload[] {
  const { mode = 'Standard', routingPreferences = [] } = service.loadBalancer ?? {};
  switch (mode) {
    case 'Strict':
      return endpoints.filter((w) => routingPreferences.every((scope) => inScope(scope, source, w)));
    case 'Failover': {
      const ranks = endpoints.map((w) => failoverRank(routingPreferences, source, w));
      const best = ranks.reduce((a, b) => Math.max(a, b), 0); // there may be more than a call takes arguments
      return endpoints.filter((_, i) => ranks[i] === best);
    }
    case 'Standard':
    case 'Passthrough':
      return endpoints;
  }
}

/**
 * How many scopes in a row hold. With NETWORK first, any endpoint of the own network outranks all others, and
 * those of other networks are still ordered by the scopes that follow.
 */
export function failoverRank(
  preferences: readonly RoutingScope[],
  source: Workload,
  endpoint: Workload,
): number {
  let rank = 0;
  for (const [i, scope] of preferences.entries()) {
    const holds = inScope(scope, source, endpoint);
    if (i === 0 && scope === 'Network') rank += holds ? preferences.length : 0;
    else if (holds) rank++;
    else break;
  }
  return rank;
}

function inScope(scope: RoutingScope, a: Workload, b: Workload): boolean {
  switch (scope) {
    case 'Region':
      return a.locality.region === b.locality.region;
    case 'Zone':
      return a.locality.zone === b.locality.zone;
    case 'Subzone':
      return a.locality.subzone === b.locality.subzone;
    case 'Node':
      return a.node === b.node;
    case 'Cluster':
      return a.clusterId === b.clusterId;
    case 'Network':
      return a.network === b.network;
  }
}

/** One of the candidates by weight; undefined if there is none or all weigh nothing. */
export function weightedPick<T>(
  candidates: readonly T[],
  weight: (candidate: T) => number,
  random: Random,
): T | undefined {
  const total = candidates.reduce((sum, candidate) => sum + weight(candidate), 0);
  if (total <= 0) return undefined;
  let left = random() * total;
  for (const candidate of candidates) {
    left -= weight(candidate);
    if (left < 0) return candidate;
  }
  return candidates.findLast((candidate) => weight(candidate) > 0);
}

/** Which of a workload's addresses to use for a destination of this address; undefined if it has none. */
export function selectAddress(
  workload: Workload,
  service: Service | undefined,
  target: IpAddress,
): IpAddress | undefined {
  if (workload.addresses.includes(target)) return target;
  const families = service?.ipFamilies;
  const allowed = workload.addresses.filter(
    (ip) => families === undefined || families === 'Dual' || (families === 'IPv4') === (ipFamily(ip) === 4),
  );
  return allowed.find((ip) => ipFamily(ip) === ipFamily(target)) ?? allowed[0];
}
