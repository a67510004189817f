import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type JsonObject, TypeRegistry, typeFromCrd, validate } from '@weft/local-cluster/schema';
import { parse } from 'yaml';
import { workspace } from './kit/local-mesh.ts';

/** What the CRDs refuse by rules of their own, so that it is refused also while nobody answers the webhook. */

const registry = TypeRegistry.load();
const plurals: Readonly<Record<string, string>> = {
  ServiceEntry: 'serviceentries.networking.istio.io',
  WorkloadEntry: 'workloadentries.networking.istio.io',
  WorkloadGroup: 'workloadgroups.networking.istio.io',
  AuthorizationPolicy: 'authorizationpolicies.security.istio.io',
  PeerAuthentication: 'peerauthentications.security.istio.io',
  RequestAuthentication: 'requestauthentications.security.istio.io',
};

function refusals(kind: string, spec: string): string[] {
  const file = path.join(workspace, 'helm/base/files/istio-crds', `${plurals[kind]}.yaml`);
  const crd = parse(readFileSync(file, 'utf8')) as {
    spec: { group: string; versions: readonly JsonObject[] };
  };
  const [version = {}] = crd.spec.versions;
  const { group } = crd.spec;
  const object = {
    apiVersion: `${group}/v1`,
    kind,
    metadata: { name: 'x', namespace: 'shop' },
    spec: parse(spec) as JsonObject,
  };
  return validate(typeFromCrd(registry, version), { group, version: 'v1', kind }, object).map(
    ({ path: field, message }) => `${field}: ${message}`,
  );
}

const ports = 'ports: [{ name: a, number: 80 }]';
const from = (source: string): string => `{ rules: [{ from: [{ source: { ${source} } }] }] }`;

describe('the rules of the definitions', () => {
  it.each([
    [
      'ServiceEntry',
      `{ hosts: [a.example.org], resolution: STATIC, endpoints: [{ address: 1.2.3.4 }], ${ports} }`,
    ],
    ['ServiceEntry', `{ hosts: ["*.example.org"], addresses: [10.0.0.0/8], ${ports} }`],
    ['ServiceEntry', `{ hosts: [a], resolution: STATIC, workloadSelector: { labels: { a: b } }, ${ports} }`],
    ['WorkloadEntry', '{ network: n }'],
    ['WorkloadGroup', '{ template: { serviceAccount: x } }'],
    ['AuthorizationPolicy', '{ action: CUSTOM, provider: { name: p }, rules: [{}] }'],
    ['AuthorizationPolicy', from('serviceAccounts: [a], ipBlocks: [1.2.3.4]')],
    [
      'PeerAuthentication',
      '{ selector: { matchLabels: { a: b } }, portLevelMtls: { "80": { mode: STRICT } } }',
    ],
    ['RequestAuthentication', '{ jwtRules: [{ issuer: x, jwksUri: "https://x" }] }'],
  ])('let pass a %s %s', (kind, spec) => {
    expect(refusals(kind, spec)).toEqual([]);
  });

  it.each([
    ['ServiceEntry', `{ hosts: ["*"], ${ports} }`, 'spec.hosts[0]', 'must not be every host'],
    [
      'ServiceEntry',
      '{ hosts: [a], resolution: STATIC, endpoints: [{ address: 1.2.3.4 }], workloadSelector: { labels: { a: b } } }',
      'spec',
      'only one of workloadSelector and endpoints',
    ],
    ['ServiceEntry', '{ hosts: [a], endpoints: [{ address: 1.2.3.4 }] }', 'spec', 'other than NONE'],
    [
      'ServiceEntry',
      '{ hosts: [a], resolution: DNS_ROUND_ROBIN, endpoints: [{ address: a }, { address: b }] }',
      'spec',
      'one endpoint at most',
    ],
    ['ServiceEntry', '{ hosts: [a], resolution: DNS, addresses: [10.0.0.0/8] }', 'spec', 'NONE or STATIC'],
    [
      'ServiceEntry',
      '{ hosts: [a], ports: [{ name: a, number: 80 }, { name: b, number: 80 }] }',
      'spec.ports',
      'must differ',
    ],
    ['ServiceEntry', '{ hosts: [a], ports: [{ name: a, number: 0 }] }', 'spec.ports[0].number', '1 to 65535'],
    [
      'ServiceEntry',
      '{ hosts: [a], resolution: STATIC, endpoints: [{ locality: x }] }',
      'spec.endpoints[0]',
      'address is required',
    ],
    ['WorkloadEntry', '{ labels: { a: b } }', 'spec', 'address is required'],
    [
      'AuthorizationPolicy',
      '{ selector: {}, targetRefs: [{ kind: Service, name: a }] }',
      'spec',
      'only one of selector, targetRef and targetRefs',
    ],
    [
      'AuthorizationPolicy',
      '{ targetRefs: [{ kind: Service, name: a, namespace: b }] }',
      'spec.targetRefs[0].namespace',
      'other namespaces',
    ],
    ['AuthorizationPolicy', '{ provider: { name: x } }', 'spec', 'with action CUSTOM only'],
    [
      'AuthorizationPolicy',
      from('serviceAccounts: [a], namespaces: [b]'),
      'spec.rules[0].from[0].source',
      'cannot be combined',
    ],
    ['PeerAuthentication', '{ portLevelMtls: { "80": { mode: STRICT } } }', 'spec', 'needs a selector'],
    [
      'PeerAuthentication',
      '{ selector: { matchLabels: { a: b } }, portLevelMtls: { "70000": { mode: STRICT } } }',
      'spec.portLevelMtls',
      '1 to 65535',
    ],
    [
      'RequestAuthentication',
      '{ jwtRules: [{ issuer: x, jwks: y, jwksUri: "https://x" }] }',
      'spec.jwtRules[0]',
      'only one of jwks',
    ],
  ])('refuse a %s %s', (kind, spec, field, message) => {
    const found = refusals(kind, spec);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(`${field}: `);
    expect(found[0]).toContain(message);
  });
});
