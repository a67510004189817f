import { describe, expect, it } from '@jest/globals';
import { createMesh, goldenCases, goldenObjects } from '@weft/control-plane/testing';
import { checkFields } from '@weft/proxy/testing';

/** What the control plane tells a waypoint, before the engine that refuses every field without effect. */
describe('a waypoint of this mesh', () => {
  it.each(goldenCases)('takes every field of the golden case %s', (name) => {
    const mesh = createMesh();
    mesh.apply(...goldenObjects(name));
    const { listeners, clusters, endpoints } = mesh.networking;
    const resources = [
      ['envoy.config.listener.v3.Listener', [...(listeners.get('shop/wp')?.values() ?? [])]],
      ['envoy.config.cluster.v3.Cluster', [...(clusters.get('shop/wp')?.values() ?? [])]],
      ['envoy.config.endpoint.v3.ClusterLoadAssignment', [...endpoints.values()]],
    ] as const;
    for (const [type, ofType] of resources) {
      for (const { name: resource, bytes } of ofType) checkFields(type, bytes, { resource });
    }
    expect(resources[0][1].map((listener) => listener.name).sort()).toEqual([
      'connect_originate',
      'connect_terminate',
      'main_internal',
    ]);
  });
});
