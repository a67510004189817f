import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { type AdmissionContext, type AdmissionRequest, admit, parseAdmissionReview } from './admission.ts';

const context: AdmissionContext = {
  rootNamespace: 'istio-system',
  clusterDomain: 'cluster.local',
  accounts: { trustDomains: ['cluster.local'], has: (namespace) => namespace !== 'shpo' },
};

function review(kind: string, spec: string, namespace = 'shop') {
  const request: AdmissionRequest = {
    uid: 'u',
    kind: { group: 'security.istio.io', kind },
    operation: 'CREATE',
    namespace,
    object: { metadata: { name: 'p' }, spec: parse(spec) as unknown },
  };
  return admit(request, context);
}

const from = (source: string): string => `{ rules: [{ from: [{ source: { ${source} } }] }] }`;
const to = (operation: string): string => `{ rules: [{ to: [{ operation: { ${operation} } }] }] }`;

describe('admission of AuthorizationPolicy', () => {
  it.each([
    ['{}'],
    ['{ rules: [{}] }'],
    ['{ action: DENY, rules: [{ from: [{ source: { notNamespaces: [shop] } }] }] }'],
    [
      '{ selector: { matchLabels: { app.kubernetes.io/name: web } }, rules: [{ from: [{ source: { serviceAccounts: [a/b, c] } }] }] }',
    ],
    [
      '{ targetRefs: [{ kind: Service, group: "", name: web }, { kind: Gateway, group: gateway.networking.k8s.io, name: waypoint }] }',
    ],
    ['{ action: CUSTOM, provider: { name: opa }, rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }] }'],
    [
      '{ rules: [{ when: [{ key: "request.headers[x-a]", values: [b] }, { key: "request.auth.claims[a][b]", notValues: [b] }] }] }',
    ],
    [from('ipBlocks: [10.0.0.0/8, "2001:db8::/32", 1.2.3.4]')],
  ])('allows %s', (spec) => {
    expect(review('AuthorizationPolicy', spec)).toMatchObject({ allowed: true });
  });

  it.each([
    ['{ action: DENY }', 'spec.rules', 'must not be empty with action DENY'],
    ['{ action: DNY, rules: [{}] }', 'spec.action', '"DNY" is none of'],
    ['{ action: CUSTOM, rules: [{}] }', 'spec.provider.name', 'is required with action CUSTOM'],
    ['{ provider: { name: x } }', 'spec.provider', 'is allowed with action CUSTOM only'],
    [
      `{ action: CUSTOM, provider: { name: x }, rules: [{ from: [{ source: { principals: [a] } }] }] }`,
      'spec.rules[0].from[0].source.principals',
      'not supported with action CUSTOM',
    ],
    ['{ rules: [{ from: [] }] }', 'spec.rules[0].from', 'must not be empty'],
    ['{ rules: [{ to: [{}] }] }', 'spec.rules[0].to[0].operation', 'must not be empty'],
    ['{ rules: [{}, { from: [{ source: {} }] }] }', 'spec.rules[1].from[0].source', 'must not be empty'],
    [
      from('ipBlocks: [1.2.3.4, 10.0.0/8]'),
      'spec.rules[0].from[0].source.ipBlocks[1]',
      '"10.0.0/8" is neither',
    ],
    [
      from('principals: ["spiffe://cluster.local/ns/a/sa/b"]'),
      'spec.rules[0].from[0].source.principals[0]',
      'leave out spiffe://, as in cluster.local/ns/a/sa/b',
    ],
    [from('namespaces: [""]'), 'spec.rules[0].from[0].source.namespaces[0]', 'must not be empty'],
    [
      from('serviceAccounts: [a], namespaces: [b]'),
      'spec.rules[0].from[0].source.namespaces',
      'cannot be combined',
    ],
    [from('serviceAccounts: ["a/*"]'), 'spec.rules[0].from[0].source.serviceAccounts[0]', 'wildcards'],
    [to('ports: ["80", "http"]'), 'spec.rules[0].to[0].operation.ports[1]', '"http" is not a port'],
    [to('notPorts: ["70000"]'), 'spec.rules[0].to[0].operation.notPorts[0]', 'is not a port'],
    [
      '{ rules: [{ when: [{ key: source.principle, values: [a] }] }] }',
      'spec.rules[0].when[0].key',
      'did you mean source.principal?',
    ],
    [
      '{ rules: [{ when: [{ key: nonsense, values: [a] }] }] }',
      'spec.rules[0].when[0].key',
      'is not a condition',
    ],
    ['{ rules: [{ when: [{ key: source.ip }] }] }', 'spec.rules[0].when[0]', 'needs values or notValues'],
    [
      '{ rules: [{ when: [{ key: source.ip, values: [x] }] }] }',
      'spec.rules[0].when[0].values[0]',
      'neither an IP address',
    ],
    ['{ selector: { matchLabels: { app: "web*" } } }', 'spec.selector.matchLabels.app', 'wildcards'],
    ['{ selector: {}, targetRefs: [{ kind: Service, name: web }] }', 'spec.selector', 'cannot be combined'],
    ['{ targetRefs: [{ kind: Servise, name: web }] }', 'spec.targetRefs[0].kind', 'did you mean Service?'],
    [
      '{ targetRefs: [{ kind: Gateway, name: g }] }',
      'spec.targetRefs[0].group',
      'must be "gateway.networking.k8s.io"',
    ],
    [
      '{ targetRefs: [{ kind: Service, name: web, namespace: other }] }',
      'spec.targetRefs[0].namespace',
      'not supported',
    ],
    [
      '{ targetRef: { kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint } }',
      'spec.targetRef.kind',
      'root namespace',
    ],
  ])('refuses %s at %s', (spec, field, message) => {
    const response = review('AuthorizationPolicy', spec);
    expect(response.allowed).toBe(false);
    expect(response.status?.details.causes[0]?.field).toBe(field);
    expect(response.status?.message).toContain('WEFT1810');
    expect(response.status?.message).toContain(`${field}: `);
    expect(response.status?.message).toContain(message);
  });

  it('warns of a DENY that denies nothing, with a hint, and lets it pass', () => {
    const response = review(
      'AuthorizationPolicy',
      '{ action: DENY, rules: [{ to: [{ operation: { paths: [/admin] } }] }] }',
    );
    expect(response.allowed).toBe(true);
    expect(response.warnings).toEqual([
      'this DENY policy denies nothing because ztunnel cannot match paths; attach it to a waypoint with targetRefs to enforce it',
    ]);
  });
});

