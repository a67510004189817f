import { describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import type { UntypedObject } from '@weft/kubernetes';
import { type AuthorizationPolicySpec, policyObject } from '../sources/policy-objects.ts';
import { convertAuthorizationPolicy } from './authorization-policies.ts';
import { ztunnelAccepted } from './policy-status.ts';
import { yaml } from './test-objects.ts';

const { Action, Scope } = istio.security;

function convert(spec: string, metadata = 'name: p, namespace: shop') {
  const object = yaml<UntypedObject>(`{ metadata: { ${metadata} }, spec: ${spec} }`);
  return convertAuthorizationPolicy(policyObject<AuthorizationPolicySpec>(object), 'istio-system');
}

function rulesOf(spec: string): unknown {
  const converted = convert(spec);
  return converted.kind === 'enforced' ? converted.authorization.rules : converted;
}

describe('convertAuthorizationPolicy', () => {
  it.each([
    ['{}', 'name: p, namespace: shop', Scope.NAMESPACE],
    ['{}', 'name: p, namespace: istio-system', Scope.GLOBAL],
    ['{ selector: { matchLabels: {} } }', 'name: p, namespace: shop', Scope.NAMESPACE],
    ['{ selector: { matchLabels: { app: web } } }', 'name: p, namespace: shop', Scope.WORKLOAD_SELECTOR],
    [
      '{ selector: { matchLabels: { app: web } } }',
      'name: p, namespace: istio-system',
      Scope.WORKLOAD_SELECTOR,
    ],
  ])('scopes %s in { %s }', (spec, metadata, scope) => {
    expect(convert(spec, metadata)).toMatchObject({
      kind: 'enforced',
      authorization: { scope, action: Action.ALLOW },
    });
  });

  it.each([
    ['{ targetRefs: [{ kind: Service, name: web, group: "" }] }', '', 'for waypoints'],
    ['{ targetRef: { kind: Gateway, name: g, group: gateway.networking.k8s.io } }', '', 'for waypoints'],
    ['{ action: AUDIT }', '', 'action'],
    ['{ action: CUSTOM, provider: { name: x } }', '', 'action'],
    ['{}', ', annotations: { istio.io/dry-run: "true" }', 'dry run'],
  ])('does not send %s%s', (spec, annotations, why) => {
    expect(convert(spec, `name: p, namespace: shop${annotations}`)).toMatchObject({
      kind: 'not enforced',
      why,
    });
  });

  it.each([
    ['no rules: nothing matches', '{}', []],
    ['an empty rule: everything matches', '{ rules: [{}] }', [{ clauses: [] }]],
    [
      'clauses in the order to, from, when',
      '{ rules: [{ from: [{ source: { principals: ["*"] } }], to: [{ operation: { ports: ["80"] } }], when: [{ key: source.namespace, values: [a], notValues: [b] }] }] }',
      [
        {
          clauses: [
            { matches: [{ destinationPorts: [80] }] },
            { matches: [{ principals: [{ presence: {} }] }] },
            { matches: [{ namespaces: [{ exact: 'a' }], notNamespaces: [{ exact: 'b' }] }] },
          ],
        },
      ],
    ],
    [
      'sources as alternatives, their fields together',
      '{ rules: [{ from: [{ source: { namespaces: [a, "b*"], notPrincipals: ["*x"] } }, { source: { ipBlocks: [10.1.2.3/8, "::1"] } }] }] }',
      [
        {
          clauses: [
            {
              matches: [
                { namespaces: [{ exact: 'a' }, { prefix: 'b' }], notPrincipals: [{ suffix: 'x' }] },
                {
                  sourceIps: [
                    { address: Uint8Array.of(10, 0, 0, 0), length: 8 },
                    { address: Uint8Array.from([...Array<number>(15).fill(0), 1]), length: 128 },
                  ],
                },
              ],
            },
          ],
        },
      ],
    ],
    [
      'service accounts of other namespaces and the own one',
      '{ rules: [{ from: [{ source: { serviceAccounts: [other/a, b] } }] }] }',
      [
        {
          clauses: [
            {
              matches: [
                {
                  serviceAccounts: [
                    { namespace: 'other', serviceAccount: 'a' },
                    { namespace: 'shop', serviceAccount: 'b' },
                  ],
                },
              ],
            },
          ],
        },
      ],
    ],
    [
      'trust domains as prefixes of principals',
      '{ rules: [{ from: [{ source: { trustDomains: [corp], notTrustDomains: ["old*"] } }] }] }',
      [
        {
          clauses: [{ matches: [{ principals: [{ prefix: 'corp/' }], notPrincipals: [{ prefix: 'old' }] }] }],
        },
      ],
    ],
    [
      'conditions that layer 4 knows',
      '{ rules: [{ when: [{ key: source.ip, values: [10.0.0.1] }, { key: destination.ip, notValues: [10.0.0.2] }, { key: source.principal, values: [td/ns/a/sa/b] }, { key: destination.port, values: ["1"], notValues: ["2"] }] }] }',
      [
        {
          clauses: [
            { matches: [{ sourceIps: [{ address: Uint8Array.of(10, 0, 0, 1), length: 32 }] }] },
            { matches: [{ notDestinationIps: [{ address: Uint8Array.of(10, 0, 0, 2), length: 32 }] }] },
            { matches: [{ principals: [{ exact: 'td/ns/a/sa/b' }] }] },
            { matches: [{ destinationPorts: [1], notDestinationPorts: [2] }] },
          ],
        },
      ],
    ],
    [
      'ALLOW without the rules that ask about requests',
      '{ rules: [{ to: [{ operation: { paths: [/a], ports: ["80"] } }] }, { to: [{ operation: { ports: ["81"] } }] }] }',
      [{ clauses: [{ matches: [{ destinationPorts: [81] }] }] }],
    ],
    [
      'DENY without the fields that ask about requests',
      '{ action: DENY, rules: [{ to: [{ operation: { methods: [GET], ports: ["80"] } }] }] }',
      [{ clauses: [{ matches: [{ destinationPorts: [80] }] }] }],
    ],
    [
      'ALLOW without a rule whose address is unreadable, which would otherwise allow more',
      '{ rules: [{ from: [{ source: { namespaces: [a], ipBlocks: [nonsense] } }] }] }',
      [],
    ],
  ])('converts %s', (_what, spec, expected) => {
    expect(rulesOf(spec)).toEqual(expected);
  });
});

describe('ztunnelAccepted', () => {
  it.each([
    ['{ rules: [{}] }', 'True', 'Accepted', 'attached to ztunnel'],
    ['{ action: AUDIT }', 'False', 'UnsupportedValue', 'ztunnel does not support the AUDIT action'],
    [
      '{ rules: [{ to: [{ operation: { paths: [/], methods: [GET] } }] }] }',
      'True',
      'UnsupportedValue',
      'ztunnel cannot match methods, paths: rules with them are left out, so less is allowed than written',
    ],
    [
      '{ action: DENY, rules: [{ to: [{ operation: { paths: [/], ports: ["80"] } }] }] }',
      'True',
      'UnsupportedValue',
      'ztunnel cannot match paths: they are ignored, so more is denied than written',
    ],
    [
      '{ action: DENY, rules: [{ to: [{ operation: { paths: [/] } }] }] }',
      'True',
      'UnsupportedValue',
      'this DENY policy denies nothing because ztunnel cannot match paths; attach it to a waypoint with targetRefs to enforce it',
    ],
    [
      '{ action: DENY, rules: [{}, { when: [{ key: "request.headers[x]", values: [y] }] }] }',
      'True',
      'UnsupportedValue',
      'rule 1 of this DENY policy denies nothing because ztunnel cannot match request.headers[x]; attach it to a waypoint with targetRefs to enforce it',
    ],
    [
      '{ rules: [{ from: [{ source: { trustDomains: [a], principals: [b] } }] }] }',
      'True',
      'UnsupportedValue',
      'ztunnel cannot match trustDomains: rules with them are left out, so less is allowed than written',
    ],
  ])('says of %s: %s %s', (spec, status, reason, message) => {
    expect(ztunnelAccepted(convert(spec))).toEqual({ status, reason, message });
  });

  it('leaves policies with targets to waypoints', () => {
    expect(ztunnelAccepted(convert('{ targetRefs: [{ kind: Service, name: web }] }'))).toBeUndefined();
  });
});
