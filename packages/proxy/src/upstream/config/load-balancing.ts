import { envoy, type google } from '@weft/api/envoy';
import { structToPlain } from '../../filters/message.ts';
import { invalid, at } from '../../matching/index.ts';
import type { SubsetConfig } from '../host-sets.ts';
import { type BalancePolicy, defaultLeastRequest } from '../load-balancer/index.ts';
import { DEFAULT_PANIC_PERCENT } from '../priority-load.ts';
import { compileSlowStart, type SlowStart } from '../slow-start.ts';

type ClusterMessage = envoy.config.cluster.v3.Cluster.$Properties;
const { LbPolicy } = envoy.config.cluster.v3.Cluster;
const policies = envoy.extensions.load_balancing_policies;

const DEFAULT_MINIMUM_RING_SIZE = 1024;
const MAXIMUM_RING_SIZE = 8 * 1024 * 1024;
const DEFAULT_MAGLEV_TABLE_SIZE = 65_537;
const MAXIMUM_MAGLEV_TABLE_SIZE = 5_000_011;
const TYPE_PREFIX = 'type.googleapis.com/envoy.extensions.load_balancing_policies.';

export interface LoadBalancingConfig {
  /** 'cluster-provided': the cluster itself knows the host (ORIGINAL_DST). */
  readonly policy: BalancePolicy | { readonly kind: 'cluster-provided' };
  readonly panicPercent: number;
  readonly failTrafficOnPanic: boolean;
  readonly localityWeighted: boolean;
  readonly subsets: SubsetConfig | undefined;
  readonly slowStart: SlowStart | undefined;
}

export function compileLoadBalancing(cluster: ClusterMessage): LoadBalancingConfig {
  const common = cluster.commonLbConfig ?? {};
  const useHostname = common.consistentHashingLbConfig?.useHostnameForHashing ?? false;
  const fromList = cluster.loadBalancingPolicy
    ? at('load_balancing_policy', () => policyFromList(cluster.loadBalancingPolicy?.policies ?? []))
    : undefined;
  return {
    policy: fromList?.policy ?? policyFromEnum(cluster, useHostname),
    panicPercent: common.healthyPanicThreshold?.value ?? DEFAULT_PANIC_PERCENT,
    failTrafficOnPanic: common.zoneAwareLbConfig?.failTrafficOnPanic ?? false,
    localityWeighted:
      fromList?.localityWeighted ?? common.localityConfigSpecifier === 'localityWeightedLbConfig',
    subsets: subsetsOf(cluster.lbSubsetConfig),
    slowStart: fromList === undefined ? slowStartOf(cluster) : fromList.slowStart,
  };
}

function slowStartOf(cluster: ClusterMessage): SlowStart | undefined {
  switch (cluster.lbPolicy ?? LbPolicy.ROUND_ROBIN) {
    case LbPolicy.ROUND_ROBIN:
      return at('round_robin_lb_config', () => compileSlowStart(cluster.roundRobinLbConfig?.slowStartConfig));
    case LbPolicy.LEAST_REQUEST:
      return at('least_request_lb_config', () =>
        compileSlowStart(cluster.leastRequestLbConfig?.slowStartConfig),
      );
    default:
      return undefined;
  }
}

function subsetsOf(
  config: envoy.config.cluster.v3.Cluster.LbSubsetConfig.$Properties | null | undefined,
): SubsetConfig | undefined {
  if (config === null || config === undefined) return undefined;
  return {
    selectors: (config.subsetSelectors ?? []).map((selector) => new Set(selector.keys ?? [])),
    fallback: (['none', 'any', 'default'] as const)[config.fallbackPolicy ?? 0] ?? 'none',
    defaultSubset: structToPlain(config.defaultSubset ?? {}),
  };
}

function policyFromEnum(cluster: ClusterMessage, useHostname: boolean): LoadBalancingConfig['policy'] {
  switch (cluster.lbPolicy ?? LbPolicy.ROUND_ROBIN) {
    case LbPolicy.ROUND_ROBIN:
      return { kind: 'round-robin' };
    case LbPolicy.LEAST_REQUEST:
      return at('least_request_lb_config', () => leastRequest(cluster.leastRequestLbConfig ?? {}));
    case LbPolicy.RING_HASH:
      return at('ring_hash_lb_config', () => ringHash(cluster.ringHashLbConfig ?? {}, useHostname));
    case LbPolicy.RANDOM:
      return { kind: 'random' };
    case LbPolicy.MAGLEV:
      return at('maglev_lb_config', () => maglev(cluster.maglevLbConfig ?? {}, useHostname));
    case LbPolicy.CLUSTER_PROVIDED:
      return { kind: 'cluster-provided' };
    default:
      return invalid('needs load_balancing_policy', 'lb_policy');
  }
}

