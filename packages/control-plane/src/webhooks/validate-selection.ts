import type { AuthorizationPolicySpec, PolicySelector } from '../sources/policy-objects.ts';
import type { FieldChecks } from './field-errors.ts';
import { nearest } from './nearest.ts';

const labelKey = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

export function checkSelector(spec: FieldChecks, selector: PolicySelector | undefined): void {
  const at = spec.at('selector').at('matchLabels');
  for (const [label, value] of Object.entries(selector?.matchLabels ?? {})) {
    if (label.includes('*') || value.includes('*')) at.at(label).refuse('wildcards are not supported');
    else if (!labelKey.test(label)) at.at(label).refuse('is not a label');
    else if (!labelValue.test(value)) at.at(label).refuse(`"${value}" is not a label's value`);
  }
}

/** What a policy may attach to, and the API group of each. */
const targetGroups: Readonly<Record<string, string>> = {
  Service: '',
  ServiceEntry: 'networking.istio.io',
  Gateway: 'gateway.networking.k8s.io',
  GatewayClass: 'gateway.networking.k8s.io',
};

export function checkTargetReferences(
  spec: FieldChecks,
  policy: Pick<AuthorizationPolicySpec, 'selector' | 'targetRef' | 'targetRefs'>,
  at: { readonly namespace: string; readonly rootNamespace: string },
): void {
  const { selector, targetRef, targetRefs = [] } = policy;
  if (selector !== undefined && (targetRef !== undefined || targetRefs.length > 0)) {
    spec.at('selector').refuse('cannot be combined with targetRefs');
  }
  if (targetRef !== undefined && targetRefs.length > 0)
    spec.at('targetRef').refuse('cannot be combined with targetRefs');
  const references = [
    ...(targetRef === undefined ? [] : [{ checks: spec.at('targetRef'), reference: targetRef }]),
    ...targetRefs.map((reference, i) => ({ checks: spec.at('targetRefs').at(i), reference })),
  ];
  for (const { checks, reference } of references) {
    const { group = '', kind, name, namespace = '' } = reference;
    if (name === '') checks.at('name').refuse('must not be empty');
    if (namespace !== '' && namespace !== at.namespace) {
      checks.at('namespace').refuse('targets in other namespaces are not supported');
    }
    const expected = Object.hasOwn(targetGroups, kind) ? targetGroups[kind] : undefined;
    if (expected === undefined) {
      const kinds = Object.keys(targetGroups);
      const suggestion = nearest(kind, kinds);
      const hint = suggestion === undefined ? `one of ${kinds.join(', ')}` : `did you mean ${suggestion}?`;
      checks.at('kind').refuse(`"${kind}" cannot be a target; ${hint}`);
    } else if (group !== expected && !(kind === 'Service' && group === 'core')) {
      checks.at('group').refuse(`must be "${expected}" for a ${kind}`);
    } else if (kind === 'GatewayClass' && at.namespace !== at.rootNamespace) {
      checks
        .at('kind')
        .refuse(`a GatewayClass can be targeted from the root namespace ${at.rootNamespace} only`);
    }
  }
}
