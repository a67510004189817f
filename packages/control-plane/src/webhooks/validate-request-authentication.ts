import { parseProtoDuration } from '../jwks/key-set-fetcher.ts';
import { usableKeySet } from '../jwks/key-set.ts';
import type { JwtRule, PolicyObject, RequestAuthenticationSpec } from '../sources/policy-objects.ts';
import { targetsOf } from '../ambient/policy-targets.ts';
import { unattachedAuthentication } from '../ambient/waypoint-policy-status.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';
import { checkSelector, checkTargetReferences } from './validate-selection.ts';

/** What the CRD's schema can't say about a RequestAuthentication. */
export function validateRequestAuthentication(
  policy: PolicyObject<RequestAuthenticationSpec>,
  rootNamespace: string,
): Verdict {
  const errors: FieldError[] = [];
  const warnings: string[] = [];
  const spec = new FieldChecks('spec', errors);
  checkSelector(spec, policy.spec.selector);
  checkTargetReferences(spec, policy.spec, { namespace: policy.namespace, rootNamespace });
  if (targetsOf(policy.spec).length === 0) warnings.push(unattachedAuthentication.message);
  policy.spec.jwtRules?.forEach((rule, i) => checkRule(spec.at('jwtRules').at(i), rule, warnings));
  return { errors, warnings };
}

function checkRule(at: FieldChecks, rule: JwtRule, warnings: string[]): void {
  const { issuer = '', jwks = '', jwks_uri: oldSpelling = '' } = rule;
  const { jwksUri = oldSpelling } = rule;
  if (issuer === '' && jwksUri === '') at.at('issuer').refuse('is required where there is no jwksUri');
  if (jwks !== '' && jwksUri !== '') at.at('jwks').refuse('cannot be combined with jwksUri');
  if (jwks !== '' && usableKeySet(jwks) === undefined) {
    at.at('jwks').refuse('is not a key set, or has no public key that tokens could be verified with');
  }
  if (/"d"\s*:/.test(jwks))
    warnings.push('jwks holds a private key: whoever can read this object can sign tokens');
  if (jwksUri !== '' && !isHttpUrl(jwksUri)) at.at('jwksUri').refuse('is not an http or https URL');
  if (jwks === '' && jwksUri === '') {
    warnings.push(
      `no keys are known for issuer "${issuer}": all of its tokens are refused; set jwks or jwksUri`,
    );
  }
  rule.fromHeaders?.forEach(({ name }, i) => {
    if (name === '') at.at('fromHeaders').at(i).at('name').refuse('must not be empty');
  });
  if (rule.timeout !== undefined && parseProtoDuration(rule.timeout) === undefined)
    at.at('timeout').refuse(`"${rule.timeout}" is not a duration`);
  at.each('audiences', rule.audiences, () => undefined);
  at.each('fromParams', rule.fromParams, () => undefined);
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol);
}
