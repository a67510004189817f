import { describe, expect, it } from '@jest/globals';
import type { Condition } from '@weft/kubernetes';
import { checkPolicies } from './policy-checks.ts';

const policy = (name: string, ...conditions: Omit<Condition, 'type'>[]) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name, namespace: 'shop' },
  status: { conditions: conditions.map((c) => ({ type: 'ZtunnelAccepted', ...c })) },
});

describe('the policies of a mesh', () => {
  it('are nothing to speak of where there are none', () => {
    expect(checkPolicies([])).toBeUndefined();
  });

  it('are in force when the control plane took them whole, or has not looked at them yet', () => {
    const accepted = policy('a', { status: 'True', reason: 'Accepted', message: 'attached to ztunnel' });
    expect(checkPolicies([accepted, policy('new')])).toEqual({
      name: '2 of 2 policies are in force as written',
      status: 'ok',
    });
  });

  it.each<[string, Omit<Condition, 'type'>]>([
    ['a part of them is left out', { status: 'True', reason: 'UnsupportedValue', message: 'no methods' }],
    ['they are refused', { status: 'False', reason: 'TargetNotFound', message: 'no service' }],
  ])('are named with the reason when %s', (_case, condition) => {
    expect(checkPolicies([policy('l7', condition)])).toMatchObject({
      name: '0 of 1 policies are in force as written',
      status: 'warning',
      message: `AuthorizationPolicy shop/l7: ${condition.reason}: ${condition.message}`,
    });
  });
});
