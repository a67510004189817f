import type { envoy } from '@weft/api/envoy';
import { durationMs } from '../../filters/message.ts';
import { at, invalid } from '../../matching/index.ts';
import {
  type CircuitBreakerThresholds,
  defaultThresholds,
  type RoutingPriority,
} from '../circuit-breaker.ts';
import { defaultOutlierDetection, type OutlierDetectionConfig } from '../outlier-config.ts';

type CircuitBreakersMessage = envoy.config.cluster.v3.CircuitBreakers.$Properties;
type Thresholds = envoy.config.cluster.v3.CircuitBreakers.Thresholds.$Properties;
type OutlierMessage = envoy.config.cluster.v3.OutlierDetection.$Properties;

const DEFAULT_BUDGET_PERCENT = 20;
const DEFAULT_MIN_RETRY_CONCURRENCY = 3;

export function compileThresholds(
  message: CircuitBreakersMessage | null | undefined,
): Readonly<Record<RoutingPriority, CircuitBreakerThresholds>> {
  const of = (priority: number): CircuitBreakerThresholds => {
    const found = message?.thresholds?.find((t) => (t.priority ?? 0) === priority);
    return found === undefined ? defaultThresholds : thresholds(found);
  };
  return { default: of(0), high: of(1) };
}

function thresholds(t: Thresholds): CircuitBreakerThresholds {
  const { retryBudget } = t;
  return {
    maxConnections: t.maxConnections?.value ?? defaultThresholds.maxConnections,
    maxPendingRequests: t.maxPendingRequests?.value ?? defaultThresholds.maxPendingRequests,
    maxRequests: t.maxRequests?.value ?? defaultThresholds.maxRequests,
    maxRetries: t.maxRetries?.value ?? defaultThresholds.maxRetries,
    maxConnectionPools: t.maxConnectionPools?.value ?? defaultThresholds.maxConnectionPools,
    retryBudget:
      retryBudget === null || retryBudget === undefined
        ? undefined
        : {
            budgetPercent: retryBudget.budgetPercent?.value ?? DEFAULT_BUDGET_PERCENT,
            minRetryConcurrency: retryBudget.minRetryConcurrency?.value ?? DEFAULT_MIN_RETRY_CONCURRENCY,
          },
  };
}

export function compileOutlierDetection(
  message: OutlierMessage | null | undefined,
): OutlierDetectionConfig | undefined {
  if (message === null || message === undefined) return undefined;
  const d = defaultOutlierDetection;
  const intervalMs = at('interval', () => durationMs(message.interval)) ?? d.intervalMs;
  if (intervalMs === 0) invalid('must be greater than 0', 'interval');
  const baseEjectionTimeMs =
    at('base_ejection_time', () => durationMs(message.baseEjectionTime)) ?? d.baseEjectionTimeMs;
  return {
    consecutive5xx: message.consecutive_5xx?.value ?? d.consecutive5xx,
    enforcingConsecutive5xx: message.enforcingConsecutive_5xx?.value ?? d.enforcingConsecutive5xx,
    consecutiveGatewayFailure: message.consecutiveGatewayFailure?.value ?? d.consecutiveGatewayFailure,
    enforcingConsecutiveGatewayFailure:
      message.enforcingConsecutiveGatewayFailure?.value ?? d.enforcingConsecutiveGatewayFailure,
    consecutiveLocalOriginFailure:
      message.consecutiveLocalOriginFailure?.value ?? d.consecutiveLocalOriginFailure,
    enforcingConsecutiveLocalOriginFailure:
      message.enforcingConsecutiveLocalOriginFailure?.value ?? d.enforcingConsecutiveLocalOriginFailure,
    splitExternalLocalOriginErrors: message.splitExternalLocalOriginErrors ?? false,
    intervalMs,
    baseEjectionTimeMs,
    maxEjectionTimeMs:
      at('max_ejection_time', () => durationMs(message.maxEjectionTime)) ??
      Math.max(d.maxEjectionTimeMs, baseEjectionTimeMs),
    maxEjectionTimeJitterMs:
      at('max_ejection_time_jitter', () => durationMs(message.maxEjectionTimeJitter)) ??
      d.maxEjectionTimeJitterMs,
    maxEjectionPercent: Math.min(100, message.maxEjectionPercent?.value ?? d.maxEjectionPercent),
    alwaysEjectOneHost: message.alwaysEjectOneHost?.value ?? d.alwaysEjectOneHost,
    successRateMinimumHosts: message.successRateMinimumHosts?.value ?? d.successRateMinimumHosts,
    successRateRequestVolume: message.successRateRequestVolume?.value ?? d.successRateRequestVolume,
    successRateStdevFactor: message.successRateStdevFactor?.value ?? d.successRateStdevFactor,
    enforcingSuccessRate: message.enforcingSuccessRate?.value ?? d.enforcingSuccessRate,
    failurePercentageThreshold: message.failurePercentageThreshold?.value ?? d.failurePercentageThreshold,
    failurePercentageMinimumHosts:
      message.failurePercentageMinimumHosts?.value ?? d.failurePercentageMinimumHosts,
    failurePercentageRequestVolume:
      message.failurePercentageRequestVolume?.value ?? d.failurePercentageRequestVolume,
    enforcingFailurePercentage: message.enforcingFailurePercentage?.value ?? d.enforcingFailurePercentage,
  };
}
