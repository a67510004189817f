import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { type AdmissionRequest, admit } from './admission.ts';

function review(kind: string, spec: string, labels: Readonly<Record<string, string>> = {}) {
  const request: AdmissionRequest = {
    uid: 'u',
    kind: { group: 'networking.istio.io', kind },
    operation: 'CREATE',
    namespace: 'shop',
    object: { metadata: { name: 'x', labels }, spec: parse(spec) as unknown },
  };
  return admit(request, {
    rootNamespace: 'istio-system',
    clusterDomain: 'cluster.local',
    accounts: { trustDomains: ['cluster.local'], has: () => true },
  });
}

const web = 'ports: [{ name: web, number: 80, protocol: HTTP }]';
const db = 'ports: [{ name: sql, number: 5432, protocol: TCP }]';

describe('admission of ServiceEntry', () => {
  it.each([
    [`{ hosts: [a.example.org], resolution: DNS, ${web} }`],
    [`{ hosts: ["*.example.org"], resolution: DYNAMIC_DNS, ${web} }`],
    [
      `{ hosts: [a], addresses: [10.0.0.0/8, "fd00::/8"], resolution: STATIC, endpoints: [{ address: 1.2.3.4, ports: { web: 8080 } }], ${web} }`,
    ],
    [`{ hosts: [a], resolution: DNS, endpoints: [{ address: b.example.org }], ${web} }`],
    [`{ hosts: [a], resolution: STATIC, endpoints: [{ network: n }], ${web} }`],
  ])('allows %s', (spec) => {
    expect(review('ServiceEntry', spec)).toEqual({ uid: 'u', allowed: true });
  });

  it('warns of hosts that would take the names of other namespaces', () => {
    const spec = `{ hosts: [a.example.org, "*.svc.cluster.local", "*.shop.svc.cluster.local"], ${web} }`;
    const { allowed, warnings } = review('ServiceEntry', spec);
    expect({ allowed, warnings }).toEqual({
      allowed: true,
      warnings: [
        'spec.hosts[1]: pods of other namespaces look up such names for any other: only shop sees it',
      ],
    });
  });

  it.each([
    [`{ hosts: ["*"], ${web} }`, 'spec.hosts[0]', 'every host'],
    [`{ hosts: ["a.*.b"], ${web} }`, 'spec.hosts[0]', 'a wildcard is'],
    [`{ hosts: [a], resolution: STATC, ${web} }`, 'spec.resolution', 'did you mean STATIC?'],
    [`{ hosts: [a], addresses: [10.0.0], ${web} }`, 'spec.addresses[0]', 'neither'],
    [`{ hosts: [a], addresses: [10.0.0.0/8], resolution: DNS, ${web} }`, 'spec.addresses[0]', 'a range'],
    [`{ hosts: [a], endpoints: [{ address: 1.2.3.4 }], ${web} }`, 'spec.endpoints', 'other than NONE'],
    [
      `{ hosts: [a], resolution: STATIC, workloadSelector: { labels: { a: b } }, endpoints: [{ address: 1.2.3.4 }], ${web} }`,
      'spec.workloadSelector',
      'cannot be combined',
    ],
    [
      `{ hosts: [a], resolution: STATIC, endpoints: [{ address: 1.2.3.4, ports: { wep: 80 } }], ${web} }`,
      'spec.endpoints[0].ports.wep',
      'did you mean web?',
    ],
    [
      `{ hosts: [a], resolution: STATIC, endpoints: [{ address: b.example.org }], ${web} }`,
      'spec.endpoints[0].address',
      'must be an IP address',
    ],
    [
      `{ hosts: [a], resolution: STATIC, endpoints: [{}], ${web} }`,
      'spec.endpoints[0].address',
      'is required',
    ],
    [
      `{ hosts: [a], resolution: DNS_ROUND_ROBIN, endpoints: [{ address: b }, { address: c }], ${web} }`,
      'spec.endpoints',
      'one endpoint at most',
    ],
    [`{ hosts: [a, b], resolution: DNS, ${db} }`, 'spec.hosts', 'tells them apart on 5432'],
    [`{ hosts: ["*.example.org"], resolution: DNS, ${web} }`, 'spec.hosts[0]', 'nobody can look up'],
    [`{ hosts: [a], resolution: DYNAMIC_DNS, ${web} }`, 'spec.hosts[0]', 'hosts with a wildcard'],
    [`{ hosts: ["*.a"], resolution: DYNAMIC_DNS, ${db} }`, 'spec.ports[0].protocol', 'must be one of'],
    [
      '{ hosts: [a], ports: [{ name: a, number: 80 }, { name: a, number: 81 }] }',
      'spec.ports[1].name',
      'another port',
    ],
    [
      '{ hosts: [a], ports: [{ name: a, number: 80 }, { name: b, number: 80 }] }',
      'spec.ports[1].number',
      'another port',
    ],
  ])('refuses %s', (spec, field, message) => {
    const { allowed, status } = review('ServiceEntry', spec);
    expect(allowed).toBe(false);
    expect(status?.details.causes).toContainEqual({
      reason: 'FieldValueInvalid',
      field,
      message: expect.stringContaining(message),
    });
  });

  it.each([
    [`{ hosts: [a], ${db} }`, 'carries no host name'],
    [`{ hosts: [a], resolution: DNS, exportTo: [other], ${web} }`, 'other counts as "*"'],
    [
      '{ hosts: [a], resolution: DNS, ports: [{ name: a, number: 80, protocol: HTPP }] }',
      'did you mean HTTP',
    ],
    [
      '{ hosts: ["*.a"], resolution: DYNAMIC_DNS, ports: [{ name: a, number: 80, targetPort: 81, protocol: HTTP }] }',
      'spec.ports[0].targetPort has no effect',
    ],
  ])('warns of %s', (spec, warning) => {
    const { allowed, warnings } = review('ServiceEntry', spec);
    expect(allowed).toBe(true);
    expect(warnings).toContainEqual(expect.stringContaining(warning));
  });
});

it('refuses a wildcard inside of the mesh whose hosts a waypoint would look up', () => {
  const spec = `{ hosts: ["*.a"], location: MESH_INTERNAL, resolution: DYNAMIC_DNS, ${web} }`;
  expect(review('ServiceEntry', spec, { 'istio.io/use-waypoint': 'wp' }).allowed).toBe(false);
  expect(review('ServiceEntry', spec, { 'istio.io/use-waypoint': 'none' }).allowed).toBe(true);
  expect(review('ServiceEntry', spec).allowed).toBe(true);
});

describe('admission of WorkloadEntry', () => {
  it.each([
    ['{ address: 1.2.3.4 }'],
    ['{ address: vm.example.org, ports: { web: 80 } }'],
    ['{ network: n }'],
  ])('allows %s', (spec) => {
    expect(review('WorkloadEntry', spec)).toMatchObject({ allowed: true });
  });

  it.each([
    ['{ labels: { a: b } }', 'spec.address'],
    ['{ address: "a b" }', 'spec.address'],
    ['{ address: "unix:///a", ports: { a: 1 } }', 'spec.ports'],
    ['{ address: 1.2.3.4, ports: { a: 70000 } }', 'spec.ports.a'],
  ])('refuses %s', (spec, field) => {
    expect(review('WorkloadEntry', spec).status?.details.causes.map((cause) => cause.field)).toEqual([field]);
  });
});
