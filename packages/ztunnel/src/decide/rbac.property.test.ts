import { BlockList } from 'node:net';
import { expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import fc from 'fast-check';
import { authorize, type PolicySubject } from './rbac.ts';
import { ipBytes, type IpAddress } from '../state/ip-address.ts';
import { policyFromMessage } from '../state/policy-message.ts';
import { ip } from '../testing/records.ts';

const { Action, Scope, Authorization } = istio.security;
type Policy = istio.security.Authorization.$Properties;
type Match = istio.security.Match.$Properties;
type StringMatch = istio.security.StringMatch.$Properties;

const arbitraryIp = fc.constantFrom(
  ...['10.0.0.1', '10.0.1.1', '192.168.7.9', 'fd00::1', 'fd00:1::1'].map(ip),
);
const namespace = fc.constantFrom('a', 'ab', 'b');
const account = fc.constantFrom('x', 'xy');
const identity = fc
  .record({ domain: fc.constantFrom('cluster.local', 'td'), namespace, account })
  .map((i) => `spiffe://${i.domain}/ns/${i.namespace}/sa/${i.account}`);

const stringMatch = (text: fc.Arbitrary<string>): fc.Arbitrary<StringMatch> =>
  fc.oneof(
    text.map((exact) => ({ exact })),
    fc.tuple(text, fc.nat(20)).map(([t, n]) => ({ prefix: t.slice(0, n) })),
    fc.tuple(text, fc.nat(20)).map(([t, n]) => ({ suffix: t.slice(-n) })),
    fc.constant({ presence: {} }),
  );
const cidr = fc
  .tuple(arbitraryIp, fc.nat(128))
  .map(([address, n]) => ({ address: ipBytes(address), length: n % (8 * ipBytes(address).length + 1) }));
const port = fc.constantFrom(80, 8080, 443);
const few = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<T[]>([]) },
    { weight: 1, arbitrary: fc.array(of, { maxLength: 2 }) },
  );
const serviceAccount = fc.record({ namespace, serviceAccount: account });
const principal = identity.map((i) => i.slice('spiffe://'.length));
const match: fc.Arbitrary<Match> = fc.record({
  namespaces: few(stringMatch(namespace)),
  notNamespaces: few(stringMatch(namespace)),
  principals: few(stringMatch(principal)),
  notPrincipals: few(stringMatch(principal)),
  serviceAccounts: few(serviceAccount),
  notServiceAccounts: few(serviceAccount),
  sourceIps: few(cidr),
  notSourceIps: few(cidr),
  destinationIps: few(cidr),
  notDestinationIps: few(cidr),
  destinationPorts: few(port),
  notDestinationPorts: few(port),
});
const list = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(of, { maxLength: 3 });
const policies: fc.Arbitrary<Policy[]> = list(
  fc.record({
    action: fc.constantFrom(Action.ALLOW, Action.DENY),
    dryRun: fc.boolean(),
    rules: list(fc.record({ clauses: list(fc.record({ matches: list(match) })) })),
  }),
).map((all) => all.map((p, i) => ({ ...p, name: `p${i}`, namespace: 'default', scope: Scope.NAMESPACE })));
const subject: fc.Arbitrary<PolicySubject> = fc.record({
  sourceIdentity: fc.option(identity, { nil: undefined }),
  sourceIp: arbitraryIp,
  destinationIp: arbitraryIp,
  destinationPort: port,
});

/** The reference's §5.2 and §5.3 in its own words, on the messages, with Node's CIDR matcher. */
function oracle(all: readonly Policy[], s: PolicySubject): 'allow' | 'deny' {
  const enforced = all.filter((p) => p.dryRun !== true);
  const matching = enforced.filter((p) => policyMatches(p, s));
  if (matching.some((p) => p.action === Action.DENY)) return 'deny';
  if (!enforced.some((p) => p.action === Action.ALLOW)) return 'allow';
  return matching.some((p) => p.action === Action.ALLOW) ? 'allow' : 'deny';
}

function policyMatches({ rules }: Policy, s: PolicySubject): boolean {
  for (const { clauses } of rules ?? []) {
    let everyClause = true;
    for (const { matches } of clauses ?? []) {
      if (matches == null || matches.length === 0) continue;
      if (!matches.some((m) => matchHolds(m, s))) everyClause = false;
    }
    if (everyClause) return true;
  }
  return false;
}

function matchHolds(m: Match, s: PolicySubject): boolean {
  const [, , domain = '', , ns = '', , sa = ''] = s.sourceIdentity?.split('/') ?? [];
  const text = (value: string) => (t: StringMatch) => {
    if (t.exact != null) return t.exact === value;
    if (t.prefix != null) return value.indexOf(t.prefix) === 0;
    if (t.suffix != null) return t.suffix === '' || value.slice(-t.suffix.length) === t.suffix;
    return value.length > 0;
  };
  const byPrincipal = (t: StringMatch): boolean =>
    s.sourceIdentity !== undefined && text(`${domain}/ns/${ns}/sa/${sa}`)(t);
  const byAccount = (a: { namespace?: string | null; serviceAccount?: string | null }): boolean =>
    s.sourceIdentity !== undefined && a.namespace === ns && a.serviceAccount === sa;
  const within = (address: IpAddress) => (c: { address?: Uint8Array | null; length?: number | null }) =>
    contains(c.address ?? new Uint8Array(), c.length ?? 0, address);
  const groups: [readonly unknown[], readonly unknown[], (value: never) => boolean][] = [
    [m.namespaces ?? [], m.notNamespaces ?? [], text(ns)],
    [m.principals ?? [], m.notPrincipals ?? [], byPrincipal],
    [m.serviceAccounts ?? [], m.notServiceAccounts ?? [], byAccount],
    [m.sourceIps ?? [], m.notSourceIps ?? [], within(s.sourceIp)],
    [m.destinationIps ?? [], m.notDestinationIps ?? [], within(s.destinationIp)],
    [m.destinationPorts ?? [], m.notDestinationPorts ?? [], (p: number) => p === s.destinationPort],
  ];
  if (groups.every(([positive, negative]) => positive.length + negative.length === 0)) return false;
  return groups.every(([positive, negative, test]) => {
    const holds = (value: unknown): boolean => test(value as never); // each group has values of its own type
    return (positive.length === 0 || positive.some(holds)) && !negative.some(holds);
  });
}

function contains(network: Uint8Array, length: number, address: IpAddress): boolean {
  const family = network.length === 4 ? 'ipv4' : 'ipv6';
  if ((family === 'ipv4') === address.includes(':')) return false;
  const text =
    family === 'ipv4'
      ? network.join('.')
      : (Buffer.from(network).toString('hex').match(/.{4}/g) ?? []).join(':');
  const range = new BlockList();
  // Node refuses a prefix of no bits.
  if (length === 0) return true;
  range.addSubnet(text, length, family);
  return range.check(address, family);
}

it('decides as a naive reading of the reference does, for any policies and any connection', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(policies, subject, (all, s) => {
      const records = all.map((p) =>
        policyFromMessage(Authorization.decode(Authorization.encode(p).finish())),
      );
      const { verdict } = authorize(records, s);
      seen.add(`${verdict.kind} ${verdict.policy === undefined}`);
      expect(verdict.kind).toBe(oracle(all, s));
    }),
    { numRuns: 3_000 },
  );
  // Not vacuous: denied by a policy and by none, allowed by one and by none.
  expect(seen.size).toBe(4);
});
