import { TypeUrl } from '@weft/api';
import { expect, it } from '@jest/globals';
import { createMesh } from '../ambient/test-mesh.ts';
import { bareWorkload } from '../ambient/resources.ts';
import { AddressDirectory } from './address-directory.ts';
import { AddressSource } from './address-source.ts';

const pod = (name: string, spec = '', ip = '10.0.0.1', node = 'n1'): string => `
kind: Pod
metadata: { name: ${name}, namespace: shop, uid: ${name}, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [] ${spec} }
status: { phase: Running, podIPs: [{ ip: ${ip} }, { ip: "fd00::1" }] }`;

const service = (name: string, ip: string): string => `
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { selector: { app: ${name} }, clusterIPs: [${ip}], ports: [{ port: 80 }] }`;

const uid = (name: string): string => `Kubernetes//Pod/shop/${name}`;
const hostname = (name: string): string => `shop/${name}.shop.svc.cluster.local`;

function start() {
  const mesh = createMesh();
  const { addresses, workloads } = mesh.ambient;
  const directory = new AddressDirectory(mesh.graph, addresses);
  const all = new AddressSource(TypeUrl.address, mesh.graph, addresses, directory);
  const bare = new AddressSource(TypeUrl.workload, mesh.graph, workloads, directory, { view: bareWorkload });
  const names = (source: AddressSource, name: string): string[] =>
    source.resolve(name).map((resource) => resource.name);
  return { mesh, all, bare, names };
}

it('gives workloads by their own names and by the addresses that are theirs alone', () => {
  const { mesh, all, bare, names } = start();
  mesh.apply(pod('a'), pod('host', ', hostNetwork: true', '10.9.0.1'));
  for (const source of [all, bare]) {
    for (const name of [uid('a'), '/10.0.0.1', '/fd00::1']) expect(names(source, name)).toEqual([uid('a')]);
    expect(names(source, '/10.9.0.1')).toEqual([]);
    expect(names(source, '/10.0.0.2')).toEqual([]);
  }
});

it('gives a service, by its name or address, with the workloads behind it', () => {
  const { mesh, all, bare, names } = start();
  mesh.apply(pod('a'), pod('b', '', '10.0.0.2'), service('a', '10.96.0.1'));
  for (const name of [hostname('a'), '/10.96.0.1'])
    expect(names(all, name)).toEqual([hostname('a'), uid('a')]);
  expect(names(bare, '/10.96.0.1')).toEqual([uid('a')]);
  // As the mesh changes, what was asked for once before.
  mesh.apply(service('b', '10.96.0.2'), service('a', '10.96.0.3'));
  expect(names(all, '/10.96.0.1')).toEqual([]);
  expect(names(all, '/10.96.0.3')).toEqual([hostname('a'), uid('a')]);
  expect(names(all, hostname('b'))).toEqual([hostname('b'), uid('b')]);
});

it('prefers a workload to a service that claims its address', () => {
  const { mesh, all, names } = start();
  mesh.apply(pod('a'), service('b', '10.0.0.1'));
  expect(names(all, '/10.0.0.1')).toEqual([uid('a')]);
});

it('gives a client the workloads of its node, and says what a workload is part of', () => {
  const { mesh, all, names } = start();
  mesh.apply(pod('a'), pod('b', '', '10.0.0.2', 'n2'), service('a', '10.96.0.1'));
  const metadata = { fields: { NODE_NAME: { stringValue: 'n1' } } };
  const implicit = all.implicitNames({ metadata });
  expect(implicit.flatMap((name) => names(all, name))).toEqual([uid('a')]);
  expect(all.groups(uid('a'))).toEqual([hostname('a'), ...implicit]);
  expect(all.groups(hostname('a'))).toEqual([]);
  expect(all.implicitNames({})).toEqual([]);
});
