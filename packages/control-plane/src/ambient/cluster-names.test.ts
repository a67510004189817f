import { describe, expect, it } from '@jest/globals';
import { coversSearchDomains, singleAddress } from './cluster-names.ts';
import { createMesh } from './test-mesh.ts';

it.each([
  // Resolvers of other namespaces try these for any name.
  ['*.svc.cluster.local', true],
  ['*.shop.svc.cluster.local', true],
  ['*.com.shop.svc.cluster.local', true],
  ['*.cluster.local', true],
  ['*.local', true],
  ['*.com.cluster.local', true],
  ['www.example.com.svc.cluster.local', true],
  ['www.example.com.cluster.local', true],
  ['svc.cluster.local', true],
  // Its own, one Service's, and the rest of the world.
  ['*.own.svc.cluster.local', false],
  ['*.com.own.svc.cluster.local', false],
  ['web-0.web.own.svc.cluster.local', false],
  ['web.shop.svc.cluster.local', false],
  ['*.example.com', false],
  ['*.notcluster.local', false],
  ['cluster.local.example.com', false],
])('%s takes names from other namespaces: %s', (host, expected) => {
  expect(coversSearchDomains(host, 'own', 'cluster.local')).toBe(expected);
});

it.each([
  ['10.96.0.1', '10.96.0.1'],
  ['10.96.0.1/32', '10.96.0.1'],
  ['FD00:96:0::1', 'fd00:96::1'],
  ['::ffff:10.96.0.1/128', '::ffff:a60:1'],
  ['10.96.0.0/31', undefined],
  ['web', undefined],
])('%s is the one address %s', (text, expected) => expect(singleAddress(text)).toBe(expected));

describe('a ServiceEntry that claims what is of another namespace', () => {
  const entry = (namespace: string, name: string, spec: string): string =>
    `{ kind: ServiceEntry, metadata: { name: ${name}, namespace: ${namespace} }, spec: { ${spec}, resolution: STATIC, ports: [{ name: a, number: 80 }], endpoints: [{ address: 192.0.2.1 }] } }`;
  const seen = (...objects: readonly string[]) => {
    const mesh = createMesh();
    mesh.apply(...objects);
    const services = [...mesh.ambient.entryServices.entries()];
    return Object.fromEntries(
      services.map(([key, { visibility, canonical }]) => [key, { visibility, canonical }]),
    );
  };
  const web =
    '{ kind: Service, metadata: { name: web, namespace: shop }, spec: { clusterIPs: [10.96.0.1, "fd00:96::1"], ports: [{ port: 80 }] } }';

  it('is seen by its own namespace only if its host covers names that others look up', () => {
    const hosts = 'hosts: ["*.svc.cluster.local", a.example.com], addresses: [198.51.100.1]';
    expect(seen(entry('evil', 'e', hosts))).toEqual({
      'evil/*.svc.cluster.local': { visibility: 'NAMESPACE', canonical: false },
      'evil/a.example.com': { visibility: 'PUBLIC', canonical: true },
    });
  });

  it('keeps no such host of the root namespace from everybody', () => {
    const hosts = 'hosts: ["*.svc.cluster.local"], addresses: [198.51.100.1]';
    expect(seen(entry('evil', 'a', hosts), entry('istio-system', 'b', hosts))).toEqual({
      'evil/*.svc.cluster.local': { visibility: 'NAMESPACE', canonical: false },
      'istio-system/*.svc.cluster.local': { visibility: 'PUBLIC', canonical: true },
    });
  });

  it.each(['10.96.0.1', '10.96.0.1/32', 'FD00:96:0::1'])(
    'is not what clients of other namespaces find at the address %s of a Service',
    (address) => {
      const claim = `hosts: [e.example.com], addresses: [198.51.100.1, "${address}"]`;
      expect(seen(web, entry('evil', 'e', claim))).toEqual({
        'evil/e.example.com': { visibility: 'PUBLIC', canonical: false },
      });
      expect(seen(web, entry('shop', 'e', claim))).toEqual({
        'shop/e.example.com': { visibility: 'PUBLIC', canonical: true },
      });
    },
  );
});
