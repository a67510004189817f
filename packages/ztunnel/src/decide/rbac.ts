import { DerivedPolicy } from '@weft/api';
import { ipBytes, type Cidr, type IpAddress } from '../state/ip-address.ts';
import type { Match, Policy, PolicyKey, Rule, ServiceAccountMatch, StringMatch } from '../state/policy.ts';

/** What policies see of an inbound connection. */
export interface PolicySubject {
  /** The peer's certified SPIFFE identity; undefined for plaintext. */
  readonly sourceIdentity: string | undefined;
  readonly sourceIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly destinationPort: number;
}

export type Verdict =
  | { readonly kind: 'allow'; readonly policy: PolicyKey | undefined }
  /** 1406: by the policy that stands for "only through the waypoint". */
  | { readonly kind: 'deny'; readonly code: 'WEFT1402' | 'WEFT1406'; readonly policy: PolicyKey }
  /** There are ALLOW policies and none of them matches. */
  | { readonly kind: 'deny'; readonly code: 'WEFT1403'; readonly policy: undefined };

export interface Decision {
  readonly verdict: Verdict;
  /** Dry-run policies that match; they decide nothing. */
  readonly dryRun: readonly { readonly policy: PolicyKey; readonly action: Policy['action'] }[];
}

/** DENY before ALLOW; without any enforced ALLOW policy everything else is allowed. */
export function authorize(policies: readonly Policy[], subject: PolicySubject): Decision {
  const tests = testsOf(subject);
  const matching = (action: Policy['action'], dryRun: boolean): Policy[] =>
    policies.filter((p) => p.action === action && p.dryRun === dryRun && matches(p, tests));
  const dryRun = policies
    .filter((p) => p.dryRun && matches(p, tests))
    .map(({ key, action }) => ({ policy: key, action }));
  const [denied] = matching('Deny', false);
  if (denied !== undefined) {
    const [, name = ''] = denied.key.split('/');
    const code = name.startsWith(DerivedPolicy.requireWaypointPrefix) ? 'WEFT1406' : 'WEFT1402';
    return { verdict: { kind: 'deny', code, policy: denied.key }, dryRun };
  }
  if (!policies.some((p) => p.action === 'Allow' && !p.dryRun)) {
    return { verdict: { kind: 'allow', policy: undefined }, dryRun };
  }
  const [allowed] = matching('Allow', false);
  if (allowed !== undefined) return { verdict: { kind: 'allow', policy: allowed.key }, dryRun };
  return { verdict: { kind: 'deny', code: 'WEFT1403', policy: undefined }, dryRun };
}

/** What each attribute of a match asks of the subject: made once, for however many matches there are. */
interface Tests {
  readonly namespace: (match: StringMatch) => boolean;
  readonly principal: (match: StringMatch) => boolean;
  readonly account: (match: ServiceAccountMatch) => boolean;
  readonly source: (prefix: Cidr) => boolean;
  readonly destination: (prefix: Cidr) => boolean;
  readonly port: (port: number) => boolean;
}

function testsOf({ sourceIdentity, sourceIp, destinationIp, destinationPort }: PolicySubject): Tests {
  // The principal is the identity without its scheme.
  const [, principal, namespace = '', serviceAccount] =
    /^spiffe:\/\/([^/]+\/ns\/([^/]+)\/sa\/([^/]+))$/.exec(sourceIdentity ?? '') ?? [];
  // Most policies ask for neither.
  let from: Uint8Array | undefined;
  let to: Uint8Array | undefined;
  return {
    namespace: (match) => stringHolds(match, namespace),
    principal: (match) => principal !== undefined && stringHolds(match, principal),
    account: (match) => match.serviceAccount === serviceAccount && match.namespace === namespace,
    source: (prefix) => prefix.containsBytes((from ??= ipBytes(sourceIp))),
    destination: (prefix) => prefix.containsBytes((to ??= ipBytes(destinationIp))),
    port: (port) => port === destinationPort,
  };
}

/** Rules OR, clauses AND, matches OR. A policy without rules never matches. */
function matches({ rules }: Policy, tests: Tests): boolean {
  return rules.some((rule) => ruleMatches(rule, tests));
}

function ruleMatches({ clauses }: Rule, tests: Tests): boolean {
  return clauses.every(({ matches: any }) => any.length === 0 || any.some((m) => matchHolds(m, tests)));
}

function matchHolds(match: Match, tests: Tests): boolean {
  return (
    holds(match.namespaces, match.notNamespaces, tests.namespace) &&
    holds(match.principals, match.notPrincipals, tests.principal) &&
    holds(match.serviceAccounts, match.notServiceAccounts, tests.account) &&
    holds(match.sourceIps, match.notSourceIps, tests.source) &&
    holds(match.destinationIps, match.notDestinationIps, tests.destination) &&
    holds(match.destinationPorts, match.notDestinationPorts, tests.port) &&
    // A match that asks for nothing would match everything; upstream has it match nothing.
    !isEmpty(match)
  );
}

/** One attribute: any of the positive values (if there are some), none of the negative ones. */
function holds<T>(positive: readonly T[], negative: readonly T[], test: (value: T) => boolean): boolean {
  return (positive.length === 0 || positive.some(test)) && !negative.some(test);
}

function isEmpty(match: Match): boolean {
  return Object.values(match).every((values: readonly unknown[]) => values.length === 0);
}

function stringHolds(match: StringMatch, value: string): boolean {
  switch (match.kind) {
    case 'exact':
      return value === match.value;
    case 'prefix':
      return value.startsWith(match.value);
    case 'suffix':
      return value.endsWith(match.value);
    case 'presence':
      return value !== '';
  }
}
