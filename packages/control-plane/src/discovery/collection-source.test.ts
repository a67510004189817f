import { TypeUrl } from '@weft/api';
import { expect, it } from '@jest/globals';
import { createMesh } from '../ambient/test-mesh.ts';
import { bareWorkload } from '../ambient/resources.ts';
import { CollectionSource } from './collection-source.ts';

const pod = (name: string, spec = '', ip = '10.0.0.1'): string => `
kind: Pod
metadata: { name: ${name}, namespace: shop, uid: ${name} }
spec: { nodeName: n1, containers: [] ${spec} }
status: { phase: Running, podIPs: [{ ip: ${ip} }, { ip: "fd00::1" }] }`;

it('gives workloads by their own names and by the addresses that are theirs alone', () => {
  const mesh = createMesh();
  const { workloads, workloadsByAlias } = mesh.ambient;
  const source = new CollectionSource(TypeUrl.workload, mesh.graph, workloads, {
    view: bareWorkload,
    byAlias: workloadsByAlias,
  });
  mesh.apply(pod('a'), pod('host', ', hostNetwork: true', '10.9.0.1'));
  const names = (name: string): string[] => source.resolve(name).map((resource) => resource.name);
  for (const name of ['Kubernetes//Pod/shop/a', '/10.0.0.1', '/fd00::1']) {
    expect(names(name)).toEqual(['Kubernetes//Pod/shop/a']);
  }
  expect(names('/10.9.0.1')).toEqual([]);
  expect(names('/10.0.0.2')).toEqual([]);
});
