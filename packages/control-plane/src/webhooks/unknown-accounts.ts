import type { AuthorizationPolicySpec } from '../sources/policy-objects.ts';

export interface KnownAccounts {
  readonly trustDomains: readonly string[];
  has(namespace: string, serviceAccount: string): boolean;
}

const PRINCIPAL = /^([^/*]+)\/ns\/([^/*]+)\/sa\/([^/*]+)$/;
const MAX_WARNINGS = 5;

/** Accounts that a policy names and nobody has: mostly typing errors, but they may also be created later. */
export function unknownAccountWarnings(
  spec: AuthorizationPolicySpec,
  policyNamespace: string,
  known: KnownAccounts,
): string[] {
  const warnings = new Set<string>();
  const look = (namespace: string, account: string, written: string): void => {
    if (known.has(namespace, account)) return;
    warnings.add(`"${written}": there is no service account ${account} in namespace ${namespace} now`);
  };
  for (const { source = {} } of (spec.rules ?? []).flatMap(({ from = [] }) => from)) {
    for (const written of [...(source.principals ?? []), ...(source.notPrincipals ?? [])]) {
      const [, domain, namespace, account] = PRINCIPAL.exec(written) ?? [];
      if (domain === undefined || namespace === undefined || account === undefined) continue;
      if (!known.trustDomains.includes(domain)) continue;
      look(namespace, account, written);
    }
    for (const written of [...(source.serviceAccounts ?? []), ...(source.notServiceAccounts ?? [])]) {
      const [first = '', second] = written.split('/');
      if (second === undefined) look(policyNamespace, first, written);
      else look(first, second, written);
    }
  }
  return [...warnings].slice(0, MAX_WARNINGS);
}
