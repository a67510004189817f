import { parsePort } from '../ambient/policy-matches.ts';
import { peerAuthenticationSelector } from '../ambient/peer-authentications.ts';
import type { PeerAuthenticationSpec, PolicyObject } from '../sources/policy-objects.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';
import { checkSelector } from './validate-selection.ts';

const modes: readonly string[] = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'];

/** What the CRD's schema can't say about a PeerAuthentication. */
export function validatePeerAuthentication(
  policy: PolicyObject<PeerAuthenticationSpec>,
  rootNamespace: string,
): Verdict {
  const errors: FieldError[] = [];
  const warnings: string[] = [];
  const spec = new FieldChecks('spec', errors);
  const { selector, mtls, portLevelMtls } = policy.spec;
  const selects = peerAuthenticationSelector(policy) !== undefined;

  checkSelector(spec, selector);
  const checkMode = (at: FieldChecks, mode: string): void => {
    if (!modes.includes(mode)) at.refuse(`"${mode}" is none of ${modes.join(', ')}`);
    if (mode === 'DISABLE')
      warnings.push('DISABLE is the same as PERMISSIVE in ambient mode: mTLS stays accepted');
  };
  if (mtls?.mode !== undefined) checkMode(spec.at('mtls').at('mode'), mtls.mode);
  if (portLevelMtls !== undefined && !selects) {
    spec.at('portLevelMtls').refuse('needs a selector with labels: ports belong to particular workloads');
  }
  for (const [port, { mode }] of Object.entries(portLevelMtls ?? {})) {
    const at = spec.at('portLevelMtls').at(port);
    if (parsePort(port) === undefined) at.refuse('is not a port from 1 to 65535');
    if (mode !== undefined) checkMode(at.at('mode'), mode);
  }
  if (selects && policy.namespace === rootNamespace) {
    warnings.push(`a selector has no meaning in the root namespace ${rootNamespace}: this policy is ignored`);
  }
  return { errors, warnings: [...new Set(warnings)] };
}
