import { resources, type Condition, type KubernetesObject, type ResourceType } from '@weft/kubernetes';
import type { CheckResult } from './checks.ts';

interface PolicyView extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Whose conditions say what becomes of them. The API server has checked what it stores against their schemas. */
export const policyTypes = [
  resources.authorizationPolicies as ResourceType<PolicyView>,
  resources.requestAuthentications as ResourceType<PolicyView>,
] as const;

/** Policies that are not in force as they are written: by the control plane's word. Undefined where there are none. */
export function checkPolicies(policies: readonly PolicyView[]): CheckResult | undefined {
  if (policies.length === 0) return undefined;
  const faults = policies.flatMap((policy) => {
    const fault = policy.status?.conditions?.find(
      ({ status, reason }) => status !== 'True' || reason !== 'Accepted',
    );
    const { namespace, name } = policy.metadata;
    return fault === undefined
      ? []
      : [`${policy.kind} ${namespace}/${name}: ${fault.reason}: ${fault.message}`];
  });
  const name = `${policies.length - faults.length} of ${policies.length} policies are in force as written`;
  if (faults.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'warning',
    message: faults.join('\n'),
    next: 'weft kubectl describe shows the condition; a rule on HTTP belongs into a policy with targetRefs to a waypoint or its service.',
  };
}
