import { DEFAULT_TRUST_DOMAIN } from '@weft/api';
import type {
  AuthorizationPolicySpec,
  PolicyCondition,
  PolicyObject,
  PolicySource,
} from '../sources/policy-objects.ts';
import type { Mesh } from './mesh.ts';

type Strings = readonly string[];

/** The mesh's own trust domain, then those that it has had or shares. */
export function trustDomains({
  trustDomain,
  trustDomainAliases,
}: Pick<Mesh, 'trustDomain' | 'trustDomainAliases'>): Strings {
  return [...new Set([trustDomain, ...trustDomainAliases])];
}

/**
 * The policy with every principal of one of the mesh's trust domains, or of `cluster.local`, which stands for them,
 * written for each of them. Both layers convert the result, so they agree on who is meant. The same object where
 * nothing changes.
 */
export function expandTrustDomains(
  policy: PolicyObject<AuthorizationPolicySpec>,
  domains: Strings,
): PolicyObject<AuthorizationPolicySpec> {
  const { rules } = policy.spec;
  const onlyDefault = domains.every((domain) => domain === DEFAULT_TRUST_DOMAIN);
  if (rules === undefined || onlyDefault) return policy;
  const expanded = rules.map((rule) => ({
    ...rule,
    ...(rule.from && { from: rule.from.map(({ source }) => (source ? { source: ofSource(source) } : {})) }),
    ...(rule.when && { when: rule.when.map(ofCondition) }),
  }));
  return { ...policy, spec: { ...policy.spec, rules: expanded } };

  function all(principals: Strings): Strings {
    return [...new Set(principals.flatMap((principal) => equivalents(principal, domains)))];
  }

  function ofSource(source: PolicySource): PolicySource {
    const { principals, notPrincipals } = source;
    return {
      ...source,
      ...(principals && { principals: all(principals) }),
      ...(notPrincipals && { notPrincipals: all(notPrincipals) }),
    };
  }

  function ofCondition(condition: PolicyCondition): PolicyCondition {
    const { key, values, notValues } = condition;
    if (key !== 'source.principal') return condition;
    return {
      ...condition,
      ...(values && { values: all(values) }),
      ...(notValues && { notValues: all(notValues) }),
    };
  }
}

/** `*`, and a beginning that ends within the trust domain, have no slash and mean what they say. */
function equivalents(principal: string, domains: Strings): Strings {
  const slash = principal.indexOf('/');
  if (slash < 0) return [principal];
  const domain = principal.slice(0, slash);
  const rest = principal.slice(slash);
  if (domain.startsWith('*')) {
    const isMeant = (one: string): boolean => one.endsWith(domain.slice(1));
    if (!domains.some(isMeant)) return [principal];
    return [principal, ...domains.filter((one) => !isMeant(one)).map((one) => one + rest)];
  }
  return domain === DEFAULT_TRUST_DOMAIN || domains.includes(domain)
    ? domains.map((one) => one + rest)
    : [principal];
}