type FoundPolicy = Pick<LoadBalancingConfig, 'policy' | 'localityWeighted' | 'slowStart'>;

/** The first policy of the list that is known here, as Envoy does. */
function policyFromList(
  list: readonly envoy.config.cluster.v3.LoadBalancingPolicy.Policy.$Properties[],
): FoundPolicy {
  for (const { typedExtensionConfig } of list) {
    const any = typedExtensionConfig?.typedConfig;
    const found = any ? policyFromAny(any) : undefined;
    if (found !== undefined) return found;
  }
  const names = list.map((p) => p.typedExtensionConfig?.typedConfig?.type_url ?? '?').join(', ');
  return invalid(`none of [${names}] is supported`, 'policies');
}

function policyFromAny(any: google.protobuf.Any.$Properties): FoundPolicy | undefined {
  const slowStart = undefined;
  const bytes = any.value ?? new Uint8Array();
  const weighted = (locality: { localityConfigSpecifier?: string | null } | null | undefined): boolean =>
    locality?.localityConfigSpecifier === 'localityWeightedLbConfig';
  switch (any.type_url) {
    case `${TYPE_PREFIX}round_robin.v3.RoundRobin`: {
      const m = policies.round_robin.v3.RoundRobin.decode(bytes);
      return {
        policy: { kind: 'round-robin' },
        localityWeighted: weighted(m.localityLbConfig),
        slowStart: compileSlowStart(m.slowStartConfig),
      };
    }
    case `${TYPE_PREFIX}least_request.v3.LeastRequest`: {
      const m = policies.least_request.v3.LeastRequest.decode(bytes);
      return {
        policy: leastRequest(m),
        localityWeighted: weighted(m.localityLbConfig),
        slowStart: compileSlowStart(m.slowStartConfig),
      };
    }
    case `${TYPE_PREFIX}random.v3.Random`: {
      const m = policies.random.v3.Random.decode(bytes);
      return { policy: { kind: 'random' }, localityWeighted: weighted(m.localityLbConfig), slowStart };
    }
    case `${TYPE_PREFIX}ring_hash.v3.RingHash`: {
      const m = policies.ring_hash.v3.RingHash.decode(bytes);
      const useHostname = m.consistentHashingLbConfig?.useHostnameForHashing ?? false;
      return {
        policy: ringHash(m, useHostname),
        localityWeighted: m.localityWeightedLbConfig != null,
        slowStart,
      };
    }
    case `${TYPE_PREFIX}cluster_provided.v3.ClusterProvided`:
      return { policy: { kind: 'cluster-provided' }, localityWeighted: false, slowStart };
    default:
      return undefined;
  }
}

function leastRequest(m: {
  choiceCount?: google.protobuf.UInt32Value.$Properties | null;
  activeRequestBias?: envoy.config.core.v3.RuntimeDouble.$Properties | null;
}): BalancePolicy {
  const choiceCount = m.choiceCount?.value ?? 2;
  if (choiceCount < 2) invalid('must be at least 2', 'choice_count');
  const activeRequestBias = m.activeRequestBias?.defaultValue ?? 1;
  return { ...defaultLeastRequest, kind: 'least-request', choiceCount, activeRequestBias };
}

function ringHash(
  m: {
    minimumRingSize?: google.protobuf.UInt64Value.$Properties | null;
    maximumRingSize?: google.protobuf.UInt64Value.$Properties | null;
    hashFunction?: number | null;
  },
  useHostname: boolean,
): BalancePolicy {
  const minimumRingSize = Number(m.minimumRingSize?.value ?? DEFAULT_MINIMUM_RING_SIZE);
  const maximumRingSize = Number(m.maximumRingSize?.value ?? MAXIMUM_RING_SIZE);
  if (minimumRingSize > maximumRingSize) invalid('is more than maximum_ring_size', 'minimum_ring_size');
  if (maximumRingSize > MAXIMUM_RING_SIZE) invalid(`at most ${MAXIMUM_RING_SIZE}`, 'maximum_ring_size');
  return { kind: 'ring-hash', minimumRingSize, maximumRingSize, useHostname };
}

function maglev(
  m: { tableSize?: google.protobuf.UInt64Value.$Properties | null },
  useHostname: boolean,
): BalancePolicy {
  const tableSize = Number(m.tableSize?.value ?? DEFAULT_MAGLEV_TABLE_SIZE);
  if (tableSize > MAXIMUM_MAGLEV_TABLE_SIZE) invalid(`at most ${MAXIMUM_MAGLEV_TABLE_SIZE}`, 'table_size');
  if (!isPrime(tableSize)) invalid('must be prime', 'table_size');
  return { kind: 'maglev', tableSize, useHostname };
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}
