import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { admit } from './admission.ts';

/** Admission of what waypoints read. */

const key = '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}';

function review(kind: string, spec: string, metadata = '{ name: o }', namespace = 'shop') {
  const object = { metadata: parse(metadata) as { name: string }, spec: parse(spec) as unknown };
  const {
    allowed,
    status,
    warnings = [],
  } = admit(
    { uid: 'u', kind: { group: 'g', kind }, operation: 'CREATE', namespace, object },
    {
      rootNamespace: 'istio-system',
      clusterDomain: 'cluster.local',
      accounts: { trustDomains: ['cluster.local'], has: () => true },
    },
  );
  const causes = status?.details.causes.map(({ field, message }) => `${field}: ${message}`) ?? [];
  return { allowed, causes, warnings };
}

const parent = 'parentRefs: [{ group: "", kind: Service, name: web }]';
const rule = (text: string): string => `{ ${parent}, rules: [{ ${text} }] }`;
const at = 'spec.rules[0]';

describe('admission of routes in the mesh', () => {
  it.each([
    [rule('backendRefs: [{ name: web, port: 80 }]')],
    [rule('matches: [{ path: { type: RegularExpression, value: "/v[0-9]+" } }]')],
    [rule('timeouts: { request: 1m30s, backendRequest: 0s }, retry: { backoff: 100ms }')],
    // A route of somebody else's gateway is not looked into.
    ['{ parentRefs: [{ name: edge }], rules: [{ timeouts: { request: soon } }] }'],
  ])('allows %s', (spec) => {
    expect(review('HTTPRoute', spec)).toEqual({ allowed: true, causes: [], warnings: [] });
  });

  it.each([
    ['HTTPRoute', 'timeouts: { request: soon }', `${at}.timeouts.request: "soon" is not a duration`],
    [
      'HTTPRoute',
      'timeouts: { backendRequest: "1" }',
      `${at}.timeouts.backendRequest: "1" is not a duration`,
    ],
    ['HTTPRoute', 'retry: { backoff: 1d }', `${at}.retry.backoff: "1d" is not a duration`],
    [
      'HTTPRoute',
      'matches: [{}, { path: { type: RegularExpression, value: "(" } }]',
      `${at}.matches[1].path.value: "(" is not a regular expression (RE2)`,
    ],
    [
      'HTTPRoute',
      'matches: [{ headers: [{ name: a, value: "(?=x)", type: RegularExpression }] }]',
      `${at}.matches[0].headers[0].value: "(?=x)" is not a regular expression (RE2)`,
    ],
    [
      'HTTPRoute',
      `matches: [{ queryParams: [{ name: a, value: "${'a'.repeat(1025)}", type: RegularExpression }] }]`,
      `${at}.matches[0].queryParams[0].value: is longer than 1024 characters`,
    ],
    [
      'GRPCRoute',
      'matches: [{ method: { type: RegularExpression, service: "[" } }]',
      `${at}.matches[0].method.service: "[" is not a regular expression (RE2)`,
    ],
    [
      'HTTPRoute',
      'filters: [{ type: RequestRedirect }, { type: URLRewrite }]',
      `${at}.filters: RequestRedirect and URLRewrite exclude each other`,
    ],
  ])('refuses of a %s %s', (kind, text, cause) => {
    const { allowed, causes } = review(kind, rule(text));
    expect(allowed).toBe(false);
    expect(causes).toEqual([expect.stringContaining(cause)]);
  });

  it.each([
    [
      'HTTPRoute',
      'filters: [{ type: ExtensionRef }]',
      'rules[0].filters[0]: unsupported filter type "ExtensionRef"',
    ],
    ['GRPCRoute', 'filters: [{ type: CORS }]', 'rules[0].filters[0]: unsupported filter type "CORS"'],
    ['HTTPRoute', 'sessionPersistence: {}', 'rules[0].sessionPersistence: is not supported'],
  ])('warns of what a waypoint does not do of a %s: %s', (kind, text, warning) => {
    const { allowed, warnings } = review(kind, rule(text));
    expect(allowed).toBe(true);
    expect(warnings).toEqual([expect.stringContaining(warning)]);
  });

  it('warns of host names, which match nothing in the mesh', () => {
    const { warnings } = review('HTTPRoute', `{ ${parent}, hostnames: [a.example] }`);
    expect(warnings).toEqual([expect.stringContaining('hostnames have no effect')]);
  });
});

