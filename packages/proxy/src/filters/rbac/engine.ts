import { envoy } from '@weft/api/envoy';
import type { MetadataStruct, StreamInfo } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';
import { compilePermission, some, type StreamPredicate } from './permission.ts';
import { compilePrincipal } from './principal.ts';

export interface Verdict {
  readonly allowed: boolean;
  /** The policy that decided; absent when none matched. */
  readonly policy?: string;
}

/** Decides about one stream by one set of rules. */
export type RbacEngine = (info: StreamInfo) => Verdict;

/**
 * Policies are tried in the order of their names; one matches when any permission and any principal does.
 *
 *   ALLOW: the first match allows, no match denies; no policies at all deny everything.
 *   DENY:  the first match denies, no match allows.
 *   LOG:   always allows; the match is only reported.
 */
export function compileRbac(rules: envoy.config.rbac.v3.RBAC.$Properties): RbacEngine {
  const { Action } = envoy.config.rbac.v3.RBAC;
  const policies = Object.entries(rules.policies ?? {})
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, policy]) => ({ name, matches: at(`policies["${name}"]`, () => compilePolicy(policy)) }));
  const match = (info: StreamInfo): string | undefined => policies.find((p) => p.matches(info))?.name;
  const verdict = (allowed: boolean, policy: string | undefined): Verdict =>
    policy === undefined ? { allowed } : { allowed, policy };

  switch (rules.action ?? Action.ALLOW) {
    case Action.ALLOW:
      return (info) => {
        const policy = match(info);
        return verdict(policy !== undefined, policy);
      };
    case Action.DENY:
      return (info) => {
        const policy = match(info);
        return verdict(policy === undefined, policy);
      };
    case Action.LOG:
      return (info) => verdict(true, match(info));
    default:
      return invalid(`unknown value ${String(rules.action)}`, 'action');
  }
}

function compilePolicy(policy: envoy.config.rbac.v3.Policy.$Properties): StreamPredicate {
  if (policy.condition || policy.checkedCondition) invalid('CEL conditions are not supported', 'condition');
  const { permissions, principals } = policy;
  if (!permissions?.length) invalid('must not be empty', 'permissions');
  if (!principals?.length) invalid('must not be empty', 'principals');
  const permitted = some(permissions.map((p, i) => at(`permissions[${i}]`, () => compilePermission(p))));
  const identified = some(principals.map((p, i) => at(`principals[${i}]`, () => compilePrincipal(p))));
  return (info) => permitted(info) && identified(info);
}

/** The enforced and the shadow rules of one filter, with the metadata that they leave. */
export interface RbacRules {
  readonly enforced?: RbacEngine;
  readonly shadow?: RbacEngine;
  readonly rulesStatPrefix: string;
  readonly shadowStatPrefix: string;
}

export interface RbacConfig {
  readonly rules?: envoy.config.rbac.v3.RBAC.$Properties | null;
  readonly shadowRules?: envoy.config.rbac.v3.RBAC.$Properties | null;
  readonly matcher?: object | null;
  readonly shadowMatcher?: object | null;
  readonly rulesStatPrefix?: string | null;
  readonly shadowRulesStatPrefix?: string | null;
}

export function compileRules(config: RbacConfig): RbacRules {
  if (config.matcher) invalid('matcher trees are not supported', 'matcher');
  if (config.shadowMatcher) invalid('matcher trees are not supported', 'shadow_matcher');
  const { rules, shadowRules } = config;
  return {
    ...(rules ? { enforced: at('rules', () => compileRbac(rules)) } : {}),
    ...(shadowRules ? { shadow: at('shadow_rules', () => compileRbac(shadowRules)) } : {}),
    rulesStatPrefix: config.rulesStatPrefix ?? '',
    shadowStatPrefix: config.shadowRulesStatPrefix ?? '',
  };
}

export function shadowMetadata(rules: RbacRules, verdict: Verdict): MetadataStruct {
  const prefix = rules.shadowStatPrefix;
  return {
    [`${prefix}shadow_engine_result`]: result(verdict),
    ...(verdict.policy === undefined ? {} : { [`${prefix}shadow_effective_policy_id`]: verdict.policy }),
  };
}

export function enforcedMetadata(verdict: Verdict): MetadataStruct {
  return {
    enforced_engine_result: result(verdict),
    ...(verdict.policy === undefined ? {} : { enforced_effective_policy_id: verdict.policy }),
  };
}

/** RESPONSE_CODE_DETAILS, and what a TCP log shows as termination details. */
export function denialDetails(verdict: Verdict): string {
  // White space would split the field in two for every log parser.
  return `rbac_access_denied_matched_policy[${(verdict.policy ?? 'none').replace(/\s/g, '_')}]`;
}

function result(verdict: Verdict): string {
  return verdict.allowed ? 'allowed' : 'denied';
}
