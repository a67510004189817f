import { parseCidr } from '../ambient/addresses.ts';
import { convertAuthorizationPolicy } from '../ambient/authorization-policies.ts';
import { parsePort } from '../ambient/policy-matches.ts';
import { policyWarning } from '../ambient/policy-status.ts';
import { targetsOf } from '../ambient/policy-targets.ts';
import type {
  AuthorizationPolicySpec,
  PolicyCondition,
  PolicyObject,
  PolicyOperation,
  PolicySource,
} from '../sources/policy-objects.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';
import { nearest } from './nearest.ts';
import { checkSelector, checkTargetReferences } from './validate-selection.ts';

/** What the CRD's schema can't say about an AuthorizationPolicy. */
export function validateAuthorizationPolicy(
  policy: PolicyObject<AuthorizationPolicySpec>,
  rootNamespace: string,
): Verdict {
  const errors: FieldError[] = [];
  const spec = new FieldChecks('spec', errors);
  const { action = 'ALLOW', provider, rules } = policy.spec;

  checkSelector(spec, policy.spec.selector);
  checkTargetReferences(spec, policy.spec, { namespace: policy.namespace, rootNamespace });
  if (!actions.includes(action)) spec.at('action').refuse(`"${action}" is none of ${actions.join(', ')}`);
  if (action === 'CUSTOM' && (provider?.name ?? '') === '') {
    spec.at('provider').at('name').refuse('is required with action CUSTOM');
  }
  if (action !== 'CUSTOM' && provider !== undefined)
    spec.at('provider').refuse('is allowed with action CUSTOM only');
  if (action === 'DENY' && (rules ?? []).length === 0) {
    spec.at('rules').refuse('must not be empty with action DENY: such a policy would deny nothing');
  }

  rules?.forEach((rule, i) => {
    const at = spec.at('rules').at(i);
    if (rule.from?.length === 0)
      at.at('from').refuse('must not be empty; leave it out to match every source');
    if (rule.to?.length === 0) at.at('to').refuse('must not be empty; leave it out to match every operation');
    rule.from?.forEach(({ source }, j) => {
      checkSource(at.at('from').at(j).at('source'), source, action);
    });
    rule.to?.forEach(({ operation }, j) => {
      checkOperation(at.at('to').at(j).at('operation'), operation);
    });
    rule.when?.forEach((condition, j) => {
      checkCondition(at.at('when').at(j), condition);
    });
  });

  if (errors.length > 0) return { errors, warnings: [] };
  const warning =
    targetsOf(policy.spec).length === 0
      ? policyWarning(convertAuthorizationPolicy(policy, rootNamespace))
      : undefined;
  return { errors, warnings: warning === undefined ? [] : [warning] };
}

const actions: readonly string[] = ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'];

function checkSource(at: FieldChecks, source: PolicySource | undefined, action: string): void {
  if (source === undefined || isEmpty(source)) return at.refuse('must not be empty');
  at.each('ipBlocks', source.ipBlocks, cidr);
  at.each('notIpBlocks', source.notIpBlocks, cidr);
  at.each('remoteIpBlocks', source.remoteIpBlocks, cidr);
  at.each('notRemoteIpBlocks', source.notRemoteIpBlocks, cidr);
  at.each('serviceAccounts', source.serviceAccounts, serviceAccount);
  at.each('notServiceAccounts', source.notServiceAccounts, serviceAccount);
  for (const field of nameFields) at.each(field, source[field], principalOrName(field));
  if ((source.serviceAccounts ?? source.notServiceAccounts) !== undefined) {
    for (const field of ['principals', 'notPrincipals', 'namespaces', 'notNamespaces'] as const) {
      if (source[field] !== undefined) at.at(field).refuse('cannot be combined with serviceAccounts');
    }
  }
  if (action === 'CUSTOM') {
    for (const field of nameFields) {
      if (source[field] !== undefined) at.at(field).refuse('is not supported with action CUSTOM');
    }
  }
}

const nameFields = [
  'principals',
  'notPrincipals',
  'requestPrincipals',
  'notRequestPrincipals',
  'namespaces',
  'notNamespaces',
] as const;

function checkOperation(at: FieldChecks, operation: PolicyOperation | undefined): void {
  if (operation === undefined || isEmpty(operation)) return at.refuse('must not be empty');
  at.each('ports', operation.ports, port);
  at.each('notPorts', operation.notPorts, port);
  for (const field of ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'] as const) {
    at.each(field, operation[field], () => undefined);
  }
}

function checkCondition(at: FieldChecks, { key, values, notValues }: PolicyCondition): void {
  const problem = conditionKey(key);
  if (problem !== undefined) at.at('key').refuse(problem);
  if ((values ?? []).length === 0 && (notValues ?? []).length === 0) at.refuse('needs values or notValues');
  const check = key.endsWith('.ip') ? cidr : key === 'destination.port' ? port : () => undefined;
  at.each('values', values, check);
  at.each('notValues', notValues, check);
}

const plainKeys: readonly string[] = [
  'source.ip',
  'source.namespace',
  'source.principal',
  'source.serviceAccount',
  'remote.ip',
  'destination.ip',
  'destination.port',
  'connection.sni',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
];
const prefixedKeys: readonly string[] = ['request.headers[', 'request.auth.claims[', 'experimental.'];

function conditionKey(key: string): string | undefined {
  if (plainKeys.includes(key)) return undefined;
  if (prefixedKeys.some((prefix) => key.startsWith(prefix))) {
    return key.includes('[') && !key.endsWith(']') ? `"${key}" lacks its closing bracket` : undefined;
  }
  const suggestion = nearest(key, plainKeys);
  return `"${key}" is not a condition${suggestion === undefined ? '' : `; did you mean ${suggestion}?`}`;
}

function cidr(text: string): string | undefined {
  return parseCidr(text) === undefined ? `"${text}" is neither an IP address nor a CIDR block` : undefined;
}

function port(text: string): string | undefined {
  return parsePort(text) === undefined ? `"${text}" is not a port from 1 to 65535` : undefined;
}

function serviceAccount(text: string): string | undefined {
  const parts = text.split('/');
  if (text.includes('*')) return `"${text}": wildcards are not supported here`;
  return parts.length > 2 || parts.includes('') ? `"${text}" is neither name nor namespace/name` : undefined;
}

/** The most common mistake in principals is their URI form, which matches nothing. */
function principalOrName(field: (typeof nameFields)[number]): (text: string) => string | undefined {
  return (text) =>
    /principals$/i.test(field) && text.startsWith('spiffe://')
      ? `"${text}": leave out spiffe://, as in ${text.slice('spiffe://'.length)}`
      : undefined;
}

function isEmpty(fields: object): boolean {
  return Object.values(fields).every((value) => Array.isArray(value) && value.length === 0);
}