describe('admission of waypoint Gateways', () => {
  const hbone = '{ name: mesh, port: 15008, protocol: HBONE }';
  const gateway = (listeners: string): string =>
    `{ gatewayClassName: istio-waypoint, listeners: [${listeners}] }`;

  it('allows one, and leaves others to others', () => {
    const good = { allowed: true, causes: [], warnings: [] };
    expect(review('Gateway', gateway(hbone))).toEqual(good);
    const labels = '{ name: none, labels: { istio.io/waypoint-for: everything } }';
    expect(review('Gateway', '{ gatewayClassName: ingress }', labels)).toEqual(good);
  });

  it.each([
    [
      '{ name: o, labels: { istio.io/waypoint-for: servise } }',
      'metadata.labels.istio.io/waypoint-for: "servise" is none of service, workload, all, none; did you mean service?',
    ],
    ['{ name: none }', 'metadata.name: "none" means no waypoint where labels name one'],
  ])('refuses %s', (metadata, cause) => {
    expect(review('Gateway', gateway(hbone), metadata)).toMatchObject({ allowed: false, causes: [cause] });
  });

  it('warns of listeners that a waypoint does not have', () => {
    const { allowed, warnings } = review(
      'Gateway',
      gateway(`${hbone}, { name: http, port: 80, protocol: HTTP }`),
    );
    expect(allowed).toBe(true);
    expect(warnings).toEqual(['spec.listeners[1]: a waypoint listens with protocol HBONE on port 15008']);
  });
});

describe('admission of RequestAuthentication', () => {
  const targets = 'targetRefs: [{ kind: Service, group: "", name: web }]';
  const jwt = (text: string): string => `{ ${targets}, jwtRules: [{ ${text} }] }`;
  const first = 'spec.jwtRules[0]';

  it.each([
    [jwt('issuer: a, jwksUri: "https://a.example/keys", timeout: 5s')],
    [jwt(`issuer: a, jwks: '{"keys":[${key}]}'`)],
    [jwt('jwksUri: "http://a.example/keys", presence: REQUIRED')],
    [jwt('jwks_uri: "http://a.example/keys"')],
  ])('allows %s', (spec) => {
    expect(review('RequestAuthentication', spec)).toEqual({ allowed: true, causes: [], warnings: [] });
  });

  it.each([
    [jwt('audiences: [a]'), `${first}.issuer: is required where there is no jwksUri`],
    [
      jwt(`issuer: a, jwksUri: "https://a/b", jwks: '{"keys":[${key}]}'`),
      `${first}.jwks: cannot be combined with jwksUri`,
    ],
    [jwt('issuer: a, jwks: nonsense'), `${first}.jwks: is not a key set`],
    [
      jwt('issuer: a, jwks: \'{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}\''),
      `${first}.jwks: is not a key set, or has no public key`,
    ],
    [jwt('jwksUri: "file:///keys"'), `${first}.jwksUri: is not an http or https URL`],
    [jwt('jwksUri: "https://a/b", timeout: soon'), `${first}.timeout: "soon" is not a duration`],
    [
      jwt('jwksUri: "https://a/b", fromHeaders: [{ name: "" }]'),
      `${first}.fromHeaders[0].name: must not be empty`,
    ],
    [jwt('jwksUri: "https://a/b", audiences: [a, ""]'), `${first}.audiences[1]: must not be empty`],
    [
      '{ targetRefs: [{ kind: Gatewy, group: g, name: w }] }',
      'spec.targetRefs[0].kind: "Gatewy" cannot be a target; did you mean Gateway?',
    ],
    [
      '{ selector: {}, targetRefs: [{ kind: Service, name: w }] }',
      'spec.selector: cannot be combined with targetRefs',
    ],
  ])('refuses %s', (spec, cause) => {
    const { allowed, causes } = review('RequestAuthentication', spec);
    expect(allowed).toBe(false);
    expect(causes).toEqual([expect.stringContaining(cause)]);
  });

  it.each([
    ['{ jwtRules: [] }', 'without targetRefs no waypoint reads this'],
    [jwt('issuer: a'), 'no keys are known for issuer "a"'],
    [
      jwt(`issuer: a, jwks: '{"keys":[${key}, ${key.replace('"x"', '"d":"AAAA","x"')}]}'`),
      'jwks holds a private key',
    ],
  ])('warns of %s', (spec, warning) => {
    const { allowed, warnings } = review('RequestAuthentication', spec);
    expect(allowed).toBe(true);
    expect(warnings).toEqual([expect.stringContaining(warning)]);
  });
});
