import { istio } from '@weft/api/workload';
import type { Labels } from '@weft/collections';
import {
  type AuthorizationPolicySpec,
  type PolicyObject,
  type PolicyRule,
  isDryRun,
  selectorLabels,
} from '../sources/policy-objects.ts';
import { type ConvertedMatch, convertCondition, convertOperation, convertSource } from './policy-matches.ts';
import { targetsOf } from './policy-targets.ts';

const { Action, Scope } = istio.security;
type AuthorizationMessage = istio.security.Authorization.$Shape;
type RuleMessage = istio.security.Rule.$Shape;

export type ConvertedPolicy =
  | {
      readonly kind: 'enforced';
      readonly authorization: AuthorizationMessage;
      /** Undefined for a policy of a whole namespace or mesh, which workloads don't list. */
      readonly selector: Labels | undefined;
      /** The selector looks at every namespace, not only the policy's own. */
      readonly everywhere: boolean;
      /** Fields and `when` keys that layer 4 cannot see, sorted. */
      readonly unsupported: readonly string[];
      /** Rules of a DENY that can no longer match anything, by position. */
      readonly ineffectiveRules: readonly number[];
    }
  | { readonly kind: 'not enforced'; readonly why: 'for waypoints' }
  | { readonly kind: 'not enforced'; readonly why: 'dry run' }
  | { readonly kind: 'not enforced'; readonly why: 'action'; readonly action: string };

/**
 * What ztunnel can enforce of an AuthorizationPolicy. It sees connections, not requests, so:
 * an ALLOW rule that asks about requests is left out whole, and the policy allows less; a DENY rule loses those
 * fields and denies more, unless a clause is left with nothing to match, and then it denies nothing.
 */
export function convertAuthorizationPolicy(
  policy: PolicyObject<AuthorizationPolicySpec>,
  rootNamespace: string,
  o: { readonly sendDryRun?: boolean } = {},
): ConvertedPolicy {
  const { namespace, name, spec } = policy;
  if (targetsOf(spec).length > 0) {
    return { kind: 'not enforced', why: 'for waypoints' };
  }
  const { action = 'ALLOW' } = spec;
  if (action !== 'ALLOW' && action !== 'DENY') return { kind: 'not enforced', why: 'action', action };
  const dryRun = isDryRun(policy);
  // A data plane that doesn't know the field would enforce the policy.
  if (dryRun && o.sendDryRun !== true) return { kind: 'not enforced', why: 'dry run' };

  const labels = selectorLabels(spec.selector);
  const selector = Object.keys(labels).length === 0 ? undefined : labels;
  const everywhere = namespace === rootNamespace;
  const converted = (spec.rules ?? []).map((rule) => convertRule(rule, namespace));
  const rules =
    action === 'ALLOW' ? converted.filter(({ unsupported }) => unsupported.length === 0) : converted;
  return {
    kind: 'enforced',
    authorization: {
      name,
      namespace,
      scope: selector !== undefined ? Scope.WORKLOAD_SELECTOR : everywhere ? Scope.GLOBAL : Scope.NAMESPACE,
      action: action === 'ALLOW' ? Action.ALLOW : Action.DENY,
      rules: rules.map(({ message }) => message),
      ...(dryRun ? { dryRun } : {}),
    },
    selector,
    everywhere,
    unsupported: [...new Set(converted.flatMap(({ unsupported }) => unsupported))].sort(),
    ineffectiveRules:
      action === 'DENY' ? converted.flatMap(({ effective }, position) => (effective ? [] : [position])) : [],
  };
}

interface ConvertedRule {
  readonly message: RuleMessage;
  readonly unsupported: readonly string[];
  readonly effective: boolean;
}

function convertRule(rule: PolicyRule, namespace: string): ConvertedRule {
  const clauses: (readonly ConvertedMatch[])[] = [];
  if (rule.to !== undefined && rule.to.length > 0) {
    clauses.push(rule.to.map(({ operation = {} }) => convertOperation(operation)));
  }
  if (rule.from !== undefined && rule.from.length > 0) {
    clauses.push(rule.from.map(({ source = {} }) => convertSource(source, namespace)));
  }
  for (const condition of rule.when ?? []) clauses.push([convertCondition(condition)]);
  return {
    message: { clauses: clauses.map((matches) => ({ matches: matches.map(({ match }) => match) })) },
    unsupported: clauses.flat().flatMap(({ unsupported }) => unsupported),
    effective: clauses.every((matches) => matches.some(({ match }) => Object.keys(match).length > 0)),
  };
}
