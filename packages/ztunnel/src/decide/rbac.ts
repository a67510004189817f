import { DerivedPolicy } from '@weft/api';
import type { IpAddress } from '../state/ip-address.ts';
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
  const source = parseSource(subject.sourceIdentity);
  const matching = (action: Policy['action'], dryRun: boolean): Policy[] =>
    policies.filter((p) => p.action === action && p.dryRun === dryRun && matches(p, subject, source));
  const dryRun = policies
    .filter((p) => p.dryRun && matches(p, subject, source))
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

interface Source {
  /** The identity without its scheme. */
  readonly principal: string | undefined;
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
}

function parseSource(identity: string | undefined): Source {
  const parts = /^spiffe:\/\/([^/]+\/ns\/([^/]+)\/sa\/([^/]+))$/.exec(identity ?? '');
  if (parts === null) return { principal: undefined, namespace: '', serviceAccount: undefined };
  return { principal: parts[1], namespace: parts[2] ?? '', serviceAccount: parts[3] };
}

/** Rules OR, clauses AND, matches OR. A policy without rules never matches. */
function matches({ rules }: Policy, subject: PolicySubject, source: Source): boolean {
  return rules.some((rule) => ruleMatches(rule, subject, source));
}

function ruleMatches({ clauses }: Rule, subject: PolicySubject, source: Source): boolean {
  return clauses.every(
    ({ matches: any }) => any.length === 0 || any.some((m) => matchHolds(m, subject, source)),
  );
}

function matchHolds(match: Match, subject: PolicySubject, source: Source): boolean {
  // A match that asks for nothing would match everything; upstream has it match nothing.
  if (isEmpty(match)) return false;
  const { sourceIp, destinationIp, destinationPort } = subject;
  const namespace = (m: StringMatch): boolean => stringHolds(m, source.namespace);
  const principal = (m: StringMatch): boolean =>
    source.principal !== undefined && stringHolds(m, source.principal);
  const account = (m: ServiceAccountMatch): boolean =>
    source.serviceAccount === m.serviceAccount && source.namespace === m.namespace;
  return (
    holds(match.namespaces, match.notNamespaces, namespace) &&
    holds(match.principals, match.notPrincipals, principal) &&
    holds(match.serviceAccounts, match.notServiceAccounts, account) &&
    holds(match.sourceIps, match.notSourceIps, (cidr) => cidr.contains(sourceIp)) &&
    holds(match.destinationIps, match.notDestinationIps, (cidr) => cidr.contains(destinationIp)) &&
    holds(match.destinationPorts, match.notDestinationPorts, (port) => port === destinationPort)
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
