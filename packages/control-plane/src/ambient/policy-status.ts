import type { ConvertedPolicy } from './authorization-policies.ts';

/** The condition that tells a user what becomes of a policy on layer 4. */
export interface ZtunnelAccepted {
  readonly status: 'True' | 'False';
  readonly reason: 'Accepted' | 'UnsupportedValue';
  readonly message: string;
}

/** Undefined for policies with target references, about which waypoints report. */
export function ztunnelAccepted(policy: ConvertedPolicy): ZtunnelAccepted | undefined {
  if (policy.kind === 'not enforced') {
    switch (policy.why) {
      case 'for waypoints':
        return undefined;
      case 'dry run':
        return refused('ztunnel does not evaluate policies with the annotation istio.io/dry-run');
      case 'action':
        return refused(`ztunnel does not support the ${policy.action} action`);
    }
  }
  const warning = policyWarning(policy);
  if (warning !== undefined) return { status: 'True', reason: 'UnsupportedValue', message: warning };
  const dryRun = policy.authorization.dryRun === true ? ', in dry run: what it would do is not done' : '';
  return { status: 'True', reason: 'Accepted', message: `attached to ztunnel${dryRun}` };
}

/** What an author should know though the policy is valid; undefined when it does what it says. */
export function policyWarning(policy: ConvertedPolicy): string | undefined {
  if (policy.kind !== 'enforced') return undefined;
  const { unsupported, ineffectiveRules, authorization } = policy;
  const attributes = unsupported.join(', ');
  if (ineffectiveRules.length > 0) {
    const all = ineffectiveRules.length === (authorization.rules ?? []).length;
    const which = all ? 'this DENY policy' : `rule ${ineffectiveRules.join(', ')} of this DENY policy`;
    const why = attributes === '' ? '' : ` because ztunnel cannot match ${attributes}`;
    return `${which} denies nothing${why}; attach it to a waypoint with targetRefs to enforce it`;
  }
  if (unsupported.length === 0) return undefined;
  // Action 0 is ALLOW, which decoders leave out.
  return (authorization.action ?? 0) === 0
    ? `ztunnel cannot match ${attributes}: rules with them are left out, so less is allowed than written`
    : `ztunnel cannot match ${attributes}: they are ignored, so more is denied than written`;
}

function refused(message: string): ZtunnelAccepted {
  return { status: 'False', reason: 'UnsupportedValue', message };
}
