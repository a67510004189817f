import { expect, it } from '@jest/globals';
import { othersParts } from './mesh-parts.ts';

const part = (name: string, annotations?: Record<string, string>) => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name, namespace: 'istio-system', ...(annotations && { annotations }) },
});
const of = (name: string, namespace = 'istio-system') => ({
  'meta.helm.sh/release-name': name,
  'meta.helm.sh/release-namespace': namespace,
});

it("tells a release's own parts of a mesh from others', and says where those are from", () => {
  const parts = [
    part('own', of('weft')),
    part('ztunnel', of('ztunnel')),
    part('cni', of('weft', 'mesh')),
    part('by-hand'),
  ];
  expect(othersParts(parts, { name: 'weft', namespace: 'istio-system' })).toEqual([
    'DaemonSet istio-system/ztunnel from release istio-system/ztunnel',
    'DaemonSet istio-system/cni from release mesh/weft',
    'DaemonSet istio-system/by-hand not from helm',
  ]);
});
