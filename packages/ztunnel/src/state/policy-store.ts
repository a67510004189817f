import type { Policy, PolicyKey } from './policy.ts';
import type { Workload } from './workload.ts';

/** The policies that apply to a workload, and the names it lists that nothing is known about. */
export interface CandidatePolicies {
  readonly policies: readonly Policy[];
  readonly unknown: readonly string[];
}

export class PolicyStore {
  private readonly policies = new Map<PolicyKey, Policy>();
  /** Those of scope NAMESPACE by their namespace, and of scope GLOBAL under the empty one. */
  private readonly byNamespace = new Map<string, Map<PolicyKey, Policy>>();

  upsert(policy: Policy): void {
    this.remove(policy.key);
    this.policies.set(policy.key, policy);
    const namespace = indexNamespace(policy);
    if (namespace === undefined) return;
    const present = this.byNamespace.get(namespace);
    if (present === undefined) this.byNamespace.set(namespace, new Map([[policy.key, policy]]));
    else present.set(policy.key, policy);
  }

  remove(key: PolicyKey): boolean {
    const old = this.policies.get(key);
    if (old === undefined) return false;
    this.policies.delete(key);
    const namespace = indexNamespace(old);
    const present = namespace === undefined ? undefined : this.byNamespace.get(namespace);
    present?.delete(key);
    if (namespace !== undefined && present?.size === 0) this.byNamespace.delete(namespace);
    return true;
  }

  candidates({ namespace, authorizationPolicies }: Workload): CandidatePolicies {
    const policies = new Map<PolicyKey, Policy>([
      ...(this.byNamespace.get('') ?? []),
      ...(this.byNamespace.get(namespace) ?? []),
    ]);
    const unknown: string[] = [];
    for (const name of authorizationPolicies) {
      const policy = this.policies.get(name as PolicyKey); // a name that isn't one is simply not found
      if (policy === undefined) unknown.push(name);
      else policies.set(policy.key, policy);
    }
    return { policies: [...policies.values()], unknown };
  }

  all(): Iterable<Policy> {
    return this.policies.values();
  }

  get size(): number {
    return this.policies.size;
  }
}

function indexNamespace({ scope, namespace }: Policy): string | undefined {
  if (scope === 'Global') return '';
  // A namespace-scoped policy without a namespace would apply to the whole mesh.
  return scope === 'Namespace' && namespace !== '' ? namespace : undefined;
}
