/** What a balancer needs to know of a host. `Host` is one; tests use less. */
export interface Balanced {
  /** 1 and up. */
  readonly weight: number;
  /** Of a host that may be starting slowly: what is left of its weight now. */
  readonly currentWeight?: number | undefined;
  /** Requests (or TCP connections) that run there now. */
  readonly activeRequests: number;
  /** What consistent hashing hashes: the address, or the host name when the policy says so. */
  readonly hashKey: string;
}

export interface BalanceContext {
  /** Of the route's hash policy; consistent hashing without one picks at random. */
  readonly hash?: bigint | undefined;
}

/** Chooses among a fixed set of hosts; a changed set gets a new balancer. */
export interface LoadBalancer<T extends Balanced> {
  /** Undefined only for an empty set. */
  pick(context: BalanceContext): T | undefined;
}

/** Uniform in [0, 1). */
export type Random = () => number;

export type BalancePolicy =
  | { readonly kind: 'round-robin' }
  | {
      readonly kind: 'least-request';
      /** Hosts that are compared for one choice. */
      readonly choiceCount: number;
      readonly activeRequestBias: number;
    }
  | { readonly kind: 'random' }
  | {
      readonly kind: 'ring-hash';
      readonly minimumRingSize: number;
      readonly maximumRingSize: number;
      readonly useHostname: boolean;
    }
  | { readonly kind: 'maglev'; readonly tableSize: number; readonly useHostname: boolean };

export const defaultLeastRequest: BalancePolicy = {
  kind: 'least-request',
  choiceCount: 2,
  activeRequestBias: 1,
};
