import type { envoy } from '@weft/api/envoy';
import type { CompileContext } from '../../engine/types.ts';
import { durationMs, fraction } from '../../filters/message.ts';
import { at } from '../../matching/index.ts';
import { compileDestination } from './compile-destination.ts';
import { compilePathRewrite } from './compile-path-rewrite.ts';
import { compileHashPolicy } from './hash-policy.ts';
import { regexRewrite } from './path-rewrite.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import type { ForwardAction, HostRewrite, MirrorPolicy, RouteDefaults, UpgradePolicy } from './route.ts';

type RouteActionConfig = envoy.config.route.v3.RouteAction.$Properties;
type RouteMatchConfig = envoy.config.route.v3.RouteMatch.$Properties;

const DEFAULT_TIMEOUT_MS = 15_000;

/** A route that forwards to a cluster. */
export function compileForward(
  config: RouteActionConfig,
  match: RouteMatchConfig,
  defaults: RouteDefaults,
  context: CompileContext,
): ForwardAction {
  const { maxStreamDuration } = config;
  const mirrors = (config.requestMirrorPolicies ?? []).map((policy, i) =>
    at(`request_mirror_policies[${i}]`, () => compileMirror(policy)),
  );
  const grpcHeaderMax = maxStreamDuration?.grpcTimeoutHeaderMax;
  return {
    cluster: compileDestination(config, context),
    clusterNotFoundStatus:
      config.clusterNotFoundResponseCode === 1 ? 404 : config.clusterNotFoundResponseCode === 2 ? 500 : 503,
    rewritePath: compilePathRewrite(config, match),
    rewriteHost: compileHostRewrite(config),
    appendForwardedHost: config.appendXForwardedHost === true,
    timeoutMs: at('timeout', () => durationMs(config.timeout)) ?? DEFAULT_TIMEOUT_MS,
    idleTimeoutMs: durationMs(config.idleTimeout),
    replacesTimeout: Boolean(maxStreamDuration),
    maxStreamDurationMs: durationMs(maxStreamDuration?.maxStreamDuration),
    grpcTimeoutHeaderMaxMs: durationMs(grpcHeaderMax),
    maxGrpcTimeoutMs: durationMs(config.maxGrpcTimeout),
    retry: config.retryPolicy
      ? at('retry_policy', () => compileRetryPolicy(config.retryPolicy ?? {}))
      : defaults.retry,
    mirrors: mirrors.length > 0 ? mirrors : defaults.mirrors,
    hashPolicies: (config.hashPolicy ?? []).flatMap((policy, i) =>
      at(`hash_policy[${i}]`, () => compileHashPolicy(policy) ?? []),
    ),
    priority: config.priority === 1 ? 'high' : 'default',
    upgrades: compileUpgrades(config),
  };
}

function compileHostRewrite(config: RouteActionConfig): HostRewrite | undefined {
  switch (config.hostRewriteSpecifier) {
    case 'hostRewriteLiteral':
      return config.hostRewriteLiteral ? { kind: 'literal', host: config.hostRewriteLiteral } : undefined;
    case 'autoHostRewrite':
      return config.autoHostRewrite?.value === true ? { kind: 'auto' } : undefined;
    case 'hostRewriteHeader':
      return { kind: 'header', name: config.hostRewriteHeader ?? '' };
    case 'hostRewritePathRegex':
      return {
        kind: 'path-regex',
        rewrite: at('host_rewrite_path_regex', () => regexRewrite(config.hostRewritePathRegex ?? {})),
      };
    default:
      return undefined;
  }
}

function compileUpgrades(config: RouteActionConfig): ReadonlyMap<string, UpgradePolicy> {
  const upgrades = new Map<string, UpgradePolicy>();
  for (const upgrade of config.upgradeConfigs ?? []) {
    upgrades.set((upgrade.upgradeType ?? '').toUpperCase(), {
      enabled: upgrade.enabled?.value !== false,
      terminate: upgrade.connectConfig !== undefined && upgrade.connectConfig !== null,
    });
  }
  return upgrades;
}

export function compileMirror(
  config: envoy.config.route.v3.RouteAction.RequestMirrorPolicy.$Properties,
): MirrorPolicy {
  const { cluster, clusterHeader, runtimeFraction } = config;
  return {
    cluster: clusterHeader ? (headers) => headers.get(clusterHeader) : () => cluster || undefined,
    fraction: runtimeFraction ? fraction(runtimeFraction.defaultValue) : 1,
    appendShadowSuffix: config.disableShadowHostSuffixAppend !== true,
  };
}