describe('admission of a policy that names accounts', () => {
  it.each([
    [
      'principals: ["cluster.local/ns/shpo/sa/web", "cluster.local/ns/shop/sa/web"]',
      ['web in namespace shpo'],
    ],
    ['notPrincipals: ["cluster.local/ns/shpo/sa/web"]', ['web in namespace shpo']],
    ['serviceAccounts: [shpo/web, web]', ['web in namespace shpo']],
    ['principals: ["cluster.local/ns/shpo/*", "*/ns/shpo/sa/web", "other/ns/shpo/sa/web"]', []],
  ])('warns of those that do not exist: %s', (source, accounts) => {
    const { allowed, warnings = [] } = review('AuthorizationPolicy', from(source));
    expect(allowed).toBe(true);
    expect(warnings).toEqual(
      accounts.map((account) => expect.stringContaining(`no service account ${account}`)),
    );
  });
});

describe('admission of PeerAuthentication', () => {
  it.each([
    ['{ mtls: { mode: STRICT } }', undefined],
    ['{ mtls: { mode: STRIKT } }', 'spec.mtls.mode'],
    ['{ portLevelMtls: { "80": { mode: STRICT } } }', 'spec.portLevelMtls'],
    ['{ selector: { matchLabels: { a: b } }, portLevelMtls: { "80": { mode: STRICT } } }', undefined],
    [
      '{ selector: { matchLabels: { a: b } }, portLevelMtls: { "0": { mode: STRICT } } }',
      'spec.portLevelMtls.0',
    ],
  ])('judges %s', (spec, field) => {
    const response = review('PeerAuthentication', spec);
    expect(response.status?.details.causes[0]?.field).toBe(field);
    expect(response.allowed).toBe(field === undefined);
  });

  it('warns where a policy has no effect', () => {
    expect(review('PeerAuthentication', '{ mtls: { mode: DISABLE } }').warnings).toHaveLength(1);
    expect(
      review('PeerAuthentication', '{ selector: { matchLabels: { a: b } } }', 'istio-system').warnings,
    ).toHaveLength(1);
  });
});

describe('admission', () => {
  it('lets deletions and other kinds pass', () => {
    const kind = { group: 'security.istio.io', kind: 'AuthorizationPolicy' };
    expect(admit({ uid: 'u', kind, operation: 'DELETE', object: null }, context)).toEqual({
      uid: 'u',
      allowed: true,
    });
    expect(review('RequestAuthentication', '{}').allowed).toBe(true);
  });

  it.each(['', '{}', '[]', 'null', '{"request":{"uid":"u"}}'])('refuses the body %j with a code', (body) => {
    expect(() => parseAdmissionReview(body)).toThrow(expect.objectContaining({ code: 'WEFT1811' }));
  });
});
