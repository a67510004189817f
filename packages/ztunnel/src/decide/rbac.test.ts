import { describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import fc from 'fast-check';
import { authorize, type PolicySubject } from './rbac.ts';
import { policyFromMessage } from '../state/policy-message.ts';
import type { Policy } from '../state/policy.ts';
import { ip, policy } from '../testing/records.ts';

const alice: PolicySubject = {
  sourceIdentity: 'spiffe://cluster.local/ns/a/sa/alice',
  sourceIp: ip('10.0.0.1'),
  destinationIp: ip('10.0.0.2'),
  destinationPort: 8080,
};
const nobody: PolicySubject = { ...alice, sourceIdentity: undefined };

type Match = istio.security.Match.$Properties;

function policyWith(match: Match, onLeftOut?: Parameters<typeof policyFromMessage>[1]): Policy {
  const { DENY } = istio.security.Action;
  const rules = [{ clauses: [{ matches: [match] }] }];
  return policyFromMessage(
    new istio.security.Authorization({ name: 'p', namespace: 'default', action: DENY, rules }),
    onLeftOut,
  );
}

const matchesSubject = (match: Match, subject: PolicySubject): boolean =>
  authorize([policyWith(match)], subject).verdict.kind === 'deny';
const cidr = (bytes: readonly number[], length: number) => ({ address: Uint8Array.from(bytes), length });

describe('a match of which parts make no sense', () => {
  it.each<[string, Match, boolean, string[]]>([
    ['an address of 3 bytes', { sourceIps: [cidr([10, 0, 0], 8)] }, false, ['source_ips[0]']],
    [
      'a prefix that is too long',
      { destinationIps: [cidr([10, 0, 0, 2], 33)] },
      false,
      ['destination_ips[0]'],
    ],
    ['a text that is to be matched in no way', { namespaces: [{}] }, false, ['namespaces[0]']],
    [
      'such a text next to another',
      { namespaces: [{}, { exact: 'a' }], notSourceIps: [cidr([], 0)] },
      true,
      ['namespaces[0]', 'not_source_ips[0]'],
    ],
    ['an extension', { extensions: [{ name: 'x' }] }, false, ['extensions']],
    ['a port of more than 16 bits', { destinationPorts: [65_536 + 8080] }, true, []],
  ])('goes without %s, and tells', (_, match, expected, told) => {
    const left: string[] = [];
    expect(authorize([policyWith(match, ({ message }) => left.push(message))], alice).verdict.kind).toBe(
      expected ? 'deny' : 'allow',
    );
    expect(left.map((text) => /matches\[0\]\.([^:]+)/.exec(text)?.[1])).toEqual(told);
  });
});

describe('a match', () => {
  it.each<[string, Match, boolean, boolean]>([
    ['namespace', { namespaces: [{ exact: 'a' }] }, true, false],
    ['another namespace', { namespaces: [{ exact: 'b' }] }, false, false],
    ['one of several namespaces', { namespaces: [{ exact: 'b' }, { exact: 'a' }] }, true, false],
    ['no namespace but', { notNamespaces: [{ exact: 'a' }] }, false, true],
    ['presence of a namespace', { namespaces: [{ presence: {} }] }, true, false],
    ['absence of a namespace', { notNamespaces: [{ presence: {} }] }, false, true],
    ['principal', { principals: [{ exact: 'cluster.local/ns/a/sa/alice' }] }, true, false],
    [
      'principal with its scheme',
      { principals: [{ exact: 'spiffe://cluster.local/ns/a/sa/alice' }] },
      false,
      false,
    ],
    ['principal prefix', { principals: [{ prefix: 'cluster.local/ns/a/' }] }, true, false],
    ['principal suffix', { principals: [{ suffix: '/sa/alice' }] }, true, false],
    ['empty prefix of a principal', { principals: [{ prefix: '' }] }, true, false],
    ['no principal at all, as STRICT has it', { notPrincipals: [{ presence: {} }] }, false, true],
    ['service account', { serviceAccounts: [{ namespace: 'a', serviceAccount: 'alice' }] }, true, false],
    [
      'service account elsewhere',
      { serviceAccounts: [{ namespace: 'b', serviceAccount: 'alice' }] },
      false,
      false,
    ],
    [
      'no service account but',
      { notServiceAccounts: [{ namespace: 'a', serviceAccount: 'alice' }] },
      false,
      true,
    ],
    ['source range', { sourceIps: [cidr([10, 0, 0, 0], 24)] }, true, true],
    ['other source range', { sourceIps: [cidr([10, 0, 1, 0], 24)] }, false, false],
    ['source outside of a range', { notSourceIps: [cidr([10, 0, 0, 0], 31)] }, false, false],
    ['any source', { sourceIps: [cidr([0, 0, 0, 0], 0)] }, true, true],
    ['any IPv6 source', { sourceIps: [cidr(Array<number>(16).fill(0), 0)] }, false, false],
    ['destination address', { destinationIps: [cidr([10, 0, 0, 2], 32)] }, true, true],
    ['destination port', { destinationPorts: [80, 8080] }, true, true],
    ['no destination port but', { notDestinationPorts: [8080] }, false, false],
    ['both of two attributes', { namespaces: [{ exact: 'a' }], destinationPorts: [1] }, false, false],
    ['nothing', {}, false, false],
  ])('on %s', (_, match, withIdentity, without) => {
    expect([matchesSubject(match, alice), matchesSubject(match, nobody)]).toEqual([withIdentity, without]);
  });

  it.each(['spiffe://cluster.local/ns/a', 'spiffe://cluster.local/ns/a/sa/b/c', 'https://x/ns/a/sa/b'])(
    'takes a peer named %s for one without an identity',
    (sourceIdentity) => {
      expect(matchesSubject({ notPrincipals: [{ presence: {} }] }, { ...alice, sourceIdentity })).toBe(true);
    },
  );
});

describe('rules', () => {
  const all = { clauses: [] };
  const never = { clauses: [{ matches: [policyWith({}).rules[0]?.clauses[0]?.matches[0] ?? fail()] }] };
  function fail(): never {
    throw new Error('no match');
  }
  const matches = (...rules: Policy['rules']): boolean =>
    authorize([policy('n/p', { rules })], alice).verdict.kind === 'deny';

  it('never match where there are none', () => expect(matches()).toBe(false));
  it('match everything without clauses', () => expect(matches(all)).toBe(true));
  it('are true in a clause without matches', () =>
    expect(matches({ clauses: [{ matches: [] }] })).toBe(true));
  it('need all clauses', () => expect(matches({ clauses: [{ matches: [] }, ...never.clauses] })).toBe(false));
  it('are alternatives', () => expect(matches(never, all)).toBe(true));
});

describe('authorize', () => {
  const deny = (key: string, more: Partial<Policy> = {}): Policy => policy(key, { action: 'Deny', ...more });
  const allow = (key: string, more: Partial<Policy> = {}): Policy =>
    policy(key, { action: 'Allow', ...more });
  const none = { rules: [] };

  it.each<[string, readonly Policy[], string]>([
    ['allows without policies', [], 'allow undefined'],
    [
      'denies by a DENY policy even if an ALLOW policy matches',
      [allow('n/a'), deny('n/d')],
      'deny WEFT1402 n/d',
    ],
    [
      'tells apart who came around a required waypoint',
      [deny('n/weft_require_waypoint_web')],
      'deny WEFT1406 n/weft_require_waypoint_web',
    ],
    ['allows by an ALLOW policy', [allow('n/a'), deny('n/d', none)], 'allow n/a'],
    ['denies when no ALLOW policy matches', [allow('n/a', none)], 'deny WEFT1403 undefined'],
    ['allows when only DENY policies exist and none matches', [deny('n/d', none)], 'allow undefined'],
    ['does not enforce a dry-run DENY', [deny('n/d', { dryRun: true })], 'allow undefined'],
    [
      'does not count a dry-run ALLOW as the one that must match',
      [allow('n/a', { dryRun: true, ...none })],
      'allow undefined',
    ],
  ])('%s', (_, policies, expected) => {
    const { verdict } = authorize(policies, alice);
    expect(
      verdict.kind === 'deny' ? `deny ${verdict.code} ${verdict.policy}` : `allow ${verdict.policy}`,
    ).toBe(expected);
  });

  it('tells which dry-run policies match', () => {
    const { dryRun } = authorize(
      [deny('n/d', { dryRun: true }), allow('n/a', { dryRun: true, ...none })],
      alice,
    );
    expect(dryRun).toEqual([{ policy: 'n/d', action: 'Deny' }]);
  });

  it('never allows what a DENY policy matches, in whatever order policies come', () => {
    const arbitrary = fc.array(
      fc.record({
        action: fc.constantFrom('Allow' as const, 'Deny' as const),
        dryRun: fc.boolean(),
        hits: fc.boolean(),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(arbitrary, (specs) => {
        const policies = specs.map(({ action, dryRun, hits }, i) =>
          policy(`n/${i}`, { action, dryRun, rules: hits ? [{ clauses: [] }] : [] }),
        );
        const enforced = specs.filter(({ dryRun }) => !dryRun);
        const denied = enforced.some(({ action, hits }) => action === 'Deny' && hits);
        const allows = enforced.filter(({ action }) => action === 'Allow');
        const expected = !denied && (allows.length === 0 || allows.some(({ hits }) => hits));
        expect(authorize(policies, alice).verdict.kind === 'allow').toBe(expected);
        expect(authorize(policies.toReversed(), alice).verdict.kind === 'allow').toBe(expected);
      }),
    );
  });
});
